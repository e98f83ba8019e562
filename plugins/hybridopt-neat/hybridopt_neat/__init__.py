"""NEAT for hybridopt: networks whose topology evolves."""
