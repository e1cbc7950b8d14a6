"""Run a trial through Ray: each patient by a worker of one core, its arms one after the other.

`rows/NNNx.json` holds the scores of patient NNN in arm x, or why there are none. A row counts if it
was made from the same request and is no failure; the same command makes the others. Kept files of a
patient lie in `patients/NNNx/`; `kept.json` there, written last, names their request and sizes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...dbgen.machine.cluster import connected, remote
from ...dbgen.machine.files import write_json
from ...dbgen.machine.memory import share_one_heap
from ...dbgen.machine.progress import Progress, silent
from ...dbgen.machine.tasks import outcomes_of, require_seen, resources
from ...dbgen.store.embedded import embedded_database
from ...errors import explained
from ...paths import StrPath
from ...solver.compilation import keep_compiled_programs
from ...solver.own_settings import own_arithmetic
from ..results.json_values import plain
from ..results.result_folder import has_all_files, list_files, prepare_output
from ..virtual.anatomies import ANATOMIES
from ..virtual.arms import Arm
from ..virtual.trial_patient import arm_rng, image, make_bearer
from .case import OPTIONS, score_case
from .plan import TrialPlan

METHOD = 11
"""Number that rises when patients, maps or scores change: earlier rows are then computed again."""

ROWS, PATIENTS = "rows", "patients"
"""Folders of the rows and, if they are kept, of the patients' files."""

KEPT_FILE = "kept.json"
"""File in a patient's folder that says of which request its files are."""

Row = dict[str, Any]
"""A case in plain values: `patient`, `arm`, `request`, and the values of `score_case` or
`error`."""


def request_of(plan: TrialPlan) -> dict[str, Any]:
    """Everything that decides a row, apart from its patient and arm."""
    return {
        "seed": plan.seed,
        "anatomies": list(ANATOMIES),
        "options": OPTIONS.row(),
        "database": embedded_database().checksum,
        "version": version("glioquery"),
        "method": METHOD,
    }


def run_trial(
    plan: TrialPlan,
    out: StrPath,
    *,
    keep: bool = False,
    address: str | None = None,
    n_workers: int | None = None,
    progress: Progress = silent,
) -> list[Row]:
    """Make all missing rows of a trial.

    Parameters
    ----------
    plan : TrialPlan
    out : path
        Folder that receives the rows.
    keep : bool
        Whether to keep the patients' files and the truth. A case whose files are missing is made
        again.
    address, n_workers
        As in `dbgen.machine.cluster.connected`.
    progress : callable
        Counts cases.

    Returns
    -------
    list of Row
        Patient by patient, arm by arm.

    Raises
    ------
    InputError
        If the output folder cannot be written.
    ClusterError
        If there is no cluster at the address.
    """
    out = prepare_output(Path(out))
    (out / ROWS).mkdir(exist_ok=True)
    request, cases = request_of(plan), plan.cases
    todo: dict[int, list[Arm]] = {}
    for number, arm in cases:
        path = row_path(out, number, arm)
        is_kept = not keep or _has_files(patient_folder(out, number, arm), request)
        if is_kept and _is_done(read_row(path), request):
            continue
        todo.setdefault(number, []).append(arm)
    n_done = len(cases) - sum(map(len, todo.values()))
    progress(n_done, len(cases))
    if todo:
        with connected(address, n_workers=n_workers) as ray:
            task = remote(ray, run_patient, **resources(ray, 1))

            def begin(number: int) -> Any:
                return task.remote(out, request, number, todo[number], keep=keep)

            with contextlib.closing(outcomes_of(ray, begin, todo)) as ended:
                for number, _, death in ended:
                    if death is not None:
                        _record_death(out, request, number, todo[number], death)
                    n_done += len(todo[number])
                    progress(n_done, len(cases))
    rows = (read_row(row_path(out, *case)) for case in cases)
    return [row for row in rows if row is not None]


@own_arithmetic()
def run_patient(
    out: Path, request: dict[str, Any], number: int, arms: Sequence[Arm], *, keep: bool = False
) -> None:
    """Make a patient's rows; the row of a case that fails says why."""
    require_seen(out, ROWS)
    share_one_heap()
    keep_compiled_programs()
    seed, bearer = request["seed"], None
    for arm in arms:
        row: Row = {"patient": number, "arm": arm, "request": request}
        try:
            bearer = bearer or make_bearer(seed, number)
            patient = image(bearer, arm, arm_rng(seed, number, arm))
            folder = patient_folder(out, number, arm)
            (folder / KEPT_FILE).unlink(missing_ok=True)  # the files may become another patient's
            row |= score_case(patient, folder if keep else None)
            if keep:
                write_json(folder / KEPT_FILE, {"request": request, "files": list_files(folder)})
        except Exception as error:  # whatever it is, it is this case's and not the trial's
            row["error"] = explained(error)
        write_json(row_path(out, number, arm), plain(row))


def patient_folder(out: Path, number: int, arm: Arm) -> Path:
    """Folder of a case's files, if they are kept."""
    return out / PATIENTS / f"{number:03d}{arm}"


def row_path(out: Path, number: int, arm: Arm) -> Path:
    """Path of a case's row."""
    return out / ROWS / f"{number:03d}{arm}.json"


def read_row(path: Path) -> Row | None:
    """A row as it was written; None where there is none that can be read."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) else None


def _is_done(row: Row | None, request: dict[str, Any]) -> bool:
    return row is not None and row.get("request") == request and "rankings" in row


def _has_files(folder: Path, request: dict[str, Any]) -> bool:
    """Whether the files of a case that were kept are complete, and of this request."""
    kept = read_row(folder / KEPT_FILE)
    return kept is not None and kept["request"] == request and has_all_files(folder, kept)


def _record_death(
    out: Path, request: dict[str, Any], number: int, arms: Sequence[Arm], death: str
) -> None:
    """Write what ended a worker into the rows that it did not make."""
    for arm in arms:
        path = row_path(out, number, arm)
        found = read_row(path)
        if found is None or found.get("request") != request or "error" in found:
            row = {"patient": number, "arm": arm, "request": request, "error": death}
            write_json(path, row)
