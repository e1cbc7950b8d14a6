"""A cohort: many patients, each inverted by a Ray worker.

A patient's results lie in `sub-<label>/`, or in `sub-<label>/anat/` for a BIDS dataset. A patient
counts as done if the result there was made from the same request: the same bytes of the inputs, the
same database, version and options. So the same command resumes, and repeats failed and changed
patients. A failure is recorded and never stops the others; if a worker dies, its patient is tried
once more.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...dbgen import Database
from ...dbgen.machine.cluster import carried_by_value, connected, remote
from ...dbgen.machine.files import sha256_of, write_json
from ...dbgen.machine.memory import share_one_heap
from ...dbgen.machine.progress import Progress, silent
from ...dbgen.machine.tasks import outcomes_of, resources
from ...errors import InputError, explained
from ...paths import StrPath
from ...solver.compilation import keep_compiled_programs
from ...solver.models import register_model
from ..inversion.inputs import load_inputs
from ..inversion.inversion import invert
from ..inversion.options import InversionOptions
from ..names import DICOM_FILES
from ..patient.brain_option import BrainWay, checked_way, network_version
from ..patient.named_files import ROLES, input_sha256
from ..pictures.drawing import drawn
from ..pictures.patient_pictures import draw_thumbnail
from ..results.dicom_places import remove_dicom, require_apart, require_dicom_places
from ..results.json_values import plain
from ..results.outputs import write_inversion
from ..results.result_folder import (
    RESULT_FILE,
    has_all_files,
    only_run,
    prepare_output,
    require_inputs_kept,
    require_names,
)
from ..uncertainty.interval_factors import calibration_sha256
from .case import Case

REQUEST_FILE = "request.json"
PICTURE_FILE = "thumbnail.png"

DICOM_RECORD = ".glioquery.dicom.json"
"""Which DICOM outputs were written with a patient's result; another run may replace them."""

MOST_CORES = 2
"""Most cores of one patient. Where patients wait, each gets one: a second core shortens a patient's
time by less than half."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a patient.

    Attributes
    ----------
    case : Case
    folder : Path
        Folder of the results.
    kept : bool
        Whether the result existed before.
    error : str or None
        One line if it failed.
    """

    case: Case
    folder: Path
    kept: bool
    error: str | None


def invert_cohort(
    database: Database,
    cases: Sequence[Case],
    out: StrPath,
    options: InversionOptions = InversionOptions(),
    *,
    keep_islands: bool = False,
    brain: BrainWay = "auto",
    anonymous: bool = False,
    address: str | None = None,
    n_workers: int | None = None,
    progress: Progress = silent,
) -> list[Outcome]:
    """Invert every patient of a cohort that has not been done yet.

    Parameters
    ----------
    database : Database
        Database with its index. On a cluster, it and the patients' files lie in folders that all
        nodes see.
    cases : sequence of Case
        As `read_cases` returns them in its `cases`.
    out : Path
        Folder that receives one for each patient.
    options : InversionOptions
        Options for all patients.
    keep_islands, brain
        As in `load_patient`.
    anonymous : bool
        Whether DICOM outputs leave patient and study out, see `write_dicom`.
    address, n_workers
        As in `dbgen.machine.cluster.connected`. Every patient takes 2 GB and one core, or two cores
        if there are enough for all patients.
    progress : callable
        Called with the number of patients that are done or have failed, and their total.

    Returns
    -------
    list of Outcome
        In the order of the cases.

    Raises
    ------
    InputError
        If the output folder cannot be written, or DICOM outputs are to lie in a result's folder.
    ExtraError
        If the network should find brains and is not installed.
    ClusterError
        If there is no cluster at the address.
    """
    checked_way(brain)
    _require_refinement(cases, options)
    folders = [Path(out).absolute() / case.place for case in cases]
    _require_apart(cases, Path(out), folders)
    prepare_output(Path(out))
    outcomes: dict[int, Outcome] = {}
    todo: dict[int, dict[str, Any]] = {}
    for i, (case, folder) in enumerate(zip(cases, folders, strict=True)):
        try:
            _require_treatable(case, database)
            request = describe_request(
                case,
                database,
                options,
                keep_islands=keep_islands,
                brain=brain,
                anonymous=anonymous,
            )
        except OSError as unread:  # it could be read a moment ago
            said = f"cannot read {unread.filename}: {unread.strerror}"
            outcomes[i] = Outcome(case, folder, kept=False, error=said)
            continue
        except InputError as unfit:  # a folder that holds no one series, or treatments
            outcomes[i] = Outcome(case, folder, kept=False, error=explained(unfit))
            continue
        if is_done(folder, request) and _has_dicom(case, folder):
            outcomes[i] = Outcome(case, folder, kept=True, error=None)
        else:
            todo[i] = request
    progress(len(outcomes), len(cases))
    if not todo:
        return [outcomes[i] for i in range(len(cases))]
    with connected(address, n_workers=n_workers) as ray:
        n_cores = cores_a_patient(len(todo), ray.cluster_resources().get("CPU", 1))
        task = remote(ray, invert_case, **resources(ray, n_cores))
        with carried_by_value(type(database.model)):
            model = ray.put(type(database.model))

        def begin(i: int) -> Any:
            return task.remote(
                database.path,
                model,
                cases[i],
                folders[i],
                todo[i],
                options,
                keep_islands=keep_islands,
                brain=brain,
                anonymous=anonymous,
            )

        # Nobody works at a patient any more when the command has ended, whatever ended it.
        with contextlib.closing(outcomes_of(ray, begin, todo)) as ended:
            for i, told, death in ended:
                outcomes[i] = Outcome(cases[i], folders[i], kept=False, error=death or told)
                progress(len(outcomes), len(cases))
    return [outcomes[i] for i in range(len(cases))]


def cores_a_patient(n_patients: int, n_cores: float) -> int:
    """How many cores each of the patients gets, so that none of the cores is idle.

    Parameters
    ----------
    n_patients : int
        Patients that are still to be inverted, at least 1.
    n_cores : float
        Cores of the cluster.

    Returns
    -------
    int
        From 1 to `MOST_CORES`.
    """
    return max(1, min(MOST_CORES, int(n_cores) // n_patients))


def invert_case(
    database: Path,
    model: type,
    case: Case,
    folder: Path,
    request: Mapping[str, Any],
    options: InversionOptions,
    *,
    keep_islands: bool = False,
    brain: BrainWay = "auto",
    anonymous: bool = False,
) -> str | None:
    """Invert one patient of a cohort; return the error's line if it fails, never raise one.

    The class of the user's own growth model is passed as well, since the database's path does not
    lead to it.
    """
    share_one_heap()
    keep_compiled_programs()
    files: dict[str, Any] = {role: case.scans.get(role) for role in ROLES}
    try:
        register_model(model)
        if case.dicom is not None:
            require_dicom_places(case.dicom, case.files.values())
        with contextlib.ExitStack() as held:
            held.enter_context(only_run(folder))
            if case.dicom is not None:
                held.enter_context(only_run(case.dicom))
            require_names(folder)
            require_inputs_kept(folder, case.files.values())
            inputs = load_inputs(
                tissue=case.tissue,
                scans=case.named_scans,
                **files,
                seg_grid=case.seg_grid,
                recurrence_labels=case.recurrence_labels,
                labels=case.labels or None,
                core_structures=None if case.structures is None else case.structures.core,
                whole_structures=None if case.structures is None else case.structures.whole,
                keep_islands=keep_islands,
                brain=brain,
            )
            inversion = invert(
                inputs.patient,
                _opened(database, request["database"], model),
                options,
                tissue=inputs.tissue,
                follow_up=inputs.follow_up,
            )
            write_inversion(
                inversion,
                folder,
                title=case.identifier,
                subject=case.subject,
                further={
                    # The result says of the larger picture why it is missing; that holds for this
                    # one, too.
                    PICTURE_FILE: lambda found: drawn(
                        "The thumbnail",
                        lambda: draw_thumbnail(found.patient, found.maps.density),
                        [],
                    ),
                    REQUEST_FILE: lambda _: json.dumps(request, indent=2).encode(),
                },
            )
            if case.dicom is not None:
                from ..results.dicom_outputs import write_dicom

                remove_dicom(case.dicom)  # of an earlier result
                series = case.scans[inversion.patient.modality]
                write_dicom(inversion, case.dicom, series=series, anonymous=anonymous)
                write_json(folder / DICOM_RECORD, _dicom_of(case.dicom, folder))
    except Exception as error:  # whatever it is, it is this patient's and not the cohort's
        return explained(error)
    return None


@functools.lru_cache(maxsize=1)
def _opened(database: Path, checksum: str, model: type) -> Database:
    """The database, opened once a worker as long as neither it nor its model's class changes."""
    return Database.open(database)


def _require_treatable(case: Case, database: Database) -> None:
    """See that a case's treatments can act on the database's growths."""
    if case.treatments:
        from ...solver.treated_state import require_treatable  # here: it imports JAX

        require_treatable(database.model, case.treatments)


def _require_refinement(cases: Sequence[Case], options: InversionOptions) -> None:
    """See that tissue maps are given only if they are used."""
    given = [case.identifier for case in cases if case.tissue is not None]
    if given and not options.refine:
        raise InputError(
            f"tissue maps are given for {', '.join(given[:3])}{' ...' if given[3:] else ''}: the "
            "own anatomy needs a refinement: switch that on"
        )
    if given and options.tissue_from != "auto":
        raise InputError(
            f"tissue maps are given for {', '.join(given[:3])}{' ...' if given[3:] else ''}: leave "
            "--tissue-from out"
        )


def _require_apart(cases: Sequence[Case], out: Path, folders: Sequence[Path]) -> None:
    """See that no DICOM outputs, which identify the patient, are to lie beside a result."""
    for case in cases:
        if case.dicom is None:
            continue
        name = f"{case.identifier}: dicom {case.dicom}"
        require_apart(case.dicom, folders, name)
        if case.dicom.resolve() == out.resolve():
            raise InputError(f"{name} is the folder of the cohort; name another folder")


def describe_request(
    case: Case,
    database: Database,
    options: InversionOptions,
    *,
    keep_islands: bool = False,
    brain: BrainWay = "auto",
    anonymous: bool = False,
) -> dict[str, Any]:
    """Everything that decides a patient's result, including the network that may find the brain."""
    further: dict[str, Any] = {}
    if case.later:
        further["days"] = [case.day, *(scan.day for scan in case.later)]
        further["forecast"] = list(case.forecast)
        further["seg_grids"] = [case.seg_grid, *(scan.seg_grid for scan in case.later)]
    if case.structures is not None:
        further["structures"] = [list(case.structures.core), list(case.structures.whole)]
    if case.dicom is not None:
        further["anonymous"] = anonymous
        # The path itself is nothing for a result, which names no patient.
        further["dicom"] = hashlib.sha256(bytes(case.dicom.resolve())).hexdigest()
    request = {
        "id": case.identifier,
        "inputs_sha256": {role: input_sha256(role, path) for role, path in case.files.items()},
        "labels": case.labels,
        "recurrence_labels": case.recurrence_labels,
        "seg_grid": case.seg_grid,
        "database": database.checksum,
        "calibration": calibration_sha256(database),
        "options": options.row() | {"keep_islands": keep_islands, "brain": brain},
        "brain_network": None if brain == "atlas" else network_version(),
        "version": version("glioquery"),
        **further,
    }
    made: dict[str, Any] = plain(request)
    return made


def _dicom_of(dicom: Path, folder: Path) -> dict[str, str]:
    """SHA-256 of the DICOM outputs in a folder, and of the result in another."""
    files = [folder / RESULT_FILE, *(dicom / name for name in DICOM_FILES)]
    return {file.name: sha256_of(file) for file in files}


def _has_dicom(case: Case, folder: Path) -> bool:
    """Whether the DICOM outputs of a case are those that were written with its result."""
    if case.dicom is None:
        return True
    try:
        recorded = json.loads((folder / DICOM_RECORD).read_text(encoding="utf-8"))
        return bool(recorded == _dicom_of(case.dicom, folder))
    except (OSError, ValueError):
        return False


def is_done(folder: Path, request: Mapping[str, Any]) -> bool:
    """Whether a folder holds the complete result of exactly this request."""
    try:
        made_from = json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        # Somebody may have written another result over it.
        is_of_result = result["files"][REQUEST_FILE]["sha256"] == sha256_of(folder / REQUEST_FILE)
        inputs = result["provenance"]["inputs_sha256"]
        is_whole = has_all_files(folder, result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    # The result names the files that it was made from; that of the treatments was read before.
    is_of_inputs = inputs.items() <= request["inputs_sha256"].items()
    return made_from == request and is_of_inputs and is_of_result and is_whole
