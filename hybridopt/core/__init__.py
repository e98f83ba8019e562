"""The contracts: what the author of a plugin implements and calls."""
