"""Experiments of this package, on Hydra's search path by the entry point ``hybridopt.configs``."""
