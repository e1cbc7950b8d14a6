"""One self-contained page about one patient: the answer first, then what it rests on."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from .quality import (
    MAX_FOLDING_FRACTION,
    MAX_INVERSE_ERROR_MM,
    MAX_VOLUME_ERROR,
    MIN_BRAIN_DICE,
    MIN_ROUND_TRIP_DICE,
    OutlineQuality,
    RegistrationQuality,
)
from .report_style import CSS

DECIMALS = {"score": 3, "dice_core": 3, "dice_whole": 3, "lambda_mm": 2, "rho_t": 1, "days": 0}
"""Of the columns in which numbers are compared down the page."""

UNDER_RESOLVED_MM = 2.0
"""lambda below the voxel size of the simulation grid."""

DISCLAIMER = (
    "glioquery is research software. It is not a medical device, its results are not validated "
    "for clinical use and must not guide the treatment of a patient."
)


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
    volumes : sequence of mappings
        Rows with one set of keys, which become the column heads.
    quality : RegistrationQuality
    maps, registration : mapping of str to bytes
        PNGs by caption; the first map is the answer at the top of the page.
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
    volumes: Sequence[Mapping[str, object]]
    quality: RegistrationQuality
    maps: Mapping[str, bytes]
    registration: Mapping[str, bytes]
    notices: Sequence[str] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)


def write_report(path: str | Path, report: ReportContent) -> None:
    """Write the page; it appears under its name when complete."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(render_report(report))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def render_report(report: ReportContent) -> str:
    """Return the page as HTML without any reference to another file or address."""
    first, *others = report.maps.items()
    title = f"Tumour map: {report.case}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _status(report),
        _pictures([first]),
        "<h2>Volumes</h2>",
        _rows_table(report.volumes),
        _parameters(report.matches),
        "<h2>The map on the other scans</h2>" if others else "",
        _pictures(others),
        _matches(report.matches),
        _quality(report),
        "<h2>Provenance</h2>",
        _nested(report.provenance),
        _timings(report.timings_s),
        f"<p class='disclaimer'>{escape(DISCLAIMER)}</p>",
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{escape(title)}</title>\n<style>\n{CSS}</style>\n</head>\n"
        "<body>\n" + "\n".join(part for part in body if part) + "\n</body>\n</html>\n"
    )


def _status(report: ReportContent) -> str:
    parts = [
        f"<p class='status {'good' if report.is_plausible else 'bad'}'>"
        + ("" if report.is_plausible else "<strong>No plausible match.</strong> ")
        + f"{escape(report.status)}</p>"
    ]
    problems = [*report.quality.problems]
    if problems:
        parts.append(f"<div class='warning'><strong>Registration:</strong> {_list(problems)}</div>")
    if report.notices:
        parts.append(f"<div class='notice'>{_list(report.notices)}</div>")
    if report.matches:
        best = report.matches[0]
        core = (
            ""
            if best.get("dice_core") is None
            else f"core {_number(best['dice_core'], decimals=2)}, "
        )
        parts.append(
            f"<p>Best match: sample {_number(best['sample'])}; Dice of the outlines {core}"
            f"whole tumour {_number(best['dice_whole'], decimals=2)} (1 is perfect, 0 none).</p>"
        )
    parts.append(f"<p class='disclaimer'>{escape(DISCLAIMER)}</p>")
    return "\n".join(parts)


def _parameters(matches: Sequence[Mapping[str, object]]) -> str:
    if not matches:
        return ""
    best = matches[0]
    origin = ", ".join(f"{float(x):.1f}" for x in best["origin_mm"])  # type: ignore[attr-defined]
    rows = [
        ("Infiltration length &lambda; = &radic;(D<sub>w</sub>/&rho;)", best["lambda_mm"], "mm", 1),
        ("Growth &rho;T", best["rho_t"], "(no unit)", 1),
        ("Origin x, y, z on the atlas (RAS)", origin, "mm", 1),
        ("Diffusion in white matter D<sub>w</sub>", best["dw"], "mm<sup>2</sup>/day", 0),
        ("Proliferation rate &rho;", best["rho"], "1/day", 0),
        ("Time since onset T", best["days"], "days", 0),
    ]
    lines = [
        f"<tr class='{'' if known else 'unknown'}'><td>{name}</td>"
        f"<td class='n'>{_number(value, 4)}</td><td>{unit}</td>"
        f"<td>{'identifiable' if known else 'not identifiable from one scan'}</td></tr>"
        for name, value, unit, known in rows
    ]
    flag = ""
    if _is_under_resolved(best):
        flag = (
            "<p class='warning'>&lambda; is below 2 mm, the voxel size of the simulation: this "
            "tumour's front is under-resolved by the grid and its speed less certain.</p>"
        )
    return (
        "<h2>Parameters of the best match</h2>\n<table>\n<tr><th>Parameter</th><th>Value</th>"
        "<th>Unit</th><th></th></tr>\n" + "\n".join(lines) + "\n</table>\n"
        "<p class='small'>A single scan tells only D<sub>w</sub>T and &rho;T: a tumour twice as "
        "fast and half as old looks the same. D<sub>w</sub>, &rho; and T are those of the "
        "simulation and hold only together.</p>\n" + flag
    )


def _matches(matches: Sequence[Mapping[str, object]]) -> str:
    columns = {
        "rank": "rank",
        "sample": "sample",
        "score": "score",
        "dice_core": "Dice core",
        "dice_whole": "Dice whole",
        "lambda_mm": "&lambda; (mm)",
        "rho_t": "&rho;T",
        "dw": "D<sub>w</sub> (mm<sup>2</sup>/day)",
        "rho": "&rho; (1/day)",
        "days": "T (days)",
        "origin_mm": "origin (mm)",
    }
    head = "".join(f"<th>{name}</th>" for name in columns.values())
    lines = []
    for match in matches:
        cells = []
        for key in columns:
            value = match.get(key)
            if key == "origin_mm" and value is not None:
                text = ", ".join(f"{float(x):.0f}" for x in value)  # type: ignore[attr-defined]
            else:
                text = _number(value, decimals=DECIMALS.get(key))
            if key == "lambda_mm" and _is_under_resolved(match):
                text += " <span title='below the 2 mm grid'>&#9662;</span>"
            unknown = " unknown" if key in ("dw", "rho", "days") else ""
            cells.append(f"<td class='n{unknown}'>{text}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        "<h2>Best matches</h2>\n<table>\n<tr>" + head + "</tr>\n" + "\n".join(lines) + "\n</table>"
        "\n<p class='small'>The score is the sum of the two Dice scores (of the whole tumour alone "
        "where there is no core). Grey: not identifiable from one scan. &#9662;: &lambda; below "
        "2 mm, under-resolved by the grid.</p>"
    )


def _quality(report: ReportContent) -> str:
    q = report.quality
    rows: list[tuple[str, str, str]] = [
        ("Brain Dice, patient on atlas", f"{q.brain_dice:.3f}", f"&ge; {MIN_BRAIN_DICE}"),
        (
            "Local volume change (Jacobian) in the brain",
            f"{q.jacobian_min:.2f} to {q.jacobian_max:.2f}, mean {q.jacobian_mean:.2f}",
            "",
        ),
        (
            "Folded share of the brain",
            f"{q.folding_fraction:.3%}",
            f"&le; {MAX_FOLDING_FRACTION:.1%}",
        ),
        (
            "Error there and back, 95th percentile",
            f"{q.inverse_error_mm:.2f} mm",
            f"&le; {MAX_INVERSE_ERROR_MM:g} mm",
        ),
    ]
    for name, outline in (("Whole tumour", q.whole), ("Core", q.core)):
        if outline.patient_ml > 0:
            rows += _outline_rows(name, outline)
    lines = [
        f"<tr><td>{name}</td><td class='n'>{value}</td><td class='n'>{limit}</td></tr>"
        for name, value, limit in rows
    ]
    return (
        "<h2>Registration to the atlas</h2>\n<table>\n<tr><th></th><th>Value</th><th>Expected</th>"
        "</tr>\n" + "\n".join(lines) + "\n</table>\n" + _pictures(report.registration.items())
    )


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
            f"1 &plusmn; {MAX_VOLUME_ERROR:g}",
        ),
        (
            f"{name}: Dice after going to the atlas and back",
            f"{outline.round_trip_dice:.3f}",
            f"&ge; {MIN_ROUND_TRIP_DICE}",
        ),
    ]


def _timings(timings_s: Mapping[str, float]) -> str:
    if not timings_s:
        return ""
    rows: list[Mapping[str, object]] = [
        {"step": step, "seconds": f"{seconds:.1f}"} for step, seconds in timings_s.items()
    ]
    total = f"{sum(timings_s.values()):.1f}"
    return "<h2>Timings</h2>\n" + _rows_table([*rows, {"step": "all", "seconds": total}])


def _pictures(pictures: Iterable[tuple[str, bytes]]) -> str:
    return "\n".join(
        f"<figure><img alt='{escape(caption)}' src='data:image/png;base64,"
        f"{base64.b64encode(png).decode()}'><figcaption>{escape(caption)}</figcaption></figure>"
        for caption, png in pictures
    )


def _rows_table(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(str(key))}</th>" for key in rows[0])
    lines = [
        "<tr>"
        + "".join(
            f"<td class='{'n' if i else ''}'>{_number(row.get(key))}</td>"
            for i, key in enumerate(rows[0])
        )
        + "</tr>"
        for row in rows
    ]
    return f"<table>\n<tr>{head}</tr>\n" + "\n".join(lines) + "\n</table>"


def _nested(content: Mapping[str, object]) -> str:
    items = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            items.append(f"<dt>{escape(str(key))}</dt><dd>{_nested(value)}</dd>")
        else:
            items.append(f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>")
    return f"<dl>{''.join(items)}</dl>" if items else ""


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(s)}</li>" for s in sentences) + "</ul>"


def _is_under_resolved(match: Mapping[str, object]) -> bool:
    flag = match.get("under_resolved")
    return bool(match["lambda_mm"] < UNDER_RESOLVED_MM if flag is None else flag)  # type: ignore[operator]


def _number(value: object, digits: int = 3, decimals: int | None = None) -> str:
    """Text of a table cell: numbers to a few digits, nothing as a dash, all else escaped."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "&ndash;"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return escape(str(value))
    number = float(value)
    if decimals is not None:
        return f"{number:.{decimals}f}"
    if number == int(number) and abs(number) < 1e9:
        return str(int(number)) if not isinstance(value, float) else f"{number:g}"
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"
