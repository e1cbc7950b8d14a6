"""Growth in the patient's own anatomy: its tissue, the descent in it, what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import load_atlas
from glioquery.dbgen.store.embedded import embedded_database
from glioquery.errors import InputError
from glioquery.pipeline.anatomy.patient_tissue import find_tissue
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps
from glioquery.pipeline.fit.anatomy import grow_in_patient, require_own_model, tissue_of
from glioquery.pipeline.fit.answer import AnswerSource, measure
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.images.resampling import resample_masks
from glioquery.pipeline.uncertainty import assessment
from glioquery.pipeline.uncertainty.assessment import assess_in_patient
from glioquery.pipeline.uncertainty.interval_factors import reach_of
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Thresholds,
    simulate,
)
from glioquery.solver.models import FisherKolmogorovTensor, TensorField


def reach_of_own_anatomy(database, source, fitted, tried=()):
    """What the database that comes along says of growth in the patient's own anatomy."""
    assert source == "own anatomy"
    return reach_of(embedded_database(), source, fitted, tried)


@pytest.fixture(scope="module")
def own(virtual, known, atlas):
    return tissue_of(virtual, known, atlas, find_tissue(virtual, known, atlas, way="atlas"))


def test_the_tissue_is_the_atlas_at_the_mapped_points(own, known, atlas, tissue, virtual):
    assert own.grid.spacing_mm == (2.0, 2.0, 2.0)
    np.testing.assert_array_equal(own.grid.affine[:3, :3], 2 * np.eye(3))
    at = atlas.grid.to_voxel(known.atlas_from_patient(own.grid.to_world(own.voxels)))
    nearest = tuple(np.rint(at).astype(int).T)
    # Interpolation closes narrow fluid between two voxels of tissue, and nothing wider.
    assert ndimage.binary_dilation(tissue.domain)[nearest].mean() > 0.999
    inside = tissue.domain[nearest]
    white = own.wm[tuple(own.voxels.T)][inside]
    assert np.corrcoef(white, tissue.wm[nearest][inside])[0, 1] > 0.95
    ratio = own.domain.sum() / (tissue.domain * known.jacobian(tissue.grid)).sum()
    assert ratio == pytest.approx(1, abs=0.05)
    inside = virtual.brain_on(own.grid)
    assert own.fluid.any() and not own.fluid[~inside].any()


@pytest.mark.slow
def test_given_maps_hold_outside_the_outline_and_the_atlas_inside(virtual, known, atlas, maps, own):
    swapped = TissueMaps(maps.wm, maps.gm, maps.csf, {})
    given = find_tissue(virtual, known, atlas, given=swapped)
    found = tissue_of(virtual, known, atlas, given)
    assert found.grid == own.grid
    outlined = resample_masks(virtual.masks, own.grid).whole
    both = own.domain & found.domain
    assert np.corrcoef(found.wm[both & ~outlined], own.gm[both & ~outlined])[0, 1] > 0.9
    np.testing.assert_array_equal(found.wm[both & outlined], own.wm[both & outlined])


@pytest.mark.slow
def test_a_growth_in_the_patients_tissue_is_found_there(
    own, virtual, known, atlas, tissue, monkeypatch
):
    """The truth grows in the patient; what begins on the atlas is bent and goes on to it."""
    white = own.voxels[own.wm[tuple(own.voxels.T)] > 0.9]
    distance = np.linalg.norm(own.grid.to_world(white) - own.grid.to_world(white).mean(0), axis=1)
    origin = own.grid.to_world(white[np.argsort(distance)[len(white) // 2]])
    truth = GrowthParameters(tuple(origin.tolist()), 0.12, 0.02, 500.0)
    grown = simulate(own, truth).density
    drawn = grown.outlines()
    patient = replace(virtual, masks=resample_masks(drawn, virtual.grid), drawn=drawn)
    there = known.atlas_from_patient(origin[None])[0] + [4.0, -3.0, 2.0]
    voxel = tissue.voxels[
        np.argmin(np.linalg.norm(tissue.grid.to_world(tissue.voxels) - there, axis=1))
    ]
    start = replace(truth, origin_mm=tuple(tissue.grid.to_world(voxel).tolist()), dw=0.2)
    density = simulate(tissue, start).density
    target = Target(known.masks_to_atlas(drawn), tissue)
    findings = SimpleNamespace(
        answer=measure(target, AnswerSource.REFINEMENT, (start,), density),
        refinement=SimpleNamespace(best=SimpleNamespace(parameters=start), arrivals=()),
        target=target,
    )
    monkeypatch.setattr(assessment, "reach_of", reach_of_own_anatomy)
    database = SimpleNamespace(
        model=FisherKolmogorov(), accuracy=Accuracy(), thresholds=Thresholds()
    )
    bent = find_tissue(patient, known, atlas, way="atlas")
    found = grow_in_patient(database, patient, known, atlas, findings, bent)
    assert found.is_better and found.grown.score > 1.95 > found.bent.score
    growth = found.grown.growths[0]
    assert np.linalg.norm(growth.origin_mm - origin) < 1.0
    assert growth.lambda_mm == pytest.approx(truth.lambda_mm, rel=0.05)
    assert growth.rho_t == pytest.approx(truth.rho_t, rel=0.05)
    assert found.row()["grown"]["space"] == "patient" and found.row()["bent"]["space"] == "SRI24"
    sure = assess_in_patient(database, found)
    assert sure.maps.grid == own.grid
    assert "none in an anatomy of their own" in sure.row()["calibration"]
    low, high = (getattr(sure.intervals["lambda_mm"], end) for end in ("low", "high"))
    assert low < truth.lambda_mm < high


def test_a_model_bound_to_the_atlas_is_refused():
    grid = load_atlas().grid
    field = TensorField(np.zeros((*grid.shape, 6), np.float32), grid, "none")
    with pytest.raises(InputError, match="tensors that lie on the atlas"):
        require_own_model(FisherKolmogorovTensor(field))
    require_own_model(FisherKolmogorov())
