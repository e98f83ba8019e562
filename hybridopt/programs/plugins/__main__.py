"""``python -m hybridopt.programs.plugins``."""

from hybridopt.programs.plugins.cli import main

if __name__ == "__main__":
    main()
