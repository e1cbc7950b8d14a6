"""One self-contained page about one patient: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .page import NOTHING, number, render_page, write_page
from .quality import (
    MAX_FOLDING_FRACTION,
    MAX_INVERSE_ERROR_MM,
    MAX_VOLUME_ERROR,
    MIN_BRAIN_DICE,
    MIN_ROUND_TRIP_DICE,
    OutlineQuality,
    RegistrationQuality,
)
from .viewer import SliceViewer

UNDER_RESOLVED_MM = 2.0
"""lambda below the voxel size of the simulation grid."""

MATCH_DECIMALS = {
    "score": 3,
    "dice_core": 3,
    "dice_whole": 3,
    "lambda_mm": 2,
    "rho_t": 1,
    "days": 0,
}
"""Of the columns in which numbers are compared down the page."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under heads; numbers are shown to three digits, None as a dash.

    Attributes
    ----------
    heads : sequence of str
    rows : sequence of sequences
        Each of as many cells as there are heads; the first names the row.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page that only some inversions have.

    Attributes
    ----------
    title : str
    sentences : sequence of str
        One paragraph each, before the tables.
    tables : sequence of Table
    pictures : mapping of str to bytes
        PNGs by caption.
    """

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything the page shows.

    Attributes
    ----------
    case : str
        What the user calls the patient; shown escaped.
    is_plausible : bool
        False prints the status as a warning across the page.
    status : str
        One sentence.
    matches : sequence of mappings
        Best first, with the keys rank, sample, score, dice_core (None where there is no core),
        dice_whole, lambda_mm, rho_t, dw (mm^2/day), rho (1/day), days and origin_mm (three
        numbers, atlas world); `under_resolved` is derived from lambda_mm where missing.
    volumes : Table
    quality : RegistrationQuality
    maps, registration : mapping of str to bytes
        PNGs by caption; the first map is the answer at the top of the page.
    viewer : SliceViewer, optional
    answers : sequence of Section
        Stand after the volumes: what a planner asks for.
    evidence : sequence of Section
        Stand after the matches: how sure the answer is.
    notices : sequence of str
    provenance : mapping
        Versions, checksums, settings; may be nested.
    timings_s : mapping of str to float
        Seconds by step.
    """

    case: str
    is_plausible: bool
    status: str
    matches: Sequence[Mapping[str, object]]
    volumes: Table
    quality: RegistrationQuality
    maps: Mapping[str, bytes]
    registration: Mapping[str, bytes]
    viewer: SliceViewer | None = None
    answers: Sequence[Section] = ()
    evidence: Sequence[Section] = ()
    notices: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)


def write_report(path: str | Path, report: ReportContent) -> None:
    """Write the page; it appears under its name when complete."""
    write_page(Path(path), render_report(report))


def render_report(report: ReportContent) -> str:
    """Return the page as HTML without any reference to another file or address."""
    (caption, answer), *others = report.maps.items()
    best = report.matches[0]
    return render_page(
        "report.html.jinja",
        report=report,
        best=best,
        answer=(caption, answer),
        other_maps=others,
        parameters=_parameters(best),
        is_under_resolved=_is_under_resolved(best),
        matches=[_match_cells(match) for match in report.matches],
        registration_rows=_quality_rows(report.quality),
        seconds=sum(report.timings_s.values()),
    )


def _parameters(best: Mapping[str, object]) -> list[tuple[str, str, str, bool]]:
    """Symbol in HTML's template, value, unit, and whether one scan can tell it."""
    return [
        ("lambda", number(best["lambda_mm"], 2), "mm", True),
        ("rho_t", number(best["rho_t"], 1), "no unit", True),
        ("origin", _point(best["origin_mm"], 1), "mm", True),
        ("dw", number(best["dw"]), "mm²/day", False),
        ("rho", number(best["rho"]), "1/day", False),
        ("days", number(best["days"], 0), "days", False),
    ]


def _match_cells(match: Mapping[str, object]) -> dict[str, str]:
    cells = {
        key: number(match.get(key), MATCH_DECIMALS.get(key))
        for key in ("rank", "sample", "score", "dice_core", "dice_whole", "lambda_mm", "rho_t",
                    "dw", "rho", "days")
    }  # fmt: skip
    cells["origin_mm"] = _point(match.get("origin_mm"), 0)
    cells["flag"] = "▾" if _is_under_resolved(match) else ""
    return cells


def _point(value: object, decimals: int) -> str:
    if value is None:
        return NOTHING
    return ", ".join(number(x, decimals) for x in value)  # type: ignore[attr-defined]


def _is_under_resolved(match: Mapping[str, object]) -> bool:
    flag = match.get("under_resolved")
    return bool(match["lambda_mm"] < UNDER_RESOLVED_MM if flag is None else flag)  # type: ignore[operator]


def _quality_rows(q: RegistrationQuality) -> list[tuple[str, str, str]]:
    """What was measured, its value, what is expected."""
    rows = [
        ("Brain Dice, patient on atlas", f"{q.brain_dice:.3f}", f"≥ {MIN_BRAIN_DICE}"),
        (
            "Local volume change (Jacobian) in the brain",
            f"{q.jacobian_min:.2f} to {q.jacobian_max:.2f}, mean {q.jacobian_mean:.2f}",
            "",
        ),
        ("Folded share of the brain", f"{q.folding_fraction:.3%}", f"≤ {MAX_FOLDING_FRACTION:.1%}"),
        (
            "Error there and back, 95th percentile",
            f"{q.inverse_error_mm:.2f} mm",
            f"≤ {MAX_INVERSE_ERROR_MM:g} mm",
        ),
    ]
    for name, outline in (("Whole tumour", q.whole), ("Core", q.core)):
        if outline.patient_ml > 0:
            rows += _outline_rows(name, outline)
    return rows


def _outline_rows(name: str, outline: OutlineQuality) -> list[tuple[str, str, str]]:
    return [
        (
            f"{name}: volume in patient and on atlas",
            f"{outline.patient_ml:.1f} ml, {outline.atlas_ml:.1f} ml",
            "",
        ),
        (
            f"{name}: volume against what the deformation explains",
            f"{outline.volume_ratio:.3f}",
            f"1 ± {MAX_VOLUME_ERROR:g}",
        ),
        (
            f"{name}: Dice after going to the atlas and back",
            f"{outline.round_trip_dice:.3f}",
            f"≥ {MIN_ROUND_TRIP_DICE}",
        ),
    ]
