"""Data sets of Hugging Face's ``datasets`` library for hybridopt."""
