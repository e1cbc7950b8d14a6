"""What the report's sections say of an answer and of its certainty."""

from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.pipeline.fit.answer import AnswerSource
from glioquery.pipeline.report import report_sections
from glioquery.pipeline.report.report_sections import (
    QUANTITY_NAMES,
    describe_answer,
    describe_certainty,
)
from glioquery.pipeline.uncertainty.intervals import Fitted, Interval
from glioquery.solver import GrowthParameters, Thresholds
from glioquery.solver.declarations import Declared
from glioquery.solver.models import FisherKolmogorov

GROWTH = GrowthParameters((-85.0, 125.0, 85.0), 0.2, 0.02, 600.0, own={"ratio": 8.0})
SCORE = SimpleNamespace(source=AnswerSource.REFINEMENT, score=1.5, dice_core=0.7, dice_whole=0.8)
INTERVALS = {name: Interval(1.0, 2.5) for name in QUANTITY_NAMES}


@pytest.fixture
def inversion():
    """What the sections read of an inversion, with intervals and the ratio fitted."""
    return SimpleNamespace(
        answer=SimpleNamespace(
            source=AnswerSource.REFINEMENT,
            growths=[GROWTH],
            is_on_atlas=True,
            declared=Declared.by(FisherKolmogorov()),
        ),
        findings=SimpleNamespace(tried=[SCORE], fitted=None),
        masks=SimpleNamespace(core=np.ones(1, bool)),
        options=SimpleNamespace(densities=(0.2, 0.01)),
        own=None,
        patient_tissue=SimpleNamespace(told="that of the T1"),
        maps=SimpleNamespace(
            expected=SimpleNamespace(exceedance={0.01: "map", 0.2: "other"}, grid="grid")
        ),
        uncertainty=SimpleNamespace(
            members=[1, 2, 3],
            source="refinement",
            intervals=INTERVALS,
            calibration="on 200 tumours",
            fitted={"ratio": Fitted(2.0, 20.0, is_determined=True)},
        ),
    )


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
    told = inversion.uncertainty
    told.fitted = {"ratio": fitted}
    told.intervals = INTERVALS | ({} if interval is None else {"ratio": interval})
    ((name, value, *rest),) = describe_certainty(inversion, None, []).tables[-1].rows
    assert "ratio" in name.lower() or "grey" in name.lower()
    assert (value, *rest) == (8.0, now, before)


def test_no_interval_is_claimed_where_none_was_calibrated(inversion):
    inversion.uncertainty.intervals = None
    inversion.uncertainty.fitted = {}
    inversion.answer.growths = [GROWTH, GROWTH]
    inversion.answer.is_on_atlas = False
    section = describe_certainty(inversion, None, [])
    assert section.tables == []
    page = " ".join(section.sentences)
    assert "No intervals are claimed. on 200 tumours" in page
    assert "in the world of the registered image" in page
    assert "the best single tumours" in page


def test_growths_on_the_atlas_and_in_the_patient_stand_side_by_side(inversion):
    inversion.own = SimpleNamespace(bent=SCORE, grown=SCORE)
    _, there = describe_answer(inversion).tables
    assert [row[1:] for row in there.rows] == [("1.500", "0.700", "0.800")] * 2
    assert [row[0].split(" ")[-1] for row in there.rows] == ["patient", "anatomy"]


@pytest.mark.parametrize("has_core", [True, False])
def test_fitted_thresholds_are_told_with_their_growth(inversion, has_core):
    inversion.masks.core[:] = has_core
    fit = SimpleNamespace(score=1.7, parameters=GROWTH)
    inversion.findings.fitted = SimpleNamespace(thresholds=Thresholds(0.45, 0.15), fit=fit)
    page = " ".join(describe_answer(inversion).sentences)
    assert ("the core is drawn at a density of 0.45" in page) == has_core
    assert "the whole tumour is drawn at a density of 0.15: sum of Dice 1.700, λ 3.16 mm" in page
