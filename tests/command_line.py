"""The command line as a test runs it, inside its own process."""

from glioquery.pipeline.commands import cli


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a command."""
    code = 0
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        code = exit_.code or 0
    out, err = capsys.readouterr()
    return code, out, err
