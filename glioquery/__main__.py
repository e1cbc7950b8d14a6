"""`python -m glioquery`: the command line."""

from .pipeline.commands.cli import main

main()
