"""`python -m tokenmill` is the command `tokenmill`."""

from tokenmill.flows.cli import main

if __name__ == "__main__":
    main()
