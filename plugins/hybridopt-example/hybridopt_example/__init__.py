"""The smallest useful package of plugins for hybridopt: one strategy."""
