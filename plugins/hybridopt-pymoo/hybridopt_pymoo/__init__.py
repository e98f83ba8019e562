"""Multi-objective evolutionary algorithms of pymoo (Blank & Deb 2020, https://doi.org/10.1109/ACCESS.2020.2990567)."""
