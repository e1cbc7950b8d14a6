"""A cohort: one patient a row of a CSV file, each inverted by a Ray worker.

A patient's results lie in `sub-<label>/`. A patient counts as done when the result there was made
from the same request: the same bytes of the inputs, the same database, version and options. So the
same command resumes, does again what failed, and does anew what changed. One that fails is
recorded and never stops the others; one whose worker dies is tried once more.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..dbgen import Database
from ..dbgen.cluster import connected
from ..dbgen.files import completed, sha256_of, write_json
from .inversion import invert
from .labels import label_convention
from .names import subject_label
from .nifti import InputError
from .outputs import RESULT_FILE, prepare_output
from .patient import load_patient
from .pictures import draw_thumbnail
from .printing import one_line

SCANS = ("t1", "t1c", "flair", "seg", "brain_mask", "seg_reference", "recurrence")
"""Files of a patient, as `load_patient` takes them."""

COLUMNS = ("id", *SCANS, "labels")

REQUEST_FILE = "request.json"
PICTURE_FILE = "thumbnail.png"

CORES_A_PATIENT = 2
"""Threads of the registration, which takes most of a patient's time."""

TRIALS = 2
"""Of a patient whose worker dies. Ray's own retries have no end where memory runs out."""

BYTES_A_PATIENT = 2 * 2**30

SHOWN_FAULTS = 10

Progress = Callable[[int, int], None]
"""Called with the number of patients that are done, or failed, and their total."""


@dataclass(frozen=True)
class Case:
    """A row of the CSV file.

    Attributes
    ----------
    identifier : str
        What the user calls the patient.
    scans : mapping of str to Path
        Files by role, of `SCANS`; only those that are given.
    labels : str
        Name of the segmentation's label convention.
    """

    identifier: str
    scans: Mapping[str, Path]
    labels: str

    @property
    def subject(self) -> str:
        """BIDS label in file names."""
        return subject_label(self.identifier)


@dataclass(frozen=True)
class Outcome:
    """What became of a patient.

    Attributes
    ----------
    case : Case
    folder : Path
        Where the results lie.
    kept : bool
        Whether it had been done before.
    error : str or None
        One line, where it failed.
    """

    case: Case
    folder: Path
    kept: bool
    error: str | None


def read_cases(path: str | Path, *, labels: str | None = None) -> list[Case]:
    """Read a cohort's CSV file and check all its rows.

    Parameters
    ----------
    path : str or Path
        `COLUMNS` in any order; all but id, seg and one of t1 and t1c may be left out, cells may be
        empty where a T1 or T1c remains. Paths are relative to the file.
    labels : str, optional
        Convention of the rows that name none.

    Raises
    ------
    InputError
        With all faults on one line, each with its line in the file.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cases {path}: cannot be read as a CSV file ({error})") from None
    _require_columns(path, columns)
    if not rows:
        raise InputError(f"cases {path}: no row follows the head; give one patient a row")
    faults: list[str] = []
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for line, row in rows:
        where = f"line {line}"
        if None in row or None in row.values():
            faults.append(f"{where}: expected {len(columns)} cells, as in the head")
            continue
        cells = {name: value.strip() for name, value in row.items()}
        case, found = _read_case(cells, path.parent, labels)
        label = case.subject.lower()  # some file systems know no capitals
        if label in seen:
            found.append(
                f"the ids {case.identifier!r} and {seen[label]!r} share the label {label!r}, of "
                "letters and digits alone, that names the folder"
                if seen[label] != case.identifier
                else f"the id {case.identifier!r} occurs twice"
            )
        seen.setdefault(label, case.identifier)
        faults += [f"{where}: {fault}" for fault in found]
        cases.append(case)
    if faults:
        more = len(faults) - SHOWN_FAULTS
        listed = "; ".join(faults[:SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")
        raise InputError(f"cases {path}: {listed}")
    return cases


def invert_cohort(
    database: Database,
    cases: Sequence[Case],
    out: Path,
    *,
    address: str | None = None,
    n_workers: int | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Outcome]:
    """Invert every patient of a cohort that has not been done yet.

    Parameters
    ----------
    database : Database
        With its index; on a cluster, in a folder that all nodes see, as the patients' files are.
    cases : sequence of Case
    out : Path
        Gets a folder for each patient.
    address, n_workers
        As in `dbgen.cluster.connected`. Every patient takes two cores and 2 GB, or all that a
        smaller node has.
    options : mapping, optional
        Keywords of `invert`; JSON values.
    progress : callable

    Returns
    -------
    list of Outcome
        In the order of the cases.

    Raises
    ------
    InputError
        If the output folder cannot be written.
    ConnectionError
        If there is no cluster at the address.
    """
    out = prepare_output(out)
    options = dict(options or {})
    folders = [out / f"sub-{case.subject}" for case in cases]
    outcomes: dict[int, Outcome] = {}
    todo: dict[int, dict[str, Any]] = {}
    for i, (case, folder) in enumerate(zip(cases, folders, strict=True)):
        try:
            request = describe_request(case, database, options)
        except OSError as unread:  # it could be read a moment ago
            said = f"cannot read {unread.filename}: {unread.strerror}"
            outcomes[i] = Outcome(case, folder, kept=False, error=said)
            continue
        if is_done(folder, request):
            outcomes[i] = Outcome(case, folder, kept=True, error=None)
        else:
            todo[i] = request
    progress(len(outcomes), len(cases))
    if not todo:
        return [outcomes[i] for i in range(len(cases))]
    with connected(address, n_workers=n_workers) as ray:
        task = ray.remote(invert_case).options(max_retries=0, **_resources(ray))

        def begin(i: int) -> Any:
            return task.remote(database.path, cases[i], folders[i], todo[i], options)

        running = {begin(i): (i, 1) for i in todo}
        while running:
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reference in ready:
                i, trial = running.pop(reference)
                try:
                    error = ray.get(reference)
                except ray.exceptions.RayError as lost:
                    if trial < TRIALS:
                        running[begin(i)] = i, trial + 1
                        continue
                    error = f"the worker died: {_last_line(lost)}"
                outcomes[i] = Outcome(cases[i], folders[i], kept=False, error=error)
                progress(len(outcomes), len(cases))
    return [outcomes[i] for i in range(len(cases))]


def invert_case(
    database: Path,
    case: Case,
    folder: Path,
    request: Mapping[str, Any],
    options: Mapping[str, Any],
) -> str | None:
    """Invert one patient of a cohort; return the error's line if it fails, never raise one."""
    try:
        prepare_output(folder)
        for name in (REQUEST_FILE, RESULT_FILE, PICTURE_FILE):
            (folder / name).unlink(missing_ok=True)
        patient = load_patient(
            t1=case.scans.get("t1"),
            t1c=case.scans.get("t1c"),
            flair=case.scans.get("flair"),
            seg=case.scans["seg"],
            brain_mask=case.scans.get("brain_mask"),
            seg_reference=case.scans.get("seg_reference"),
            recurrence=case.scans.get("recurrence"),
            labels=case.labels,
        )
        inversion = invert(
            Database.open(database),
            patient,
            folder,
            title=case.identifier,
            subject=case.subject,
            **options,
        )
        with completed(folder / PICTURE_FILE) as temporary:
            temporary.write_bytes(draw_thumbnail(patient, inversion.density))
        # Last, and bound to this very result: another may be written over it by hand.
        write_json(folder / REQUEST_FILE, _fulfilled(request, folder))
    except Exception as error:  # whatever it is, it is this patient's and not the cohort's
        return one_line(error)
    return None


def describe_request(case: Case, database: Database, options: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a patient's result."""
    return {
        "id": case.identifier,
        "inputs_sha256": {role: sha256_of(path) for role, path in case.scans.items()},
        "labels": case.labels,
        "database": database.checksum,
        "options": dict(options),
        "version": version("glioquery"),
    }


def is_done(folder: Path, request: Mapping[str, Any]) -> bool:
    """Whether a folder holds the complete result of exactly this request."""
    try:
        made_from = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        inputs = result["provenance"]["inputs_sha256"]
        is_as_asked: bool = made_from == _fulfilled(request, folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_as_asked and inputs == request["inputs_sha256"]


def _fulfilled(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A request with the checksum of the result that a folder holds."""
    return {**request, "result_sha256": sha256_of(folder / RESULT_FILE)}


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    known = ", ".join(COLUMNS)
    strange = [name for name in columns if name not in COLUMNS]
    if strange:
        raise InputError(f"cases {path}: no column {strange[0]!r} is known; there are {known}")
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise InputError(f"cases {path}: the column {twice[0]!r} occurs twice")
    if not {"id", "seg"} <= set(columns) or not {"t1", "t1c"} & set(columns):
        raise InputError(
            f"cases {path}: expected the columns id, seg and t1 or t1c, among {known}; "
            f"got {', '.join(columns) or 'none'}"
        )


def _read_case(
    cells: Mapping[str, str], folder: Path, labels: str | None
) -> tuple[Case, list[str]]:
    faults = []
    identifier = cells["id"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", identifier):
        faults.append(
            f"the id {identifier!r} is not safe as a name: use letters, digits, '.', '_' and '-', "
            "a letter or digit first, 64 at most"
        )
    scans = {role: folder / cells[role] for role in SCANS if cells.get(role)}
    if "t1" not in scans and "t1c" not in scans:
        faults.append("neither t1 nor t1c is given")
    if "seg" not in scans:
        faults.append("no seg is given")
    faults += [f"{role}: no file {path}" for role, path in scans.items() if not path.is_file()]
    convention = cells.get("labels") or labels or None
    try:
        label_convention(convention)
    except InputError as error:
        faults.append(str(error))
    absolute = {role: path.absolute() for role, path in scans.items()}
    return Case(identifier, absolute, convention or ""), faults


def _resources(ray: Any) -> dict[str, Any]:
    """What a patient asks of a node; never more than the largest one has, or it would wait."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = max((node.get("CPU", 1) for node in nodes), default=1)
    memory = max((node.get("memory", 0) for node in nodes), default=0)
    cores = min(CORES_A_PATIENT, cores)
    threads = str(max(int(cores), 1))
    return {
        "num_cpus": cores,
        "memory": min(BYTES_A_PATIENT, memory),
        # In place of the one thread of workers that simulate.
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads, "PJRT_NPROC": threads}},
    }


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
