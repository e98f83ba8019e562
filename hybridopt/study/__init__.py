"""Studies: claims that are tested by experiment, by a rule that is fixed beforehand.

For whoever writes a study (:class:`hybridopt.Study`):

* :mod:`~hybridopt.study.comparing`: arms by pairs, with Holm's correction, and whether they are equally good
* :mod:`~hybridopt.study.scaling`: exponents with intervals
* :mod:`~hybridopt.study.reaching`: success rates, expected costs to a target, and the log-rank test
* :mod:`~hybridopt.study.drawing`: figures
* :mod:`~hybridopt.study.functions`: test functions, and searches on them
* :mod:`~hybridopt.study.critical_points`: saddles and minima, in theory and by search
* :mod:`~hybridopt.study.interpolating`: the losses between two networks
* :mod:`~hybridopt.study.many_starts`: textbook methods from many starts at once
* :mod:`~hybridopt.study.surrogates`: black boxes that are minimised in few calls

How they are run:

* :mod:`~hybridopt.study.finding`: studies by name
* :mod:`~hybridopt.study.sweeper`, :mod:`~hybridopt.study.running`: a study as a sweep
* :mod:`~hybridopt.study.cells`: what is computed and trains nothing
* :mod:`~hybridopt.study.collecting`, :mod:`~hybridopt.study.keeping`: results, and their file
* :mod:`~hybridopt.study.page`: the page

Nothing heavy is imported before it is needed.
"""
