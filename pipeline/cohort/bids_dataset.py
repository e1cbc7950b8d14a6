"""A BIDS dataset as a cohort: the T1 and the segmentation of each participant and session.

Images lie in the dataset or in its derivatives; a segmentation is a `dseg` there, in the
participant's own space. If several files fit, none is chosen automatically.

References
----------
K. J. Gorgolewski et al., "BIDS apps: improving ease of use, accessibility, and reproducibility of
neuroimaging data analysis methods", PLOS Computational Biology 13(3):e1005209, 2017.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ...paths import StrPath
from ..images.labels import label_convention
from ..names import LABEL
from ..results.dataset_description import DESCRIPTION_FILE, is_own, read_description
from ..results.table_file import listed
from .case import Case
from .case_table import CaseTable, fault_of

TUMOUR = "desc-tumor"
"""Entity of a tumour's segmentation; segmentations of tissue, which many pipelines write, have
another."""

OWN_SPACES = frozenset({"", "T1w", "orig", "scanner"})
"""Spaces of files in the participant's own world."""

MANY = 5
"""Most names that a message lists."""


def read_bids_cases(
    dataset: StrPath,
    *,
    labels: str | None,
    out: StrPath,
    derivatives: Sequence[StrPath] = (),
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    seg: str = TUMOUR,
    images: str = "",
) -> CaseTable:
    """Find the participants of a BIDS dataset that have a T1 and a segmentation.

    Parameters
    ----------
    dataset : path
        Dataset of raw or derived data.
    labels : str or None
        Convention of the segmentations' labels.
    out : path
        Folder of the results; earlier results there are no inputs.
    derivatives : sequence of path
        Datasets to search after this one; by default all in its `derivatives`.
    participants, sessions : sequence of str
        Labels of the wanted ones, with or without `sub-` and `ses-`; all by default.
    seg : str
        Entities in the name of a segmentation, joined by `_`.
    images : str
        Entities that choose an image if a participant has several of a kind.

    Returns
    -------
    CaseTable
        A case for each participant and session, and notices of those that were left out.

    Raises
    ------
    InputError
        If the folder is no BIDS dataset, a label does not exist, or several files of a participant
        fit.
    """
    dataset = Path(dataset)
    convention = label_convention(labels)
    if not (dataset / DESCRIPTION_FILE).is_file():
        raise InputError(
            f"{dataset}: expected a BIDS dataset, got a folder without {DESCRIPTION_FILE}; name "
            "the folder that holds it and the participants' folders"
        )
    roots = [dataset, *_derivatives(dataset, derivatives, Path(out))]
    wanted = {label.removeprefix("sub-") for label in participants}
    wanted_sessions = {label.removeprefix("ses-") for label in sessions}
    visits = [
        visit for visit in _visits(roots, wanted_sessions) if not wanted or visit[0] in wanted
    ]
    unknown = sorted(wanted - {label for label, _ in visits})
    if unknown or not visits:
        raise InputError(
            f"{dataset}: expected folders sub-<label> of participants"
            + (f" {', '.join(unknown)}" if unknown else "")
            + (" with these sessions" if sessions else "")
            + f", got none; it holds {_some({label for label, _ in _visits(roots, set())})}"
        )
    without_visit = sorted(wanted_sessions - {session for _, session in visits})
    if without_visit:
        raise InputError(
            f"{dataset}: expected folders ses-<label> of sessions {', '.join(without_visit)}"
            + (" of these participants" if wanted else "")
            + ", got none: correct the labels"
        )
    cases, faults, without = [], [], []
    for label, session in visits:
        participant = label if session is None else f"{label}_ses-{session}"
        name = f"sub-{participant}"
        try:
            scans = _scans(roots, participant, seg=seg, images=images)
        except InputError as error:
            faults.append(f"{name}: {error}")
            continue
        if not {"t1", "t1c"} & set(scans) or "seg" not in scans:
            without.append(name)
            continue
        faults += [
            f"{name}: {role}: {fault}"
            for role, path in scans.items()
            if (fault := fault_of(role, path)) is not None
        ]
        scans = {role: path.absolute() for role, path in scans.items()}  # workers run elsewhere
        cases.append(Case(name, scans, convention.name, participant=participant))
    lacking = f"no T1 with a segmentation (*_{f'{seg}_' if seg else ''}dseg.nii.gz)"
    if not cases and not faults:
        raise InputError(
            f"{dataset}: {lacking} for any participant, there or in derivatives; say where with "
            "--derivatives, and what the names hold with --seg"
        )
    if wanted and without:
        faults += [f"{name}: {lacking}" for name in without]
    if faults:
        raise InputError(f"{dataset}: {listed(faults)}")
    notices = (f"Left out: {_some(without)}: {lacking}.",) if without else ()
    return CaseTable(tuple(cases), notices)


def sources_of(dataset: StrPath, out: StrPath) -> list[dict[str, str]]:
    """How derivatives name their source dataset: by its DOI, or by its path relative to them.

    An absolute path would mean nothing elsewhere, and might name a person.
    """
    dataset, out = Path(dataset).resolve(), Path(out).resolve()
    doi = read_description(dataset).get("DatasetDOI")
    if isinstance(doi, str):
        return [{"DOI": doi}]
    if out.is_relative_to(dataset):
        return [{"URL": "/".join([".."] * len(out.relative_to(dataset).parts))}]
    return []


def _derivatives(dataset: Path, given: Sequence[StrPath], out: Path) -> list[Path]:
    """Further datasets, without those that glioquery made, which hold no inputs."""
    if given:
        places = [Path(place) for place in given]
        missing = [str(place) for place in places if not place.is_dir()]
        if missing:
            raise InputError(f"derivatives {', '.join(missing)}: no such folder; check the path")
    else:
        inside = dataset / "derivatives"
        places = sorted(p for p in inside.iterdir() if p.is_dir()) if inside.is_dir() else []
    return [p for p in places if p.resolve() != out.resolve() and not is_own(p)]


def _visits(roots: Sequence[Path], sessions: set[str]) -> list[tuple[str, str | None]]:
    """Labels of participants and of their sessions, None where they have none, in order."""
    found: set[tuple[str, str | None]] = set()
    for root in roots:
        for place in _labelled(root, "sub"):
            of_place = [(place.name[4:], session.name[4:]) for session in _labelled(place, "ses")]
            found.update(of_place or [(place.name[4:], None)])
    with_sessions = {label for label, session in found if session is not None}
    return sorted(
        (visit for visit in found
         if (visit[1] in sessions if sessions else visit[1] or visit[0] not in with_sessions)),
        key=lambda visit: (visit[0], visit[1] or ""),
    )  # fmt: skip


def _labelled(folder: Path, entity: str) -> Iterator[Path]:
    for place in folder.glob(f"{entity}-*"):
        if re.fullmatch(f"{entity}-{LABEL}", place.name) and place.is_dir():
            yield place


def _scans(roots: Sequence[Path], participant: str, *, seg: str, images: str) -> dict[str, Path]:
    """Files of a participant by role, each from the first dataset that holds one."""
    scans = {}
    for role in ("t1", "t1c", "flair", "seg", "brain_mask"):
        for root in roots:
            label, *session = f"sub-{participant}".split("_")
            folder = root.joinpath(label, *session, "anat")
            found = [
                path for path in sorted(folder.glob(f"{label}_*.nii*")) if _is_of(role, path, seg)
            ]
            chosen = set((seg if role == "seg" else images).split("_")) - {""}
            if len(found) > 1 and chosen:
                found = [path for path in found if chosen <= _entities(path)] or found
                exact = [path for path in found if chosen == _entities(path) - {label, *session}]
                found = exact if len(exact) == 1 else found
            if len(found) > 1:
                option = "--seg" if role == "seg" else "--images"
                raise InputError(
                    f"expected one {role}, got {_some([path.name for path in found])}; choose one "
                    f"by an entity of its name, as in {option} {_difference(found)}"
                )
            if found:
                scans[role] = found[0]
                break
    return scans


def _is_of(role: str, path: Path, seg: str) -> bool:
    """Whether a file's name fits a role, in the participant's own space."""
    *entities, suffix = re.sub(r"\.nii(\.gz)?$", "", path.name).split("_")
    told = dict(entity.split("-", 1) for entity in entities if "-" in entity)
    if told.get("space", "") not in OWN_SPACES or suffix.endswith(path.suffix):
        return False
    if role == "seg":
        return suffix == "dseg" and (not seg or set(seg.split("_")) <= set(entities))
    if role == "brain_mask":
        return suffix == "mask" and told.get("desc") == "brain"
    suffixes: Mapping[str, str] = {"t1": "T1w", "t1c": "T1w", "flair": "FLAIR"}
    if suffix != suffixes[role]:
        return False
    return role == "flair" or ("ce" in told) == (role == "t1c")


def _entities(path: Path) -> set[str]:
    """The entities of a file's name."""
    return set(path.name.split("_")[:-1])


def _difference(paths: Sequence[Path]) -> str:
    """An entity that only one of the names has."""
    every = [path.name.split("_")[:-1] for path in paths]
    own = [
        entity
        for entity in itertools.chain.from_iterable(every)
        if sum(entity in entities for entities in every) == 1
    ]
    return own[0] if own else "acq-mprage"


def _some(names: Sequence[str] | set[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:MANY]) + (" ..." if every[MANY:] else "") if every else "none"
