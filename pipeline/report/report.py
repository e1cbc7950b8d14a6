"""One self-contained page about one patient: the answer first, then its basis."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_text
from ...paths import StrPath
from ...solver.declarations import (
    COMBINATIONS,
    NOTHING_DECLARED,
    RATES,
    Combination,
    Declared,
    Parameter,
)
from ..registration.edges import MOVES
from ..registration.quality import (
    MAX_FOLDING_FRACTION,
    MAX_INVERSE_ERROR_MM,
    MAX_VOLUME_ERROR,
    MAX_WARP_TURN_DEG,
    MIN_BRAIN_DICE,
    MIN_EDGE_ADVANTAGE,
    MIN_EDGE_AGREEMENT,
    MIN_ROUND_TRIP_DICE,
    OutlineQuality,
    RegistrationQuality,
)
from .page import number, render_page

IDENTIFIABLE = "identifiable"

MATCH_DECIMALS = {
    "score": 3,
    "dice_core": 3,
    "dice_whole": 3,
    "lambda_mm": 2,
    "rho_t": 1,
    "days": 0,
}
"""Decimals in columns whose numbers are compared."""


SET_IN_TYPE = {one.name for one in COMBINATIONS} | {one.name for one in RATES}
"""Names whose symbols the template sets itself."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under heads; numbers are shown to three digits, None as a dash.

    Attributes
    ----------
    heads : sequence of str
    rows : sequence of sequences
        Each with as many cells as there are heads; the first names the row.
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
        The user's name for the patient; the page escapes it.
    is_plausible : bool
        False prints the status as a warning across the page.
    status : str
        One sentence.
    answer : mapping
        The map's growth: source, score, dice_core (None without a core), dice_whole, and growths.
        These are one mapping, or one for each of several tumours, with origin_mm, the parameters
        and combinations by name, and under_resolved.
    matches : sequence of mappings
        Best first, with the keys rank, sample, score, dice_core (None where there is no core),
        dice_whole, origin_mm (three numbers, atlas world), the parameters and combinations by name,
        and under_resolved.
    volumes : Table
    quality : RegistrationQuality
    maps, registration : mapping of str to bytes
        PNGs by caption; the first map is the answer at the top of the page. None where they
        could not be drawn.
    viewer : str
        HTML of the viewer of slices; empty for none.
    answers : sequence of Section
        Sections for planning, after the volumes.
    evidence : sequence of Section
        Sections on the answer's certainty, after the matches.
    notices : sequence of str
    provenance : mapping
        Versions, checksums, settings; may be nested.
    timings_s : mapping of str to float
        Seconds by step.
    declared : Declared
        What the growth model declares of its parameters.
    undetermined : collection of str
        Fitted parameters about which the outlines say nothing.
    """

    case: str
    is_plausible: bool
    status: str
    answer: Mapping[str, Any]
    matches: Sequence[Mapping[str, Any]]
    volumes: Table
    quality: RegistrationQuality
    maps: Mapping[str, bytes]
    registration: Mapping[str, bytes]
    viewer: str = ""
    answers: Sequence[Section] = ()
    evidence: Sequence[Section] = ()
    notices: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    declared: Declared = NOTHING_DECLARED
    undetermined: Collection[str] = ()


def write_report(path: StrPath, report: ReportContent) -> None:
    """Write the page; it appears under its name when complete.

    Parameters
    ----------
    path : str or os.PathLike
        The page, which is replaced if it exists.
    report : ReportContent

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    write_text(Path(path), render_report(report))


def render_report(report: ReportContent) -> str:
    """The page as HTML without any reference to another file or address."""
    pictures = list(report.maps.items())
    growths = report.answer["growths"]
    declared: list[Parameter | Combination] = [*report.declared.combinations]
    declared += report.declared.parameters
    rows = (*growths, *report.matches)
    own = [one for one in declared if all(one.name in row for row in rows)]
    return render_page(
        "report.html.jinja",
        report=report,
        best=report.answer,
        first_map=pictures[:1],
        other_maps=pictures[1:],
        growths=growths,
        parameters=_parameters(growths, report.declared, report.undetermined),
        own=own,
        scaled=", ".join(_symbols_of(report.declared)),
        is_under_resolved=any(growth["under_resolved"] for growth in growths),
        matches=[_match_cells(match, own) for match in report.matches],
        registration_rows=_quality_rows(report.quality),
        seconds=sum(report.timings_s.values()),
    )


def _parameters(
    growths: Sequence[Mapping[str, Any]], declared: Declared, undetermined: Collection[str] = ()
) -> list[tuple[str, list[str], str, str]]:
    """Meaning, values by growth, unit, and whether the scan tells it, of each parameter.

    Identifiable ones come first, the origin among them.
    """
    listed: list[Parameter | Combination] = [*declared.all_combinations]
    listed += [*declared.parameters, *RATES]
    rows = []
    for one in listed:
        if any(one.name not in growth for growth in growths):
            continue
        values = [number(g[one.name], MATCH_DECIMALS.get(one.name)) for g in growths]
        unit = one.unit.replace("^2", "²").replace("^3", "³") or "no unit"
        label = one.name if one.name in SET_IN_TYPE else f"{one.meaning} {one.symbol}".strip()
        told = IDENTIFIABLE
        if one.name in declared.symmetry:
            told = "not identifiable from one scan"
        elif one.name in undetermined:
            told = "not determined by the outlines"
        rows.append((label, values, unit, told))
    origins = [_point(growth["origin_mm"], 1) for growth in growths]
    rows.insert(len(declared.all_combinations), ("origin", origins, "mm", IDENTIFIABLE))
    return sorted(rows, key=lambda row: row[-1] != IDENTIFIABLE)


def _symbols_of(declared: Declared) -> list[str]:
    """Symbols of the parameters that one scan does not tell."""
    known = {one.name: one.symbol for one in (*RATES, *declared.parameters)}
    return [known[name] for name in declared.symmetry]


def _match_cells(
    match: Mapping[str, Any], own: Sequence[Parameter | Combination]
) -> dict[str, Any]:
    cells: dict[str, Any] = {
        key: number(match.get(key), MATCH_DECIMALS.get(key))
        for key in ("rank", "sample", "score", "dice_core", "dice_whole", "lambda_mm", "rho_t",
                    "dw", "rho", "days")
    }  # fmt: skip
    cells["own"] = [number(match[one.name]) for one in own]
    cells["origin_mm"] = _point(match["origin_mm"], 0)
    cells["flag"] = "▾" if match["under_resolved"] else ""
    return cells


def _point(position_mm: Sequence[float], decimals: int) -> str:
    return ", ".join(number(x, decimals) for x in position_mm)


def _quality_rows(q: RegistrationQuality) -> list[tuple[str, str, str]]:
    """For each measure: its name, its value, and the expected range."""
    rows = [
        ("Brain Dice, patient on atlas", f"{q.brain_dice:.3f}", f"≥ {MIN_BRAIN_DICE}"),
        (
            "Agreement of tissue edges (1 perfect, 0 chance)",
            number(q.edge_agreement, 2),
            f"≥ {MIN_EDGE_AGREEMENT}",
        ),
        (
            f"Agreement minus the best one after a move of {MOVES[0]:g}° or {MOVES[1]:g} mm",
            number(q.edge_advantage, 2),
            f"≥ {MIN_EDGE_ADVANTAGE:g}",
        ),
        (
            "How far the deformation alone turns the brain",
            f"{q.warp_turn_deg:.1f}°",
            f"≤ {MAX_WARP_TURN_DEG:g}°",
        ),
        (
            "Local volume change (Jacobian) in the brain",
            f"{q.jacobian_min:.2f} to {q.jacobian_max:.2f}, mean {q.jacobian_mean:.2f}",
            "",
        ),
        (
            "Share of the brain where the map folds",
            f"{q.folding_fraction:.3%}",
            f"≤ {MAX_FOLDING_FRACTION:.1%}",
        ),
        (
            "Error of the path to the atlas and back, 95th percentile",
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
            f"{name}: volume, as a share of what the deformation explains",
            number(outline.volume_ratio, 3),
            f"1 ± {MAX_VOLUME_ERROR:g}",
        ),
        (
            f"{name}: Dice after going to the atlas and back",
            number(outline.round_trip_dice, 3),
            f"≥ {MIN_ROUND_TRIP_DICE}",
        ),
    ]
