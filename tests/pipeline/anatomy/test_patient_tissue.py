"""The patient's tissue: where the T1 shows it, and where the atlas stands in for it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from array_orders import SAGITTAL, reordered

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.anatomy.patient_tissue import LEAST_CONTRAST, TissueSource, find_tissue
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps
from glioquery.pipeline.anatomy.tissue_way import checked_tissue_way
from glioquery.pipeline.images.headers import Frames
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import Patient
from glioquery.pipeline.travel import CSF_SPEED, GREY_SPEED
from glioquery.solver import TumorMasks

GRID = Grid((40, 44, 40), np.diag([2, 2, 2, 1.0]))
X, Y, Z = GRID.to_world(np.moveaxis(np.indices(GRID.shape), 0, -1)).transpose(3, 0, 1, 2)
K = np.array([0, 0, 0, 1.0])
STILL = AtlasTransform.linear(np.eye(4))
MEANS = {"csf": 250.0, "gm": 550.0, "wm": 750.0}


def shares_of(shift_mm):
    """A ball of white matter in shells of grey matter and fluid, one of whose edges is wavy."""
    radius = np.sqrt((X - 39 - shift_mm) ** 2 + (Y - 43) ** 2 + (Z - 39) ** 2)
    inside = np.clip((22 + 3 * np.sin(Y / 4) - radius) / 2 + 0.5, 0, 1)
    solid = np.clip((32 - radius) / 2 + 0.5, 0, 1)
    maps = {"wm": inside, "gm": np.clip(solid - inside, 0, 1), "csf": 1 - solid}
    return {name: np.where(radius < 36, m, 0).astype(np.float32) for name, m in maps.items()}


TRUTH, ATLAS = shares_of(0), SimpleNamespace(**shares_of(4), grid=GRID)
BRAIN = sum(TRUTH.values()) > 0.5
WHOLE = (X - 39) ** 2 + (Y - 20) ** 2 + (Z - 39) ** 2 < 10**2
OUTSIDE = BRAIN & ~WHOLE


def make(noise=15.0, image=None):
    """A patient whose tumour is as bright as nothing else, seen through an uneven coil."""
    rng = np.random.default_rng(3)
    t1 = sum(MEANS[name] * TRUTH[name] for name in MEANS) if image is None else image
    t1 = t1 * (1 + 0.004 * (X - 39)) + noise * rng.standard_normal(GRID.shape)
    t1 = np.where(BRAIN, np.where(WHOLE, 3000, np.clip(t1, 1, None)), 0).astype(np.float32)
    masks = TumorMasks(WHOLE & False, WHOLE & BRAIN, GRID)
    return Patient(Scan(t1, GRID), "t1", masks, None, None, {}, (), brain_mask=BRAIN)


@pytest.fixture(scope="module")
def patient():
    return make()


@pytest.fixture(scope="module")
def segmented(patient):
    return find_tissue(patient, STILL, ATLAS)


@pytest.fixture(scope="module")
def bent(patient):
    return find_tissue(patient, STILL, ATLAS, way="atlas")


def error(tissue):
    return np.mean([np.abs(getattr(tissue, n) - TRUTH[n])[OUTSIDE].mean() for n in TRUTH])


def test_the_t1_is_nearer_to_the_truth_than_a_shifted_atlas(segmented, bent):
    assert segmented.source is TissueSource.SEGMENTED and segmented.is_own
    assert error(segmented) < 0.4 * error(bent)
    total = segmented.wm + segmented.gm + segmented.csf
    np.testing.assert_allclose(total[OUTSIDE], 1, atol=1e-5)
    assert total.max() <= 1 + 1e-6 and not total[~BRAIN].any()
    assert segmented.wm.dtype == np.float32 and segmented.grid == GRID
    assert segmented.contrast > LEAST_CONTRAST and segmented.notices == ()
    assert segmented.told == f"segmented in the T1, contrast {segmented.contrast:.1f}"
    assert segmented.row() == {"source": "segmented in the T1", "contrast": segmented.contrast}


def test_inside_the_outline_lies_the_atlas_whatever_is_seen_there(segmented, bent, patient):
    darker = patient.t1.values.copy()
    darker[WHOLE & BRAIN] = 1
    found = find_tissue(replace(patient, t1=Scan(darker, GRID)), STILL, ATLAS)
    for name in ("wm", "gm", "csf"):
        np.testing.assert_array_equal(getattr(found, name), getattr(segmented, name))
        inside = WHOLE & BRAIN
        np.testing.assert_allclose(
            getattr(found, name)[inside], getattr(bent, name)[inside], atol=1e-6
        )


def test_the_tissue_is_the_same_twice_and_on_flipped_axes(segmented, patient):
    again = find_tissue(patient, STILL, ATLAS)
    np.testing.assert_array_equal(again.wm, segmented.wm)
    turn = np.diag([-1.0, 1, -1, 1])
    turn[[0, 2], 3] = GRID.shape[0] - 1, GRID.shape[2] - 1
    grid = Grid(GRID.shape, GRID.affine @ turn)

    def flip(values):
        return np.ascontiguousarray(values[::-1, :, ::-1])

    flipped = replace(
        patient,
        t1=Scan(flip(patient.t1.values), grid),
        masks=TumorMasks(flip(patient.masks.core), flip(patient.masks.whole), grid),
        brain_mask=flip(BRAIN),
    )
    found = find_tissue(flipped, STILL, ATLAS)
    np.testing.assert_allclose(flip(found.wm), segmented.wm, atol=1e-4)
    assert found.contrast == pytest.approx(segmented.contrast, rel=1e-4)


def test_fine_voxels_are_looked_at_in_blocks(segmented, patient):
    affine = np.diag([1, 1, 2, 1.0])
    affine[:2, 3] = -0.5
    grid = Grid((80, 88, 40), affine)

    def fine(values):
        return values.repeat(2, axis=0).repeat(2, axis=1)

    finer = replace(
        patient,
        t1=Scan(fine(patient.t1.values), grid),
        masks=TumorMasks(fine(patient.masks.core), fine(patient.masks.whole), grid),
        brain_mask=fine(BRAIN),
    )
    found = find_tissue(finer, STILL, ATLAS)
    assert found.grid == grid
    assert found.contrast == pytest.approx(segmented.contrast, rel=1e-3)
    middle = found.wm.reshape(40, 2, 44, 2, 40).mean(axis=(1, 3))
    assert np.abs(middle - segmented.wm)[OUTSIDE].mean() < 0.03


@pytest.mark.parametrize("fault", ["noise", "flat"])
def test_poor_contrast_falls_back_to_the_atlas_and_says_so(fault, bent):
    poor = make(noise=200.0) if fault == "noise" else make(image=np.full(GRID.shape, 600.0))
    found = find_tissue(poor, STILL, ATLAS)
    assert found.source is TissueSource.POOR_CONTRAST and not found.is_own
    assert found.contrast < LEAST_CONTRAST
    (notice,) = found.notices
    assert f"contrast {found.contrast:.1f}, at least 3" in notice
    np.testing.assert_array_equal(found.wm, bent.wm)


def test_thick_slices_contrast_agent_and_wish_fall_back_to_the_atlas(patient, bent):
    assert bent.source is TissueSource.AS_ASKED
    agent = find_tissue(replace(patient, modality="t1c"), STILL, ATLAS)
    assert agent.source is TissueSource.CONTRAST_AGENT
    grid = Grid((40, 44, 20), GRID.affine @ np.diag([1, 1, 2, 1]))
    thick = replace(
        patient,
        t1=Scan(patient.t1.values[:, :, ::2], grid),
        masks=TumorMasks(patient.masks.core[:, :, ::2], patient.masks.whole[:, :, ::2], grid),
        brain_mask=BRAIN[:, :, ::2],
    )
    sliced = find_tissue(thick, STILL, ATLAS)
    assert sliced.source is TissueSource.THICK_SLICES
    for found in (agent, sliced):
        assert found.contrast is None and found.notices == () and not found.is_own
    np.testing.assert_array_equal(agent.gm, bent.gm)
    np.testing.assert_array_equal(sliced.gm, bent.gm[:, :, ::2])


def test_given_maps_hold_outside_the_outline_whatever_the_way(patient, bent):
    given = TissueMaps(**{n: Scan(TRUTH[n], GRID) for n in TRUTH}, checksums={})
    found = find_tissue(patient, STILL, ATLAS, way="atlas", given=given)
    assert found.source is TissueSource.GIVEN and found.is_own
    np.testing.assert_allclose(found.wm[OUTSIDE], TRUTH["wm"][OUTSIDE], atol=1e-6)
    np.testing.assert_array_equal(found.wm[WHOLE & BRAIN], bent.wm[WHOLE & BRAIN])


def test_given_maps_on_the_images_voxels_are_not_smoothed():
    wide = ((8, 8),) * 3  # air, of which the patient's field holds but a margin
    grid = Grid(tuple(n + 16 for n in GRID.shape), GRID.affine + np.outer([-16, -16, -16, 0], K))
    rng = np.random.default_rng(4)
    noisy = np.pad(rng.random(GRID.shape).astype(np.float32) / 3, wide)
    whole, brain = np.pad(WHOLE & BRAIN, wide), np.pad(BRAIN, wide)
    t1 = Scan(brain.astype(np.float32), grid)
    masks = TumorMasks(whole & False, whole, grid)
    patient = Patient(t1, "t1", masks, None, None, {}, (), brain_mask=brain)
    assert patient.field.grid != grid
    outside = patient.field.cut(brain & ~whole)
    rounded = Grid(grid.shape, grid.affine + np.outer([0.05, 0, 0, 0], K))
    for scan in (
        Scan(noisy, grid), Scan(noisy, rounded), Scan(*reordered(noisy, grid, SAGITTAL))
    ):  # fmt: skip
        given = TissueMaps(*[scan] * 3, checksums={})
        found = find_tissue(patient, STILL, ATLAS, given=given)
        for values in (found.wm, found.gm, found.csf):
            np.testing.assert_array_equal(values[outside], patient.field.cut(noisy)[outside])


def test_given_maps_in_the_images_other_frame_are_told_of(patient):
    away = Grid(GRID.shape, GRID.affine + np.outer([300, 0, 0, 0], K))
    given = TissueMaps(**{n: Scan(TRUTH[n], away) for n in TRUTH}, checksums={})
    found = find_tissue(replace(patient, frames=Frames(GRID, away)), STILL, ATLAS, given=given)
    assert len(found.notices) == 3 and "tissue map gm" in found.notices[0]
    np.testing.assert_allclose(found.wm[OUTSIDE], TRUTH["wm"][OUTSIDE], atol=1e-6)


def test_an_unknown_way_is_refused():
    assert InversionOptions(tissue_from=checked_tissue_way("atlas")).row()["tissue_from"] == "atlas"
    with pytest.raises(InputError, match="tissue-from is auto, atlas; got 'magic'"):
        InversionOptions(tissue_from="magic")


def test_a_front_meets_no_fluid_in_the_outlined_tumour_on_any_grid(segmented, patient):
    terrain = segmented.terrain(patient.masks, BRAIN)
    fluid = BRAIN & (segmented.csf >= segmented.wm + segmented.gm)
    assert (fluid & WHOLE).any()
    assert terrain.speed[fluid & WHOLE] == pytest.approx(GREY_SPEED)
    assert terrain.speed[fluid & ~WHOLE] == pytest.approx(CSF_SPEED)
    between = np.ix_(*(np.arange(2 * n - 1) // 2 for n in GRID.shape))
    fine = Grid(tuple(2 * n - 1 for n in GRID.shape), np.eye(4))
    masks = TumorMasks(*(m[between] for m in (patient.masks.core, patient.masks.whole)), fine)
    found = segmented.terrain(masks, BRAIN[between])
    assert found.outlines is masks and (found.speed[~found.brain] == 0).all()
    np.testing.assert_allclose(found.speed[::2, ::2, ::2], terrain.speed, atol=1e-6)
