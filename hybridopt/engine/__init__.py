"""How networks are evaluated: parameters, populations, forward passes. It knows no contract of plugins."""
