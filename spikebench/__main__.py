"""``python -m spikebench`` is ``bench``."""

from bench.cli.program import main

if __name__ == "__main__":
    main()
