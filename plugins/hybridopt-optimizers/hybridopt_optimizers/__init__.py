"""Gradient methods of other packages as strategies of hybridopt."""
