"""What the report's sections say of an answer and of its certainty."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.agreement.expectation import DensityMaps
from glioquery.pipeline.anatomy.patient_tissue import PatientTissue, TissueSource
from glioquery.pipeline.fit.anatomy import OwnAnatomy
from glioquery.pipeline.fit.answer import Answer, AnswerSource, Findings
from glioquery.pipeline.fit.fitted_thresholds import FittedThresholds
from glioquery.pipeline.fit.refinement import Refined
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.inversion.result import Inversion
from glioquery.pipeline.prediction.maps import MapScore, PatientMaps
from glioquery.pipeline.report import report_sections
from glioquery.pipeline.report.report_sections import (
    QUANTITY_NAMES,
    describe_agreement,
    describe_answer,
    describe_certainty,
)
from glioquery.pipeline.uncertainty.ensemble import Uncertainty
from glioquery.pipeline.uncertainty.intervals import Fitted, Interval
from glioquery.solver import GrowthParameters, Thresholds, TumorMasks
from glioquery.solver.declarations import Declared
from glioquery.solver.models import FisherKolmogorov

GROWTH = GrowthParameters((-85.0, 125.0, 85.0), 0.2, 0.02, 600.0, own={"ratio": 8.0})
DECLARED = Declared.by(FisherKolmogorov())
INTERVALS = {name: Interval(1.0, 2.5) for name in QUANTITY_NAMES}


def made(cls, **values):
    """An object of a dataclass, of which the sections read these fields alone."""
    return cls(**{field.name: None for field in dataclasses.fields(cls)} | values)


ANSWER = Answer(AnswerSource.REFINEMENT, (GROWTH,), 1.5, 0.7, 0.8, None, DECLARED)


@pytest.fixture
def inversion():
    """An inversion with intervals and the ratio fitted."""
    levels = {0.01: "map", 0.2: "other"}
    one = np.ones((1, 1, 1), bool)
    return made(
        Inversion,
        findings=made(Findings, answer=ANSWER, tried=(ANSWER,)),
        masks=TumorMasks(one, one, Grid(one.shape, np.eye(4))),
        options=InversionOptions(densities=(0.2, 0.01)),
        patient_tissue=made(PatientTissue, source=TissueSource.SEGMENTED),
        maps=made(PatientMaps, expected=made(DensityMaps, exceedance=levels, grid="grid")),
        uncertainty=made(
            Uncertainty,
            members=(1, 2, 3),
            source="refinement",
            intervals=INTERVALS,
            calibration="on 200 tumours",
            fitted={"ratio": Fitted(2.0, 20.0, is_determined=True)},
        ),
    )


def with_part(inversion, part, **values):
    """An inversion of which one part has other values."""
    changed = dataclasses.replace(getattr(inversion, part), **values)
    return dataclasses.replace(inversion, **{part: changed})


@pytest.fixture(autouse=True)
def exceedance(monkeypatch):
    """The maps that are drawn, in place of pictures of them."""
    asked = []
    monkeypatch.setattr(
        report_sections, "draw_exceedance", lambda patient, u, grid: asked.append(u) or b"png"
    )
    return asked


def test_the_probability_of_the_least_visible_cells_is_drawn(inversion, exceedance):
    section = describe_certainty(inversion, None, [])
    assert exceedance == ["map"]
    assert list(section.pictures) == ["Probability that the density is at least 0.01"]


def test_each_quantity_has_its_interval(inversion):
    intervals, _ = describe_certainty(inversion, None, []).tables
    assert intervals.rows == [(name, "1.0 to 2.5") for name in QUANTITY_NAMES.values()]


@pytest.mark.parametrize(
    ("fitted", "interval", "now", "before"),
    [
        (Fitted(2, 20, is_determined=True), Interval(5, 9.5), "5 to 9.5", "2 to 20"),
        (Fitted(2, 20, is_determined=True), None, "determined; no interval is claimed", "2 to 20"),
        (Fitted(2, 20, is_determined=False), None, "not determined by the outlines: 2 to 20",
         "2 to 20"),
        (Fitted(5, 20, is_determined=False, choices=(5, 10, 20)), None,
         "not determined by the outlines: 5, 10, 20", "5, 10, 20"),
    ],
)  # fmt: skip
def test_a_fitted_parameter_is_never_a_number_alone(inversion, fitted, interval, now, before):
    intervals = INTERVALS | ({} if interval is None else {"ratio": interval})
    inversion = with_part(inversion, "uncertainty", fitted={"ratio": fitted}, intervals=intervals)
    ((name, value, *rest),) = describe_certainty(inversion, None, []).tables[-1].rows
    assert "ratio" in name.lower() or "grey" in name.lower()
    assert (value, *rest) == (8.0, now, before)


def test_no_interval_is_claimed_where_none_was_calibrated(inversion):
    inversion = with_part(inversion, "uncertainty", intervals=None, fitted={})
    there = dataclasses.replace(ANSWER, source=AnswerSource.OWN_ANATOMY, growths=(GROWTH, GROWTH))
    inversion = with_part(inversion, "findings", answer=there)
    section = describe_certainty(inversion, None, [])
    assert section.tables == []
    page = " ".join(section.sentences)
    assert "No intervals are claimed. on 200 tumours" in page
    assert "in the world of the registered image" in page
    assert "the best single tumours" in page


def test_growths_on_the_atlas_and_in_the_patient_stand_side_by_side(inversion):
    inversion = dataclasses.replace(inversion, own=made(OwnAnatomy, bent=ANSWER, grown=ANSWER))
    _, there = describe_answer(inversion).tables
    assert [row[1:] for row in there.rows] == [("1.500", "0.700", "0.800")] * 2
    assert [row[0].split(" ")[-1] for row in there.rows] == ["patient", "anatomy"]


def test_an_absent_core_has_no_dice_in_the_tables(inversion):
    without = dataclasses.replace(ANSWER, dice_core=None)
    inversion = with_part(inversion, "findings", tried=(ANSWER, without))
    inversion = dataclasses.replace(inversion, own=made(OwnAnatomy, bent=without, grown=ANSWER))
    tables = describe_answer(inversion).tables
    assert [[row[2] for row in table.rows] for table in tables] == [
        ["0.700", None],
        [None, "0.700"],
    ]


@pytest.mark.parametrize("has_core", [True, False])
def test_agreement_has_no_dice_of_a_core_that_is_not_on_the_scan(inversion, has_core):
    masks = TumorMasks(np.full((1, 1, 1), has_core), inversion.masks.whole, inversion.masks.grid)
    score = MapScore(dice_core=0.6 if has_core else 0.0, dice_whole=0.8, residual=0.5)
    inversion = dataclasses.replace(
        with_part(inversion, "maps", growth_score=score, score=score),
        patient=SimpleNamespace(masks=masks),
    )
    core = 0.6 if has_core else None
    row = {"dice_core": core, "dice_whole": 0.8, "residual": 0.5}
    assert inversion.agreement == {"growth": row, "map": row}
    (table,) = describe_agreement(inversion).tables
    said = (None if core is None else "0.600", "0.800", "0.50")
    assert [cells[1:] for cells in table.rows] == [said, said]


@pytest.mark.parametrize("has_core", [True, False])
def test_fitted_thresholds_are_told_with_their_growth(inversion, has_core):
    inversion.masks.core[:] = has_core
    fitted = FittedThresholds(Thresholds(0.45, 0.15), Refined(GROWTH, 1.7, 0.8, 0.9))
    inversion = with_part(inversion, "findings", fitted=fitted)
    page = " ".join(describe_answer(inversion).sentences)
    assert "The patient's tissue is segmented in the T1." in page
    assert ("the core is drawn at a density of 0.45" in page) == has_core
    assert "the whole tumour is drawn at a density of 0.15: sum of Dice 1.700, λ 3.16 mm" in page
