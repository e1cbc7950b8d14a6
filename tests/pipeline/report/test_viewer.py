"""The viewer of slices, whatever nilearn makes of it."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.errors import FailedError
from glioquery.pipeline.pictures.drawing import drawn
from glioquery.pipeline.pictures.planes import centre_of
from glioquery.pipeline.report import viewer
from glioquery.pipeline.report.viewer import view_density
from glioquery.solver import TumorDensity, TumorMasks

GRID = Grid((20, 22, 18), np.diag([4.0, 4.0, 4.0, 1.0]) - np.outer([60, 0, 0, 0], [0, 0, 0, 1]))


@pytest.fixture(scope="module")
def patient():
    """As much of a patient as is looked at: a brain that fills its grid, a tumour aside."""
    whole = np.zeros(GRID.shape, bool)
    whole[13:17, 8:12, 7:11] = True
    scan = SimpleNamespace(values=np.ones(GRID.shape, np.float32), grid=GRID)
    return SimpleNamespace(
        brain=np.ones(GRID.shape, bool), grid=GRID, t1=scan, masks=TumorMasks(whole, whole, GRID)
    )


@pytest.fixture(scope="module")
def density(patient):
    return TumorDensity(patient.masks.whole.astype(np.float32), GRID)


@pytest.fixture(scope="module")
def html(patient, density):
    return view_density(patient, density)


def settings_of(page):
    return json.loads(re.search(r"brainsprite\((\{.*\})\);", page)[1])


def built(settings, *, head=""):
    """A page as nilearn builds it, with other settings."""
    return f"<html><head>{head}</head><body>brainsprite({json.dumps(settings)});</body></html>"


@pytest.fixture
def nilearn_makes(monkeypatch):
    def makes(page):
        monkeypatch.setattr(
            "nilearn.plotting.view_img", lambda *_, **__: SimpleNamespace(html=page)
        )

    return makes


def x_told(settings):
    (step, _, _, offset), n = settings["affine"][0], settings["nbSlice"]["X"]
    return [step * (i + 1) + offset for i in (0, settings["numSlice"]["X"], n - 1)]


def test_what_is_told_is_what_the_mirrored_picture_shows(html, patient):
    first, shown, last = x_told(settings_of(html))
    assert first > shown > last
    assert shown == pytest.approx(centre_of(patient.masks.whole, GRID)[0], abs=0.51)


def test_a_viewer_without_the_fault_is_left_as_it_is(html, patient, density, nilearn_makes):
    mended = settings_of(html)
    nilearn_makes(built(mended))
    assert settings_of(view_density(patient, density)) == mended


@pytest.mark.parametrize("fault", ["numSlice", "affine"])
def test_of_two_faults_the_one_that_is_there_is_mended(
    html, patient, density, nilearn_makes, fault
):
    mended = settings_of(html)
    n, (step, _, _, offset) = mended["nbSlice"]["X"], mended["affine"][0]
    low = step * n + offset
    faulty = {
        "numSlice": mended["numSlice"] | {"X": n - 1 - mended["numSlice"]["X"]},
        "affine": [[1.0, 0.0, 0.0, low - 1], *mended["affine"][1:]],
    }
    nilearn_makes(built(mended | {fault: faulty[fault]}))
    assert settings_of(view_density(patient, density)) == mended


UNKNOWN = {
    "call": lambda s: built(s).replace("brainsprite(", "new Brainsprite("),
    "settings": lambda s: built({k: v for k, v in s.items() if k != "numSlice"}),
    "no JSON": lambda s: built(s).replace('"numSlice"', "numSlice"),
    "shape of the affine": lambda s: built(s | {"affine": [-1.0, 0.0, 0.0]}),
    "affine": lambda s: built(s | {"affine": [[0.5, 0, 0, 7.0], *s["affine"][1:]]}),
    "slice": lambda s: built(s | {"numSlice": {"X": 0, "Y": 1, "Z": 1}}),
    "server": lambda s: built(s, head='<script src="https://cdn.example/b.js"></script>'),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_viewer_that_is_built_otherwise_is_refused_on_one_line(
    html, patient, density, nilearn_makes, name
):
    nilearn_makes(UNKNOWN[name](settings_of(html)))
    with pytest.raises(FailedError, match=r"nilearn 0\.14\..*<0\.15") as caught:
        view_density(patient, density)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [ImportError, MemoryError, RecursionError, AssertionError])
def test_a_viewer_that_cannot_be_made_is_a_notice(patient, density, monkeypatch, error):
    def fails(*_, **__):
        raise error("no viewer today")

    monkeypatch.setattr("nilearn.plotting.view_img", fails)
    failures = []
    made = drawn("The view of slices", lambda: viewer.view_density(patient, density), failures)
    assert made is None
    assert failures == ["The view of slices is missing (no viewer today)."]


def test_the_viewer_is_loaded_beside_other_work_and_a_failure_is_not_told_there(monkeypatch, capfd):
    viewer.load_viewer().join()
    assert "nilearn.plotting" in sys.modules
    monkeypatch.setitem(sys.modules, "nilearn.plotting", None)  # Python's way to refuse an import
    viewer.load_viewer().join()
    assert capfd.readouterr() == ("", "")
