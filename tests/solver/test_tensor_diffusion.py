"""Anisotropic diffusion: the decomposition, the links, the analytic Gaussian."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_fields import box, constant_field, rotation, winding_field

from glioquery.atlas import Grid
from glioquery.solver import Accuracy, FisherKolmogorov, GrowthParameters, Tissue, simulate
from glioquery.solver.models import FisherKolmogorovTensor
from glioquery.solver.models.fisher_kolmogorov_tensor import _link
from glioquery.solver.seed import SEED_CUT, SEED_MASS_MM3, SEED_SD_MM
from glioquery.solver.selling import TOLERANCE, decompose, touched_voxels


def total(links, shape, u):
    """Apply links to u one by one, as they are defined."""
    out = np.zeros(shape)
    for offset, weight in links.items():
        for voxel in np.argwhere(weight > 0):
            there = tuple(voxel + offset)
            flux = weight[tuple(voxel)] * (u[there] - u[tuple(voxel)])
            out[tuple(voxel)] += flux
            out[there] -= flux
    return out


@st.composite
def spd_tensors(draw, log_condition=3.0):
    """Random tensors of random orientation, eigenvalues up to 10^log_condition apart."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q, _ = np.linalg.qr(rng.normal(size=(5, 3, 3)))
    eigenvalues = 10 ** -rng.uniform(0, draw(st.floats(0, log_condition)), (5, 3))
    return (q * eigenvalues[:, None]) @ q.transpose(0, 2, 1) * 10 ** draw(st.floats(-3, 3))


@settings(max_examples=150)
@given(spd_tensors())
def test_selling_reconstructs_the_tensor_from_non_negative_weights(tensors):
    weights, offsets = decompose(tensors)
    assert (weights >= 0).all()
    rebuilt = np.einsum("nk,nki,nkj->nij", weights, offsets, offsets)
    # Each of the six pairs of a superbase may be obtuse by the tolerance, and loses that weight.
    assert np.abs(rebuilt - tensors).max() <= 6 * TOLERANCE * np.abs(tensors).max()
    leading = np.array([[next(c for c in e if c) for e in row] for row in offsets])
    assert (leading > 0).all()


def test_selling_of_a_diagonal_tensor_is_the_seven_point_stencil():
    weights, offsets = decompose(np.diag([3.0, 2.0, 1.0])[None])
    used = {tuple(e): w for e, w in zip(offsets[0].tolist(), weights[0], strict=True) if w}
    assert used == {(1, 0, 0): 3, (0, 1, 0): 2, (0, 0, 1): 1}
    assert not decompose(np.zeros((1, 3, 3)))[0].any()


def test_eigenvalues_up_to_five_apart_stay_among_the_nearest_neighbours():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(20000, 3, 3)))
    eigenvalues = np.where(np.arange(3) == 0, 1.0, rng.uniform(0.2, 1, (20000, 3)))
    weights, offsets = decompose((q * eigenvalues[:, None]) @ q.transpose(0, 2, 1))
    used = np.unique(offsets[weights > 1e-10], axis=0)
    assert len(used) == 13 and np.abs(used).max() == 1


def test_a_singular_tensor_is_refused():
    direction = np.array([1.0, math.sqrt(2), math.pi])
    with pytest.raises(ValueError, match="too close to singular"):
        decompose(np.outer(direction, direction)[None])


@pytest.mark.parametrize(
    ("offset", "between"),
    [
        ((1, 0, 0), set()),
        ((1, 1, 0), {(1, 0, 0), (0, 1, 0)}),
        ((1, -1, 0), {(1, 0, 0), (0, -1, 0)}),
        ((1, 2, 0), {(0, 1, 0), (1, 1, 0)}),
    ],
)
def test_touched_voxels(offset, between):
    assert set(touched_voxels(offset)) == between
    assert len(touched_voxels((1, 1, 1))) == 6


def test_a_link_has_the_mean_of_its_ends_and_none_leaves_the_tissue():
    rng = np.random.default_rng(1)
    domain = rng.uniform(size=(6, 5, 4)) > 0.15
    for offset in [(1, 0, 0), (0, 1, -1), (1, 1, 1), (1, -2, 0)]:
        weights = np.where(domain, rng.uniform(size=domain.shape), 0)
        link = _link(weights, domain, offset)
        for voxel in np.ndindex(domain.shape):
            path = [voxel, *(np.add(voxel, v) for v in [*touched_voxels(offset), offset])]
            inside = all(
                (np.array(v) >= 0).all() and (np.array(v) < domain.shape).all() and domain[tuple(v)]
                for v in path
            )
            there = tuple(np.add(voxel, offset))
            expected = (weights[voxel] + weights[there]) / 2 if inside else 0
            assert link[voxel] == expected


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize("turn", [np.eye(3), np.eye(3)[[1, 0, 2]], rotation((1, 2, 3), 40)])
def test_links_are_exact_for_quadratic_functions_on_any_grid(spacing, turn):
    """div(T grad (x^T Q x)) = 2 trace(T Q), whatever the grid's axes."""
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing) @ np.diag([-1, 1, 1])
    tissue = box((9, 9, 9), affine)
    q = rotation((3, 1, 2), 65)
    tensor = q @ np.diag([1.0, 0.5, 0.25]) @ q.T
    links = FisherKolmogorovTensor(constant_field(tensor, tissue)).links(tissue)
    world = tissue.grid.to_world(np.moveaxis(np.indices((9, 9, 9)), 0, -1))
    form = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.5], [-0.2, 0.5, -1.0]])
    u = np.einsum("...i,ij,...j", world, form, world)
    assert total(links, (9, 9, 9), u)[4, 4, 4] == pytest.approx(2 * np.trace(tensor @ form))


def seed_variance():
    """Of the seed, a Gaussian cut at three standard deviations."""
    r = np.linspace(0, SEED_CUT, 100001)
    gauss = np.exp(-(r**2) / 2)
    return SEED_SD_MM**2 * (r**4 * gauss).sum() / (r**2 * gauss).sum() / 3


@pytest.mark.parametrize(
    ("turn", "spacing", "bound"),
    [  # what is left is the lattice, 2 mm against a least sd of 4 mm, whichever way T points
        pytest.param(rotation((0, 0, 1), 0), (2.0, 2.0, 2.0), 0.033, marks=pytest.mark.slow),
        pytest.param(rotation((0, 0, 1), 30), (2.0, 2.0, 2.0), 0.033, marks=pytest.mark.slow),
        pytest.param(rotation((0, 0, 1), 45), (2.0, 2.0, 2.0), 0.033, marks=pytest.mark.slow),
        (rotation((1, 1, 1), 30), (2.0, 2.0, 2.0), 0.033),
        pytest.param(rotation((0, 0, 1), 30), (1.5, 2.0, 2.5), 0.037, marks=pytest.mark.slow),
    ],
)
def test_anisotropic_heat_kernel(turn, spacing, bound):
    shape = tuple(int(80 / h) for h in spacing)
    tissue = box(shape, np.diag([*spacing, 1.0]))
    tensor = turn @ np.diag([1.0, 0.2, 0.2]) @ turn.T
    origin = np.array([40.3, 39.6, 40.1])
    p = GrowthParameters(tuple(origin), dw=0.5, rho=0.0, days=70)
    model = FisherKolmogorovTensor(constant_field(tensor, tissue))
    run = simulate(tissue, p, model=model, accuracy=Accuracy().refined(2))
    u = run.density.u
    covariance = seed_variance() * np.eye(3) + 2 * p.dw * p.days * tensor
    away = tissue.grid.to_world(np.moveaxis(np.indices(shape), 0, -1)) - origin
    exponent = np.einsum("...i,ij,...j", away, np.linalg.inv(covariance), away)
    kernel = SEED_MASS_MM3 * np.exp(-exponent / 2) / np.sqrt(np.linalg.det(2 * np.pi * covariance))
    error = np.linalg.norm(u - kernel) / np.linalg.norm(kernel)
    assert error < bound, error
    mass = u.sum(dtype=np.float64) * np.prod(spacing)
    assert mass == pytest.approx(SEED_MASS_MM3, rel=1e-6)
    moments = np.einsum("xyz,xyzi,xyzj->ij", u.astype(np.float64), away, away) / u.sum()
    np.testing.assert_allclose(moments, covariance, atol=0.006 * covariance.max())
    assert run.clipped <= 1e-6


@settings(max_examples=8)
@given(
    dw=st.floats(0.02, 1.5), rho=st.floats(0, 0.2), days=st.floats(20, 400), seed=st.integers(0, 3)
)
def test_density_stays_between_0_and_1_and_keeps_its_mass(dw, rho, days, seed):
    shape = (20, 22, 18)
    csf = (np.random.default_rng(seed).uniform(size=shape) < 0.1).astype(float)
    tissue = Tissue.from_probabilities(1 - csf, 0 * csf, csf, Grid(shape, np.diag([2.0, 2, 2, 1])))
    model = FisherKolmogorovTensor(winding_field(seed=seed))
    origin = tissue.grid.to_world(tissue.voxels[len(tissue.voxels) // 2])
    run = simulate(tissue, GrowthParameters(tuple(origin), dw, rho, days), model=model)
    u = run.density.u
    assert u.min() >= 0 and u.max() <= 1
    assert not u[~tissue.domain].any()
    assert run.clipped <= 1e-6
    if rho == 0:
        assert u.sum(dtype=np.float64) == pytest.approx(1, rel=1e-6)


def test_no_cell_crosses_a_diagonal_wall():
    """CSF voxels that share no more than an edge part the two halves of a box."""
    shape = (16, 16, 8)
    csf = np.zeros(shape)
    csf[np.arange(16), np.arange(16)] = 1
    tissue = Tissue(
        (1 - csf).astype(np.float32),
        np.zeros(shape, np.float32),
        csf == 0,
        Grid(shape, np.diag([2.0, 2, 2, 1])),
    )
    q = rotation((0, 0, 1), 45)  # the fast axis points through the wall
    tensor = q @ np.diag([1.0, 0.1, 0.1]) @ q.T
    assert tensor[0, 1] < -0.4
    model = FisherKolmogorovTensor(constant_field(tensor, tissue), max_anisotropy=10)
    run = simulate(tissue, GrowthParameters((20.0, 10.0, 8.0), 0.5, 0.1, 150), model=model)
    x, y, _ = np.indices(shape)
    assert run.final.u[x > y].min() > 1e-3
    assert not run.final.u[x < y].any()


def test_without_a_tensor_it_is_the_isotropic_model():
    rng = np.random.default_rng(5)
    wm = rng.uniform(size=(14, 15, 16))
    tissue = Tissue.from_probabilities(wm, 1 - wm, 0 * wm, Grid(wm.shape, np.diag([2.0, 2, 3, 1])))
    p = GrowthParameters((14.0, 14.0, 20.0), 0.3, 0.1, 60)
    u = simulate(tissue, p, model=FisherKolmogorovTensor(ratio=5.0)).final.u
    same = simulate(tissue, p, model=FisherKolmogorov(5.0, face_mean="arithmetic")).final.u
    assert np.linalg.norm(u - same) <= 1e-6 * np.linalg.norm(same)
