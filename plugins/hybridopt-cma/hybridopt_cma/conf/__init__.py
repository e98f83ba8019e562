"""Presets of hybridopt-cma."""
