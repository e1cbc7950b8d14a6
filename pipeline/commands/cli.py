"""The command line: `glioquery COMMAND`.

People's messages and progress go to stderr; `--json` prints one JSON object on stdout. Exit codes:
0 done, 1 failed, 2 bad usage or bad input, 128 and more stopped by a signal: 130 by Ctrl-C, 143 by
SIGTERM.

Modules of commands import what they need where they need it: help, and the refusal of bad input,
do not wait for libraries that take seconds.
"""

from __future__ import annotations

import importlib
import inspect
import io
import itertools
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from ...dbgen.machine.memory import share_one_heap
from ...errors import exit_code_of, explained, one_line
from ...solver.own_settings import printed_warnings
from ..terminal.progress import console
from ..terminal.stopping import Stopped, stoppable

COMMANDS = {
    "atlas": "growth:atlas_command",
    "simulate": "growth:simulate_command",
    "tensor-atlas": "growth:tensor_atlas_command",
    "generate": "database:generate_command",
    "merge": "database:merge_command",
    "describe": "database:describe_command",
    "verify": "database:verify_command",
    "export": "sharing:export_command",
    "fetch": "sharing:fetch_command",
    "index": "search:index_command",
    "query": "search:query_command",
    "invert": "patient:invert_command",
    "cohort": "cohort:cohort_command",
    "bids": "bids:bids_command",
    "check": "patient:check_command",
    "predict-gbm": "cohort:predict_gbm_command",
    "train": "evaluation:train_command",
    "evaluate": "evaluation:evaluate_command",
    "calibrate": "database:calibrate_command",
    "trial": "trial:trial_command",
    "demo": "patient:demo_command",
}
"""Module of `commands` and the function in it."""

KEPT = {
    "generate": "finished shards are kept, and the same command goes on with the others",
    "index": "indexed tumours are kept, and the same command goes on with the others",
    "cohort": "finished patients are kept, and the same command goes on with the others",
    "bids": "finished participants are kept, and the same command goes on with the others",
    "train": "finished strategies are kept, and the same command goes on with the others",
    "evaluate": "answered queries are kept, and the same command goes on with the others",
    "calibrate": "measured tumours are kept, and the same command goes on with the others",
    "fetch": "the downloaded part is kept, and the same command goes on with the rest",
    "trial": "finished cases are kept, and the same command goes on with the others",
}
"""What a stopped command keeps, and how it goes on."""

NOTHING_KEPT = "nothing unfinished is kept, and the same command starts over"


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"glioquery {version('glioquery')}")
        raise typer.Exit


def _summary(command: Callable[..., object]) -> str:
    """The first paragraph of a command's docstring, which -OO leaves out."""
    return (inspect.getdoc(command) or "").split("\n\n")[0]


def application(names: Iterable[str]) -> typer.Typer:
    """The command line with some of its commands."""
    app = typer.Typer(
        name="glioquery",
        help="From an MRI and an outline of a glioma to a map of tumour cell density.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # whose tables cut the names of options at 80 columns
    )
    app.callback()(_before_the_command)
    for name in names:
        module, function = COMMANDS[name].split(":")
        commands = importlib.import_module(f".{module}", __package__)
        command = getattr(commands, function)
        # A summary that is given is wrapped; one that is taken from the help is cut.
        app.command(name, short_help=_summary(command))(command)
    return app


def _before_the_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error.")
    ] = False,
) -> None:
    pass  # `main` looks for --debug itself


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; one line on stderr says what ended it.

    Bad input ends with exit code 2, work that failed with 1, and so does a bug, whose line names a
    file with the traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    first = list(itertools.takewhile(lambda argument: argument.startswith("-"), arguments))
    name = next(iter(arguments[len(first) :]), "")
    # Shards are complete when they have their names; some file systems (NFS) have no locks.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    share_one_heap()  # before any thread begins
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: no letter ends a command
    try:
        with stoppable(), printed_warnings():
            app = application([name] if name in COMMANDS else COMMANDS)
            app(arguments, prog_name="glioquery")
    except Stopped as stopped:
        console.print(f"[bold red]{stopped}:[/] {KEPT.get(name, NOTHING_KEPT)}")
        sys.exit(stopped.exit_code)
    except Exception as error:
        if "--debug" in first:
            traceback.print_exception(error)
            told = one_line(error)
        else:
            told = explained(error)
        code = exit_code_of(error)
        console.print(f"[bold red]{'error' if code == 2 else 'failed'}:[/] {escape(told)}")
        sys.exit(code)


if __name__ == "__main__":
    main()
