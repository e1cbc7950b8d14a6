"""`python -m glioquery`: the command line."""

from .pipeline.commands.cli import main

if __name__ == "__main__":
    main()
