"""The image networks of the ``timm`` library for hybridopt."""
