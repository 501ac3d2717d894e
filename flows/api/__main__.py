"""`python -m tokenmill` is the command `tokenmill`."""

from tokenmill.flows.cli import main

main()
