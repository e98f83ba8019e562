"""Presets of hybridopt-pymoo."""
