"""YAML presets, installed as the package hybridopt.conf."""
