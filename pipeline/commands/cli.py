"""The command line: `glioquery COMMAND`.

People's messages and progress go to stderr; `--json` prints one JSON object on stdout. Exit codes:
0 done, 1 failed, 2 bad usage or bad input, 128 and more stopped by a signal: 130 by Ctrl-C, 143 by
SIGTERM.

Only the command that is asked for is imported: a query needs neither JAX nor what draws reports,
which take 250 MB together.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterable

import typer
from rich.markup import escape

from ...errors import one_line
from ...solver.own_settings import printed_warnings
from ..terminal.progress import console
from ..terminal.stopping import Stopped, stoppable

COMMANDS = {
    "atlas": "growth:atlas_command",
    "simulate": "growth:simulate_command",
    "generate": "database:generate_command",
    "merge": "database:merge_command",
    "describe": "database:describe_command",
    "verify": "database:verify_command",
    "index": "search:index_command",
    "query": "search:query_command",
    "invert": "patient:invert_command",
    "cohort": "cohort:cohort_command",
    "check": "results:check_command",
    "predict-gbm": "benchmark:predict_gbm_command",
    "train": "evaluation:train_command",
    "evaluate": "evaluation:evaluate_command",
    "calibrate": "calibration:calibrate_command",
    "demo": "patient:demo_command",
}
"""Module of `commands` and the function in it."""

KEPT = {
    "generate": "finished shards are kept, and the same command goes on with the others",
    "cohort": "finished patients are kept, and the same command goes on with the others",
    "train": "finished strategies are kept, and the same command goes on with the others",
    "calibrate": "measured tumours are kept, and the same command goes on with the others",
}
"""What a stopped command leaves behind, and how it goes on."""

NOTHING_KEPT = "nothing unfinished is kept, and the same command begins anew"


def application(names: Iterable[str]) -> typer.Typer:
    """The command line with some of its commands."""
    app = typer.Typer(
        name="glioquery",
        help="From an MRI and an outline of a glioma to a tumour-density map, by retrieval.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # or Typer would take a command that is alone for the whole
    for name in names:
        module, function = COMMANDS[name].split(":")
        commands = importlib.import_module(f".{module}", __package__)
        app.command(name)(getattr(commands, function))
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else ""
    # Shards are complete when they have their names; some file systems (NFS) have no locks.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: no letter ends a command
    try:
        with stoppable(), printed_warnings():
            app = application([name] if name in COMMANDS else COMMANDS)
            app(arguments, prog_name="glioquery")
    except Stopped as stopped:
        console.print(f"[bold red]{stopped}:[/] {KEPT.get(name, NOTHING_KEPT)}")
        sys.exit(stopped.exit_code)
    except (ValueError, FileNotFoundError, FileExistsError, ConnectionError, ImportError) as error:
        console.print(f"[bold red]error:[/] {escape(one_line(error))}")
        sys.exit(2)
    except (RuntimeError, OSError) as error:
        console.print(f"[bold red]failed:[/] {escape(one_line(error))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
