"""Experiments, put on Hydra's search path."""
