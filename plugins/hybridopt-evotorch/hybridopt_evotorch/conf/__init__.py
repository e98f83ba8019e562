"""Presets of hybridopt-evotorch."""
