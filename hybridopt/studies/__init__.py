"""The built-in studies, one file each; see :class:`~hybridopt.core.study.Study`."""
