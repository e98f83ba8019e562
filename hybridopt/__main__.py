"""``python -m hybridopt``."""

from hybridopt.programs.run import main

if __name__ == "__main__":
    main()
