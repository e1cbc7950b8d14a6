"""A virtual patient, end to end: registration, query, map; and the demo's promises."""

import csv
import dataclasses
import json
from unittest.mock import Mock

import nibabel as nib
import numpy as np
import pytest

from glioquery.atlas import Grid, load_atlas
from glioquery.errors import InputError
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps
from glioquery.pipeline.fit import answer
from glioquery.pipeline.fit.answer import AnswerSource, find_answer
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.inversion import inversion as inversions
from glioquery.pipeline.inversion.growth import doubts_of_core
from glioquery.pipeline.inversion.inversion import invert, map_growth
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.inversion.result import InversionStatus
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.scans.later_scans import FollowUp
from glioquery.pipeline.steps import Steps
from glioquery.pipeline.virtual.demonstration import compare, demonstrate
from glioquery.query import dice_of_masks
from glioquery.query.index.opening import open_index
from glioquery.solver import TumorDensity, TumorMasks, simulate


def test_virtual_patient_is_what_it_says(truth):
    image, labels = nib.load(truth.t1), nib.load(truth.seg)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(image.affine, labels.affine)
    assert set(np.unique(labels.dataobj)) == {0, 1, 2, 4}
    assert 80 < (truth.density.u >= 0.2).sum() * truth.density.grid.voxel_ml < 150
    seg = np.asarray(labels.dataobj) > 0
    np.testing.assert_array_equal(seg, truth.density.u >= 0.2)


def test_the_map_is_the_matched_sample_and_the_table_its_ranking(inverted, tissue):
    database, _, inversion, out, _ = inverted
    with (out / "matches.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = []
    for i in range(len(database)):
        core, whole = dice_of_masks(inversion.masks, database.outlines(i))
        scores.append(core + whole)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:4]
    assert [int(row["sample"]) for row in rows] == order
    assert [float(row["score"]) for row in rows] == [scores[i] for i in order]
    best = database.growth_parameters(order[0])
    assert float(rows[0]["origin_z_mm"]) == best.origin_mm[2]
    assert float(rows[0]["lambda_mm"]) == pytest.approx(best.lambda_mm)
    atlas_map = np.asarray(
        nib.load(out / "sub-patient_space-SRI24_desc-growth_density.nii.gz").dataobj
    )
    np.testing.assert_allclose(atlas_map, simulate(tissue, best).density.u, atol=5e-3)


def test_the_growth_in_the_patient_is_the_growth_on_the_atlas(inverted):
    _, _, inversion, _, _ = inverted
    back = inversion.transform.image_to_atlas(
        Scan(inversion.maps.growth.u, inversion.maps.grid), inversion.density_atlas.grid
    ).values
    there = inversion.density_atlas.u
    visible = there > 0.05
    assert np.corrcoef(back[visible], there[visible])[0, 1] > 0.97


def test_a_tumor_like_none_is_said_to_be_so(inverted):
    _, _, inversion, out, _ = inverted
    result = json.loads((out / "result.json").read_text())
    assert inversion.status is InversionStatus.NO_PLAUSIBLE_MATCH
    assert result["status"] == "no plausible match"
    assert "No plausible match" in (out / "report.html").read_text()
    assert (out / "sub-patient_space-T1w_density.nii.gz").exists()


def test_the_share_of_the_outline_in_the_brain_is_told(inverted):
    _, _, inversion, out, _ = inverted
    result = json.loads((out / "result.json").read_text())
    brain, whole = load_atlas().brain, inversion.masks.whole
    assert result["share_in_brain"] == (whole & brain).sum() / whole.sum() > 0.9
    assert any("the registered outline: only" in notice for notice in result["notices"])
    assert "the registered outline: only" in (out / "report.html").read_text()


def test_a_virtual_tumor_obeys_its_anatomy(truth):
    t1 = np.asarray(nib.load(truth.t1).dataobj)
    assert not truth.density.u[t1 == 0].max() > 0.9
    assert truth.parameters.lambda_mm > 2


def test_coverage_of_the_patients_own_tumor_is_that_of_its_outlines(inverted):
    _, patient, inversion, out, _ = inverted
    rows = json.loads((out / "result.json").read_text())["recurrence"]
    assert [row["outline"] for row in rows] == ["core", "whole"]
    assert rows[0]["standard"] == 1.0
    model = inversion.planning.model
    for row, mask in zip(rows, (patient.masks.core, patient.masks.whole), strict=True):
        assert row["model"] == pytest.approx((mask & model).sum() / mask.sum())


@pytest.mark.parametrize(
    "error", [NoGrowthError("no growth meets all scans"), InputError("the tumour shrinks")]
)
def test_scans_that_cannot_be_followed_leave_the_first_ones_maps(inverted, monkeypatch, error):
    _, _, inversion, _, _ = inverted
    monkeypatch.setattr(inversions, "map_growth", lambda *_: inversion)
    monkeypatch.setattr(inversions, "find_growth", lambda *_, **__: None)
    monkeypatch.setattr(inversions, "follow_scans", Mock(side_effect=error))
    found = invert(inversion.patient, inversion.database, follow_up=FollowUp(0.0, ()))
    assert found.maps is inversion.maps and found.outlook is None
    assert f"The scans tell no growth in real days: {error}." in found.notices


def test_densities_that_are_none_are_refused():
    for densities in ((), (0.0,), (0.5, 1.0), (1e-8,), (0.1234567,)):
        with pytest.raises(InputError, match="densities are"):
            InversionOptions(densities=densities)
    assert InversionOptions(densities=[0.3, 0.01, 0.3]).densities == (0.01, 0.3)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"refine": False, "fit_thresholds": True}, "fit-thresholds needs a refinement"),
        ({"refine": False, "own_anatomy": True}, "own-anatomy needs a refinement"),
        ({"k": 0}, "at least 1 match"),
        ({"registration": "bent"}, "one of syn, affine"),
        ({"resolution_mm": 9.0}, "1 to 4 mm"),
        ({"seed": 0}, "seed: a whole number from 1 to 2147483647, got 0"),
        ({"seed": 2**31}, "seed: a whole number from 1 to 2147483647, got 2147483648"),
    ],
)
def test_options_are_checked_where_they_are_made(asked, told):
    with pytest.raises(InputError, match=told):
        InversionOptions(**asked)


def test_tissue_maps_without_a_refinement_are_refused(inverted):
    database, patient, *_ = inverted
    with pytest.raises(InputError, match="tissue maps are given, but growths are not refined"):
        invert(
            patient,
            database,
            InversionOptions(refine=False),
            tissue=TissueMaps(*[patient.t1] * 3, checksums={}),
        )


@pytest.mark.usefixtures("quick")
def test_a_growth_is_found_and_mapped_without_a_file(near, coarse, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = sorted(near.path.parent.rglob("*"))
    patient = load_patient(t1=coarse / "t1.nii", seg=coarse / "seg.nii", labels="brats2021")
    inversion = invert(patient, near, InversionOptions(refine=False))
    again = map_growth(inversion, Steps())
    assert list(tmp_path.iterdir()) == [] and sorted(near.path.parent.rglob("*")) == before
    np.testing.assert_array_equal(again.density.u, inversion.density.u)
    np.testing.assert_array_equal(again.maps.expected.sd, inversion.maps.expected.sd)


def test_a_core_smaller_than_any_stored_is_told(inverted):
    _, patient, *_ = inverted
    assert doubts_of_core(patient, 0.5) == []
    speck = np.zeros_like(patient.masks.core)
    speck.ravel()[np.flatnonzero(patient.masks.core)[:8]] = True
    masks = dataclasses.replace(patient.masks, core=speck)
    (doubt,) = doubts_of_core(dataclasses.replace(patient, masks=masks, drawn=None), 0.5)
    assert f"measures {8 * masks.grid.voxel_ml:.2g} ml" in doubt and "0.5 ml" in doubt
    none = dataclasses.replace(patient.masks, core=np.zeros_like(speck))
    (doubt,) = doubts_of_core(dataclasses.replace(patient, masks=none), 0.5)
    assert "too small for the voxels" in doubt


def test_where_no_start_grows_the_best_match_stands_and_it_is_said(inverted, monkeypatch):
    def hopeless(*_, **__):
        raise NoGrowthError("no start grows")

    monkeypatch.setattr(answer, "refine", hopeless)
    database, _, inversion, *_ = inverted
    found = find_answer(
        database, open_index(database), inversion.masks, inversion.matches,
        refined=True, thresholds_fitted=True,
    )  # fmt: skip
    assert found.answer.source is AnswerSource.MATCH and found.refinement is None
    assert found.notices == ("The refinement found nothing: no start grows.",)


@pytest.mark.slow
def test_the_answer_is_never_worse_than_the_best_match_and_keeps_the_best(inverted):
    database, _, inversion, *_ = inverted
    index = open_index(database)
    found = find_answer(
        database,
        index,
        inversion.masks,
        inversion.matches,
        refined=True,
        thresholds_fitted=True,
    )
    first = found.tried[0]
    assert first.score == inversion.matches[0].match.score
    assert found.answer.score == max(answer.score for answer in found.tried)
    assert found.answer.score > first.score + 0.3
    assert found.fitted.fit.score >= found.refinement.best.score
    outlines = found.answer.density.outlines()
    assert (found.answer.dice_core, found.answer.dice_whole) == dice_of_masks(
        inversion.masks, outlines
    )


def read_outlines(patient):
    labels = nib.load(patient / "seg.nii.gz")
    values = np.asarray(labels.dataobj)
    return TumorMasks(np.isin(values, (1, 4)), values > 0, Grid(values.shape, labels.affine))


@pytest.mark.slow
def test_demo_finds_what_it_hid(tmp_path):
    inversion, truth, agreement = demonstrate(tmp_path)
    assert inversion.status is InversionStatus.PLAUSIBLE
    assert inversion.answer.source is AnswerSource.OWN_ANATOMY
    assert agreement.dice_whole >= 0.85
    assert agreement.correlation > 0.9
    found = inversion.answer.growths[0]
    assert np.linalg.norm(np.subtract(found.origin_mm, truth.facts["origins_mm"][0])) < 15
    assert found.lambda_mm == pytest.approx(truth.facts["lambda_mm"], rel=0.5)
    # What is written is what was judged: the growth's own outlines overlap as the answer says,
    # and those of the map that agrees with the scan overlap better.
    asked = read_outlines(tmp_path / "patient")
    growth = inversion.patient.field.laid_density(inversion.maps.growth)
    dice = sum(dice_of_masks(asked, growth.outlines()))
    assert dice == pytest.approx(inversion.answer.score, abs=0.02)
    assert sum(dice_of_masks(asked, inversion.density.outlines())) > dice
    row = json.loads((tmp_path / "result" / "result.json").read_text())
    assert row["own_anatomy"]["kept"] and row["answer"]["space"] == "patient"
    atlas = nib.load(tmp_path / "result" / "sub-patient_space-SRI24_desc-growth_density.nii.gz")
    there = TumorDensity(np.asarray(atlas.dataobj), inversion.masks.grid).outlines()
    assert sum(dice_of_masks(inversion.masks, there)) == pytest.approx(dice, abs=0.1)
    assert agreement == compare(inversion.density, truth.density)
    assert inversion.quality.problems == []
