"""The page of one inversion: its answer, how certain that is, and its basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..inversion.provenance import provenance_of
from ..inversion.result import Inversion, InversionStatus
from .outlook_section import describe_outlook
from .report import ReportContent, Table, write_report
from .report_sections import (
    describe_agreement,
    describe_answer,
    describe_certainty,
    describe_planning,
)


@dataclass(frozen=True)
class PagePictures:
    """What of a page is drawn before it; each may be missing.

    Attributes
    ----------
    maps : mapping of str to bytes
        PNGs by caption.
    registration : bytes or None
        PNG.
    slices : str or None
        The viewer, see `view_density`.
    """

    maps: Mapping[str, bytes]
    registration: bytes | None
    slices: str | None


def write_page(
    path: Path, inversion: Inversion, title: str, pictures: PagePictures, failures: list[str]
) -> None:
    """Write the page of an inversion with its pictures.

    Parameters
    ----------
    path : Path
    inversion : Inversion
    title : str
        Heading of the page.
    pictures : PagePictures
    failures : list of str
        Notices about missing pictures; it receives those of the page.
    """
    patient = inversion.patient
    answers = [describe_planning(inversion, patient, failures)]
    if inversion.outlook is not None:
        answers.append(describe_outlook(inversion.outlook, patient, failures))
    evidence = [
        describe_agreement(inversion),
        describe_answer(inversion),
        describe_certainty(inversion, patient, failures),
    ]
    write_report(
        path,
        ReportContent(
            case=title,
            is_plausible=inversion.status is not InversionStatus.NO_PLAUSIBLE_MATCH,
            status=_status_sentence(inversion),
            notices=(*inversion.notices, *failures),
            maps=pictures.maps,
            viewer=pictures.slices or "",
            answers=answers,
            evidence=evidence,
            registration=(
                {"Registration to the atlas": pictures.registration}
                if pictures.registration
                else {}
            ),
            answer=inversion.answer.row(),
            matches=[match.row() for match in inversion.matches],
            volumes=_volumes(inversion),
            quality=inversion.quality,
            provenance=provenance_of(inversion),
            timings_s=inversion.timings_s,
            declared=inversion.answer.declared,
            undetermined=[
                name
                for name, fitted in inversion.uncertainty.fitted.items()
                if not fitted.is_determined
            ],
        ),
    )


def _status_sentence(inversion: Inversion) -> str:
    if inversion.status is InversionStatus.NO_PLAUSIBLE_MATCH:
        return (
            "No simulated tumour is like this one "
            f"(mean Dice {inversion.mean_dice:.2f}). The map below rests on the most similar one: "
            "do not rely on it."
        )
    if inversion.status is InversionStatus.REGISTRATION_DOUBTFUL:
        return (
            f"The match is plausible (mean Dice {inversion.mean_dice:.2f}), but the registration "
            "is doubtful: look at it before you rely on the map."
        )
    return f"A plausible match was found (mean Dice of the outlines {inversion.mean_dice:.2f})."


def _volumes(inversion: Inversion) -> Table:
    patient = inversion.patient
    thresholds = inversion.thresholds
    outlined = {
        thresholds.core: f"{patient.masks.core_ml:.1f}",
        thresholds.whole: f"{patient.masks.whole_ml:.1f}",
    }
    names = {thresholds.core: " (core)", thresholds.whole: " (whole tumour)"}
    return Table(
        ("Predicted density", "Predicted (ml)", "Outlined on the scan (ml)"),
        [
            (
                f"at least {level:g}{names.get(level, '')}",
                f"{inversion.predicted_ml(level):.1f}",
                outlined.get(level),
            )
            for level in reversed(inversion.shown_levels)
        ],
    )
