"""Sections of the report: the answer's source, planning, certainty."""

from __future__ import annotations

from ...solver.declarations import RATES
from ..fit.answer import AnswerSource
from ..inversion.result import Inversion
from ..patient.patient import Patient
from ..pictures.drawing import drawn
from ..pictures.patient_pictures import draw_exceedance, draw_volumes
from ..prediction.planning import MARGIN_MM
from ..uncertainty.interval_factors import LEVEL, SEGMENTATION_NOISE
from .page import number
from .report import Section, Table

SHOWN_LEVEL = 0.01
"""The exceedance of the density nearest to this is drawn, far beyond what the scan shows."""

QUANTITY_NAMES = {
    "lambda_mm": "Infiltration length λ (mm)",
    "rho_t": "Growth ρT (no unit)",
    "origin_x_mm": "Origin x (mm)",
    "origin_y_mm": "Origin y (mm)",
    "origin_z_mm": "Origin z (mm)",
}

SOURCE_SENTENCES = {
    AnswerSource.MATCH: "The map rests on the best match among the stored tumours.",
    AnswerSource.REFINEMENT: (
        "The map rests on a refined growth. The refinement began with the best matches and "
        "improved origin, λ and ρT until the outlines overlapped no better."
    ),
    AnswerSource.SEVERAL: (
        "The core has several components. Several tumours that grow side by side overlap the "
        "outlines better than one. The map rests on the largest of their densities in each voxel."
    ),
    AnswerSource.SEVERAL_REFINED: (
        "The core has several components. Several tumours, each refined on its own part of the "
        "outlines, overlap them better than one. The map rests on the largest of their densities "
        "in each voxel."
    ),
    AnswerSource.OWN_ANATOMY: (
        "The map rests on a growth in the patient's own tissue, where the refinement continued. "
        "This growth overlaps the outlines better than the growth on the atlas, bent to the "
        "patient. Its origin is in the world of the registered image, and its lengths are the "
        "patient's."
    ),
}


def describe_answer(inversion: Inversion) -> Section:
    """The answers that were compared, and the best one."""
    tables = [
        Table(
            ("Tried", "Sum of Dice", "Dice core", "Dice whole"),
            [
                (t.source.value, f"{t.score:.3f}", _dice(t.dice_core), f"{t.dice_whole:.3f}")
                for t in inversion.findings.tried
            ],
        )
    ]  # fmt: skip
    if inversion.own is not None:
        tables.append(
            Table(
                ("In the patient, outlines at 2 mm", "Sum of Dice", "Dice core", "Dice whole"),
                [
                    (name, f"{t.score:.3f}", _dice(t.dice_core), f"{t.dice_whole:.3f}")
                    for name, t in (
                        ("grown on the atlas, bent to the patient", inversion.own.bent),
                        ("grown in the patient's own anatomy", inversion.own.grown),
                    )
                ],
            )
        )  # fmt: skip
    sentences = [SOURCE_SENTENCES[inversion.answer.source]]
    sentences.append(f"The patient's tissue is {inversion.patient_tissue.told}.")
    fitted = inversion.findings.fitted
    if fitted is not None:
        drawn = f"the whole tumour is drawn at a density of {fitted.thresholds.whole:.2f}"
        if inversion.masks.core.any():
            drawn = f"the core is drawn at a density of {fitted.thresholds.core:.2f} and {drawn}"
        sentences.append(
            f"With the thresholds of the outlines fitted as well, {drawn}: sum of Dice "
            f"{fitted.fit.score:.3f}, λ {fitted.fit.parameters.lambda_mm:.2f} mm, "
            f"ρT {fitted.fit.parameters.rho_t:.1f}. One scan does not tell a low threshold from a "
            "small tumour, so do not compare this score with those above."
        )
    return Section("How the answer was found", sentences, tables)


def describe_agreement(inversion: Inversion) -> Section:
    """How the growth and the map that agrees with the outlines compare."""
    rows = [
        (name, _dice(score["dice_core"]), _dice(score["dice_whole"]), number(score["residual"], 2))
        for name, score in (
            ("the growth, as it grew", inversion.agreement["growth"]),
            ("the map", inversion.agreement["map"]),
        )
    ]
    sentences = [
        "No growth overlaps the outlines everywhere. The map moves its front through the patient's "
        "tissue to the outlines. Near the core it follows the core's outline. Farther away the "
        "front is smoothed, because each outline is drawn with errors. There both outlines have "
        "the same weight, unless they lie much farther apart than the growth says: oedema may "
        "widen the whole one.",
        "The residual says how far each is from a front that the growth equation could have made: "
        "0 for an ideal front, 0.3 to 0.6 for true growths in real tissue, somewhat more for "
        "fitted ones, nearly 1 for any drawing.",
    ]
    heads = ("On the T1", "Dice core", "Dice whole", "Residual")
    return Section("How the map agrees with the scan", sentences, [Table(heads, rows)])


def describe_planning(inversion: Inversion, patient: Patient, failures: list[str]) -> Section:
    """The volumes of one size, and their shares of a recurrence.

    The list receives notices about missing pictures.
    """
    planning = inversion.maps.planning
    row = planning.row()
    around = "core" if planning.gross == "core" else "whole tumour, as there is no core"
    tables = [
        Table(
            ("Volume", "ml", "Part of the outlined whole tumour outside it"),
            [
                (what, f"{row[f'{name}_ml']:.1f}",
                 f"{row[f'{name}_leaves_out_ml']:.1f} ml, {row[f'{name}_leaves_out']:.0%}")
                for name, what in (
                    ("standard", f"Standard: {MARGIN_MM:g} mm around the {around}"),
                    ("model", "Model: as much brain, by predicted density"),
                    ("geodesic", "Geodesic: as much brain, by the way through tissue"),
                )
            ],
        ),
        Table(
            ("Further", "ml"),
            [
                ("In all three volumes", f"{row['all_ml']:.1f}"),
                ("In the standard volume alone", f"{row['standard_only_ml']:.1f}"),
                ("In the model's volume alone", f"{row['model_only_ml']:.1f}"),
                ("In the geodesic volume alone", f"{row['geodesic_only_ml']:.1f}"),
                *_islands(patient),
            ],
        ),
    ]  # fmt: skip
    if inversion.coverage:
        tables += _recurrence_tables(inversion)
    sentence = (
        f"The standard clinical target volume is the brain within {MARGIN_MM:g} mm of the "
        f"{planning.gross} (ESTRO-EANO 2023). Two other volumes have the same size. One holds "
        "what the model ranks highest; the other holds what a front from the "
        f"{planning.gross} reaches first. That front is slower in grey matter than in white, and "
        "slowest in fluid. The standard and the model's volume end only at the brain's surface: "
        "edit them at other barriers, such as the falx."
    )
    picture = drawn(
        "The picture of the planning volumes",
        lambda: draw_volumes(patient, planning.by_name, planning.grid),
        failures,
    )
    return Section(
        "Volumes for planning",
        [sentence],
        tables,
        {"The volumes on the registered image": picture} if picture else {},
    )


def _recurrence_tables(inversion: Inversion) -> list[Table]:
    """The volumes' shares of a recurrence, and its rank outside the first core."""
    found = inversion.coverage
    ranked = [
        (c.outline, by, f"{score.auc:.3f}", f"{score.average_precision:.3f}")
        for c in found
        for by, score in (
            ("the model", c.model_ranking),
            ("distance through tissue", c.geodesic_ranking),
        )
        if score is not None
    ]
    tables = [
        Table(
            ("Recurrence", "ml", "In the standard volume", "In the model's", "In the geodesic"),
            [
                (c.outline, f"{c.recurrence_ml:.1f}", f"{c.standard:.1%}", f"{c.model:.1%}",
                 f"{c.geodesic:.1%}")
                for c in found
            ],
        ),
    ]  # fmt: skip
    if ranked:
        heads = (
            "Ranking of the brain outside the core",
            "Ranked by",
            "ROC-AUC",
            "Average precision",
        )
        tables.append(Table(heads, ranked))
    return tables


def _islands(patient: Patient) -> list[tuple[str, str]]:
    """Rows about the islands of the outlines."""
    islands = patient.islands
    if islands is None:
        return []
    fate = "left out" if islands.left_out else "kept"
    return [
        (f"{n} islands of the outlined {name}, {fate}", f"{ml:.2g}")
        for name, n, ml in (
            ("core", islands.n_core, islands.core_ml),
            ("whole tumour", islands.n_whole, islands.whole_ml),
        )
        if n
    ]


def describe_certainty(inversion: Inversion, patient: Patient, failures: list[str]) -> Section:
    """Intervals of the quantities that one scan can tell, and where an isoline may lie.

    The list receives notices about missing pictures.
    """
    told = inversion.uncertainty
    where = "the best matches" if told.source == "matches" else "growths around the refined one"
    world = "the atlas" if inversion.answer.is_on_atlas else "the registered image"
    sentences = [
        f"The ensemble has {len(told.members)} members ({where}), weighted by their scores. "
        f"Origins are in the world of {world}.",
    ]
    tables = []
    if told.intervals is None:
        sentences.append(f"No intervals are claimed. {told.calibration}")
    else:
        sentences.append(
            f"The intervals are meant to hold the truth in {LEVEL:.0%} of simulated tumours under "
            f"this model of segmentation noise: {SEGMENTATION_NOISE} (calibration: "
            f"{told.calibration}). Errors of model, anatomy and registration come on top, so "
            "the intervals claim nothing for a real patient."
        )
        rows = [
            (name, f"{told.intervals[key].low:.1f} to {told.intervals[key].high:.1f}")
            for key, name in QUANTITY_NAMES.items()
        ]
        tables.append(Table(("Quantity", f"{LEVEL:.0%} interval"), rows))
    if told.fitted:
        tables.append(_fitted_table(inversion))
    if len(inversion.answer.growths) > 1:
        sentences.append(
            "Each member is one tumour, while the map has several. The numbers here are those of "
            "the best single tumours."
        )
    level = min(inversion.options.densities, key=lambda x: abs(x - SHOWN_LEVEL))
    expected = inversion.maps.expected
    picture = drawn(
        f"The picture of the probability of {level:g}",
        lambda: draw_exceedance(patient, expected.exceedance[level], expected.grid),
        failures,
    )
    caption = f"Probability that the density is at least {level:g}"
    return Section(
        "Uncertainty",
        sentences,
        tables,
        {caption: picture} if picture else {},
    )


def _fitted_table(inversion: Inversion) -> Table:
    """What the outlines tell about each further fitted parameter; never a number alone."""
    told, growth = inversion.uncertainty, inversion.answer.growths[0].values()
    known = {one.name: one for one in (*RATES, *inversion.answer.declared.parameters)}
    rows = []
    for name, fitted in told.fitted.items():
        one = known[name]
        before = f"{fitted.low:g} to {fitted.high:g}"
        if fitted.choices:
            before = ", ".join(f"{value:g}" for value in fitted.choices)
        if not fitted.is_determined:
            now = f"not determined by the outlines: {before}"
        elif told.intervals is not None and name in told.intervals:
            now = f"{told.intervals[name].low:.3g} to {told.intervals[name].high:.3g}"
        else:
            now = "determined; no interval is claimed"
        unit = f" ({one.unit})" if one.unit else ""
        value = growth.get(name)
        rows.append((f"{one.meaning} {one.symbol}{unit}", value, now, before))
    return Table(("Also fitted", "Value", f"{LEVEL:.0%} interval", "Known before"), rows)


def _dice(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
