"""The command line: `glioquery COMMAND`.

People's messages and progress go to stderr; `--json` prints one JSON object on stdout. Exit codes:
0 done, 1 failed, 2 bad usage or bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from .commands import benchmark, cohort, database, evaluation, growth, patient, search
from .printing import one_line
from .progress import console
from .registration import RegistrationError

app = typer.Typer(
    name="glioquery",
    help="From an MRI and an outline of a glioma to a tumour-density map, by retrieval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "atlas": growth.atlas_command,
    "simulate": growth.simulate_command,
    "generate": database.generate_command,
    "merge": database.merge_command,
    "describe": database.describe_command,
    "verify": database.verify_command,
    "index": search.index_command,
    "query": search.query_command,
    "invert": patient.invert_command,
    "cohort": cohort.cohort_command,
    "predict-gbm": benchmark.predict_gbm_command,
    "train": evaluation.train_command,
    "evaluate": evaluation.evaluate_command,
    "demo": patient.demo_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2."""
    try:
        app(arguments, prog_name="glioquery")
    except (ValueError, FileNotFoundError, FileExistsError, ConnectionError, ImportError) as error:
        console.print(f"[bold red]error:[/] {one_line(error)}")
        sys.exit(2)
    except (RegistrationError, RuntimeError, OSError) as error:
        console.print(f"[bold red]failed:[/] {one_line(error)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
