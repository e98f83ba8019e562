"""Combinatorial problems for hybridopt: no network and no gradient, and an exact reference to measure the gap to."""
