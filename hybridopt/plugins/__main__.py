"""``python -m hybridopt.plugins``."""

from hybridopt.plugins.cli import main

if __name__ == "__main__":
    main()
