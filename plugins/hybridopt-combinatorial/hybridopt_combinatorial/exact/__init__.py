"""Exact solvers, by which the gap to the optimum is measured: ``solve(instance, time_limit) -> Proof``."""
