"""Experiments that this package ships."""
