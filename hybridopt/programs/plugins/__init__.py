"""The program ``hybridopt-plugins``: what is installed, whether it works, and a start for a package of one's own."""
