"""Reinforcement learning for hybridopt: environments as data sets, the return as an objective."""
