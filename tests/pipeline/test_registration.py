"""Registration: what it must find, that it finds the same each time, and its quality's limits."""

import dataclasses
import sys

import numpy as np
import pytest
from glioquery.pipeline.nifti import Scan
from glioquery.pipeline.patient import load_patient
from glioquery.pipeline.quality import OutlineQuality, assess_registration
from glioquery.pipeline.registration import RegistrationError, register
from glioquery.pipeline.resampling import coarsen, even_out
from glioquery.pipeline.transform import AtlasTransform

CASES = ("BraTS2021_00006", "BraTS2021_01476", "BraTS2021_01479", "BraTS2021_01481")


@pytest.fixture(scope="module")
def found(virtual):
    return register(virtual)


def test_a_known_deformation_is_recovered(found, known, virtual, atlas):
    quality = assess_registration(virtual, found, atlas=atlas)
    assert quality.brain_dice > 0.97
    assert quality.folding_fraction == 0
    assert quality.problems == []
    # Brain points, away from the masked lesion, come from within 2 mm of where they truly do.
    voxels = np.argwhere(atlas.wm + atlas.gm > 0.9)[::50]
    points = atlas.grid.to_world(voxels)
    points = points[np.linalg.norm(points - [-85, 125, 85], axis=1) > 35]
    error = np.linalg.norm(
        found.patient_from_atlas(points) - known.patient_from_atlas(points), axis=1
    )
    assert np.median(error) < 1.0
    assert np.percentile(error, 95) < 2.5
    still = AtlasTransform.identity()
    assert (
        np.median(
            np.linalg.norm(
                still.patient_from_atlas(points) - known.patient_from_atlas(points), axis=1
            )
        )
        > 5
    )


def test_the_same_call_gives_the_same_bits_and_leaves_no_trace(
    virtual, capfd, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = register(virtual, resolution_mm=4.0)
    # How ITK was started in this process, or would be, must not matter.
    monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "3")
    two = register(virtual, resolution_mm=4.0)
    for name in ("affine", "warp", "inverse_warp"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.settings == two.settings
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_ants_is_an_error_with_its_message(virtual, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RegistrationError, match="status 1"):
        register(virtual)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"resolution_mm": 0.5}, "1 to 4 mm"), ({"n_threads": 0}, "thread"), ({"seed": 0}, "seed")],
)
def test_refused_options(virtual, options, message):
    with pytest.raises(ValueError, match=message):
        register(virtual, **options)


def test_coarsening_keeps_mass_and_place(virtual):
    coarse = coarsen(virtual.t1, 4.0)
    assert coarse.grid.spacing_mm == pytest.approx((4, 4, 4))
    mass = [(s.values.sum(dtype=float) * s.grid.voxel_ml) for s in (virtual.t1, coarse)]
    assert mass[0] == pytest.approx(mass[1], rel=1e-6)
    centres = [
        np.average(
            s.grid.to_world(np.argwhere(s.values > 0)), axis=0, weights=s.values[s.values > 0]
        )
        for s in (virtual.t1, coarse)
    ]
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-3)
    thick = Scan(virtual.t1.values[:, :, ::3], virtual.grid)
    assert coarsen(thick, 1.0).values.shape == thick.values.shape


def test_a_bad_registration_is_called_one(virtual, known):
    shifted = known.affine.copy()
    shifted[:3, 3] += [15, 0, 0]
    quality = assess_registration(virtual, dataclasses.replace(known, affine=shifted))
    assert quality.brain_dice < 0.95
    assert any("Dice" in problem for problem in quality.problems)


@pytest.fixture(scope="module")
def true_quality(virtual, known):
    return assess_registration(virtual, known)


def test_the_true_map_has_no_problems(true_quality):
    assert true_quality.problems == []
    assert true_quality.brain_dice > 0.98
    assert true_quality.folding_fraction == 0
    assert true_quality.whole.volume_ratio == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"brain_dice": 0.94}, "overlap with Dice 0.940"),
        ({"brain_dice": float("nan")}, "overlap"),
        ({"folding_fraction": 0.01}, "folds in 1.00%"),
        ({"inverse_error_mm": 3.0}, "3.00 mm"),
        ({"core": OutlineQuality(10, 10, 1, 1.0, 0.8)}, "core comes back"),
        ({"whole": OutlineQuality(10, 20, 1, 0.5, 0.95)}, "not what the deformation explains"),
    ],
)
def test_each_broken_limit_is_a_sentence(true_quality, change, message):
    (problem,) = dataclasses.replace(true_quality, **change).problems
    assert message in problem


def test_an_empty_or_tiny_outline_is_not_judged(true_quality):
    nan = float("nan")
    for outline in (OutlineQuality(0, 0, nan, nan, nan), OutlineQuality(0.5, 0.8, 1, 0.6, 0.5)):
        assert dataclasses.replace(true_quality, core=outline).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_real_cases(cases, case):
    files = {role: cases / case / f"{case}_{role}.nii.gz" for role in ("t1", "seg")}
    patient = load_patient(**files, labels="brats2021")
    assert patient.notices == ()
    quality = assess_registration(patient, register(patient))
    assert quality.problems == []
    assert quality.brain_dice >= 0.955
    for outline in (quality.core, quality.whole):
        assert outline.round_trip_dice >= 0.90
        assert outline.volume_ratio == pytest.approx(1, abs=0.05)
