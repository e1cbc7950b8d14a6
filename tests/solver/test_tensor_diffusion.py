"""Anisotropic diffusion: the decomposition, the links, the analytic Gaussian, files."""

import math

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.solver import Accuracy, FisherKolmogorov, GrowthParameters, Tissue, simulate
from glioquery.solver.models import FisherKolmogorovTensor, TensorField, describe_model, find_model
from glioquery.solver.models.fisher_kolmogorov_tensor import _link
from glioquery.solver.seed import SEED_CUT, SEED_MASS_MM3, SEED_SD_MM
from glioquery.solver.selling import decompose, touched_voxels

UPPER = (..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])
FSL_ORDER = "xx,xy,xz,yy,yz,zz"


def box(shape, affine=None):
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    ones = np.ones(shape)
    return Tissue.from_probabilities(ones, 0 * ones, 0 * ones, Grid(shape, affine))


def rotation(axis, degrees):
    axis = np.array(axis) / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis)
    a = math.radians(degrees)
    return np.cos(a) * np.eye(3) - np.sin(a) * cross + (1 - np.cos(a)) * np.outer(axis, axis)


def constant_field(tensor, tissue):
    values = np.broadcast_to(np.asarray(tensor)[UPPER], (*tissue.grid.shape, 6))
    return TensorField(values, tissue.grid)


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


@settings(max_examples=150, deadline=None)
@given(spd_tensors())
def test_selling_reconstructs_the_tensor_from_non_negative_weights(tensors):
    weights, offsets = decompose(tensors)
    assert (weights >= 0).all()
    rebuilt = np.einsum("nk,nki,nkj->nij", weights, offsets, offsets)
    assert np.abs(rebuilt - tensors).max() <= 1e-12 * np.abs(tensors).max()
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
        (rotation((0, 0, 1), 0), (2.0, 2.0, 2.0), 0.033),
        pytest.param(rotation((0, 0, 1), 30), (2.0, 2.0, 2.0), 0.033, marks=pytest.mark.slow),
        pytest.param(rotation((0, 0, 1), 45), (2.0, 2.0, 2.0), 0.033, marks=pytest.mark.slow),
        (rotation((1, 1, 1), 30), (2.0, 2.0, 2.0), 0.033),
        (rotation((0, 0, 1), 30), (1.5, 2.0, 2.5), 0.037),
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


def winding_field(shape=(20, 22, 18), spacing=2.0, seed=0):
    rng = np.random.default_rng(seed)
    x, y, z = np.indices(shape) / 6.0
    v = np.stack([np.sin(y + z), np.cos(x - z), np.sin(x + 2 * y) + rng.uniform()], axis=-1)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    tensor = 0.05 * np.eye(3) + 0.95 * v[..., :, None] * v[..., None, :]
    return TensorField(tensor[UPPER], Grid(shape, np.diag([spacing] * 3 + [1.0])))


@settings(max_examples=8, deadline=None)
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


def write(path, components, affine, order, five=False, intent=None):
    names = order.split(",")
    data = np.stack([components[..., FSL_ORDER.split(",").index(n)] for n in names], -1)
    image = nib.Nifti1Image((data[:, :, :, None] if five else data).astype(np.float32), affine)
    if intent:
        image.header.set_intent(intent, (3,), allow_unknown=True)
    nib.save(image, path)
    return path


def test_orders_and_intents_are_read(tmp_path):
    field = winding_field((6, 5, 4))
    affine = field.grid.affine
    for order in (FSL_ORDER, "xx,yy,zz,xy,xz,yz"):
        path = write(tmp_path / "a.nii.gz", field.values, affine, order)
        assert TensorField.from_nifti(path, frame="world", order=order) == field
    path = write(
        tmp_path / "b.nii", field.values, affine, "xx,xy,yy,xz,yz,zz", five=True, intent=1005
    )
    assert TensorField.from_nifti(path, frame="world") == field


@pytest.mark.parametrize(
    "axes", [np.diag([-1.0, -1, 1]), np.eye(3)[[2, 0, 1]], rotation((1, 1, 0), 20)]
)
def test_every_frame_and_orientation_tells_the_same_field(tmp_path, axes):
    field = winding_field((7, 7, 7))
    affine = np.eye(4)
    affine[:3, :3] = 2 * axes
    square = field.values[..., [[0, 1, 2], [1, 3, 4], [2, 4, 5]]].astype(np.float64)
    flip = np.diag([-1.0, 1, 1]) if np.linalg.det(axes) > 0 else np.eye(3)
    for frame, turn in (("world", np.eye(3)), ("voxel", axes), ("fsl", axes @ flip)):
        components = (turn.T @ square @ turn)[UPPER]
        path = write(tmp_path / "t.nii.gz", components, affine, FSL_ORDER)
        read = TensorField.from_nifti(path, frame=frame, order=FSL_ORDER)
        np.testing.assert_allclose(read.values, field.values, atol=1e-6)


def test_an_image_in_another_orientation_gives_the_same_tumor(tmp_path):
    tissue = box((20, 22, 18))
    field = winding_field()
    affine = field.grid.affine @ np.array(  # axes turned: y, then x from its far end, then z
        [[0, -1, 0, 19], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]
    )
    turned = np.flip(field.values.transpose(1, 0, 2, 3), 1)
    path = write(tmp_path / "t.nii.gz", turned, affine, FSL_ORDER)
    other = TensorField.from_nifti(path, frame="world", order=FSL_ORDER)
    p = GrowthParameters((19.0, 21.0, 17.0), 0.4, 0.1, 50)
    u = simulate(tissue, p, model=FisherKolmogorovTensor(field)).final.u
    v = simulate(tissue, p, model=FisherKolmogorovTensor(other)).final.u
    np.testing.assert_allclose(u, v, atol=1e-5)


def test_another_grid_is_interpolated_and_must_cover_the_tissue():
    tissue = box((8, 8, 8))
    fine = box(
        (18, 18, 18), np.array([[1, 0, 0, -1.5], [0, 1, 0, -1.5], [0, 0, 1, -1.5], [0, 0, 0, 1]])
    )
    linear = fine.grid.to_world(np.moveaxis(np.indices((18, 18, 18)), 0, -1)) / 10 + 1
    values = np.zeros((18, 18, 18, 6))
    values[..., [0, 3, 5]] = linear
    sampled = TensorField(values, fine.grid).sample(tissue.grid.to_world(tissue.voxels))
    expected = tissue.grid.to_world(tissue.voxels) / 10 + 1
    np.testing.assert_allclose(np.einsum("nii->ni", sampled), expected, rtol=1e-6)
    small = TensorField(values[:10], Grid((10, 18, 18), fine.grid.affine))
    with pytest.raises(ValueError, match=r"does not cover the tissue: 192 .* the first at \(10, 0"):
        FisherKolmogorovTensor(small).links(tissue)


def test_with_mean_of_keeps_the_isotropic_models_magnitude():
    tissue = box((8, 8, 8))
    q = rotation((1, 2, 3), 50)
    water = constant_field(1e-3 * q @ np.diag([1.7, 0.4, 0.3]) @ q.T, tissue)
    field = water.with_mean_of(tissue)
    np.testing.assert_allclose(field.values[..., [0, 3, 5]].sum(-1), 3, rtol=1e-5)
    np.testing.assert_allclose(field.values[0, 0, 0], 1250 * water.values[0, 0, 0], rtol=1e-5)


def test_a_field_that_is_no_tensor_field_says_where():
    values = np.array(winding_field((6, 5, 4)).values)
    grid = Grid((6, 5, 4), np.diag([2.0, 2, 2, 1]))
    for change, fault in ((math.nan, "is not finite"), (-0.5, "is not positive semi-definite")):
        bad = values.copy()
        bad[3, 2, 1, 0] = change
        with pytest.raises(ValueError, match=rf"voxel \(3, 2, 1\), \(6, 4, 2\) mm, {fault}"):
            TensorField(bad, grid)
    with pytest.raises(ValueError, match="has shape"):
        TensorField(values[..., :5], grid)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_exactly_the_indefinite_tensors_are_refused(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    eigenvalues = rng.choice([-1, -1e-3, 0, 1e-3, 1], 3)
    values = ((q * eigenvalues) @ q.T)[UPPER].reshape(1, 1, 1, 6)
    if eigenvalues.min() < 0:
        with pytest.raises(ValueError, match="positive semi-definite"):
            TensorField(values, Grid((1, 1, 1), np.eye(4)))
    else:
        TensorField(values, Grid((1, 1, 1), np.eye(4)))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 3, 3), {"frame": "world"}, "six components"),
        ((3, 3, 3, 5), {"frame": "world"}, "six components"),
        ((3, 3, 3, 6), {"frame": "world"}, "give order"),
        ((3, 3, 3, 1, 6), {"frame": "world"}, "give order"),
        ((3, 3, 3, 6), {"frame": "scanner", "order": FSL_ORDER}, "frame of a tensor is one of"),
        ((3, 3, 3, 6), {"frame": "world", "order": "xx,yy,zz"}, "each once"),
    ],
)
def test_bad_files_and_options_are_named(tmp_path, shape, options, message):
    path = tmp_path / "t.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), path)
    with pytest.raises(ValueError, match=message):
        TensorField.from_nifti(path, **options)


def odd(change):
    """A field's image after a change of it."""
    field = winding_field((6, 5, 4))
    image = nib.Nifti1Image(np.array(field.values), field.grid.affine)
    image.set_qform(field.grid.affine, 1)
    return change(image) or image


def without_frame(image):
    image.set_sform(None, 0)
    image.set_qform(None, 0)


def mirrored(image):
    image.set_qform(np.diag([-2.0, 2, 2, 1]), 1)


def of_another_size(image):
    image.header["pixdim"][1] = 1.0
    image.header["qform_code"] = 0


def flat(image):
    header = image.header.copy()
    header["srow_z"] = header["qform_code"] = 0
    return nib.Nifti1Image(np.asarray(image.dataobj), None, header)


def in_metres(image):
    image.header.set_xyzt_units("meter")


def of_complex_numbers(image):
    return nib.Nifti1Image(image.dataobj.astype(np.complex64), image.affine)


def with_a_hole(image):
    image.dataobj[3, 2, 1, 4] = np.nan


def indefinite(image):
    image.dataobj[3, 2, 1] = [1, 5, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_frame, r"declares no orientation \(sform and qform codes are 0\)"),
        (mirrored, r"two frames that lie 20 mm apart \(sform and qform\)"),
        (of_another_size, "voxel size: 2 x 2 x 2 mm by the sform, 1 x 2 x 2 mm by pixdim"),
        (flat, "affine is singular.* orientation is broken"),
        (in_metres, "gives sizes in meter; expected mm"),
        (of_complex_numbers, "expected real numbers, got voxels of type complex64"),
        (with_a_hole, r"the tensor at voxel \(3, 2, 1\), \(6, 4, 2\) mm, is not finite"),
        (indefinite, r"voxel \(3, 2, 1\), \(6, 4, 2\) mm, is not positive semi-definite"),
    ],
)
def test_odd_files_are_refused_by_name(tmp_path, change, message):
    field = winding_field((6, 5, 4))
    path = tmp_path / "t.nii"
    nib.save(odd(lambda image: None), path)
    assert TensorField.from_nifti(path, frame="world", order=FSL_ORDER) == field
    nib.save(odd(change), path)
    with pytest.raises(InputError, match=f"^tensor {path}: .*{message}"):
        TensorField.from_nifti(path, frame="world", order=FSL_ORDER)


def test_files_that_are_no_nifti_image_are_refused_by_name(tmp_path):
    field = winding_field((6, 5, 4))
    whole = tmp_path / "whole.nii"
    nib.save(nib.Nifti1Image(field.values, field.grid.affine), whole)
    (tmp_path / "cut.nii").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "text.nii").write_text("no image")
    nib.save(nib.MGHImage(field.values, field.grid.affine), tmp_path / "t.mgz")
    for name, message in {
        "cut.nii": "cannot be read as NIfTI",
        "text.nii": "cannot be read as NIfTI",
        "none.nii": "cannot be read as NIfTI",
        "t.mgz": "expected a NIfTI image, .* got MGHImage",
    }.items():
        with pytest.raises(InputError, match=f"^tensor {tmp_path / name}: {message}"):
            TensorField.from_nifti(tmp_path / name, frame="world", order=FSL_ORDER)


def test_a_model_is_found_again_by_its_description(tmp_path):
    field = winding_field((6, 5, 4))
    saved = field.to_nifti(tmp_path / "t.nii.gz")
    model = FisherKolmogorovTensor(saved)
    described = describe_model(model)
    again = find_model(described["name"], **described["settings"])
    assert again == model and hash(again) == hash(model) and again is not model
    other = TensorField(field.values * 2, field.grid).to_nifti(tmp_path / "t.nii.gz")
    assert FisherKolmogorovTensor(other) != model
    with pytest.raises(ValueError, match="has changed"):
        find_model(described["name"], **described["settings"])
    in_memory = describe_model(FisherKolmogorovTensor(field))
    with pytest.raises(ValueError, match="saved by to_nifti"):
        find_model(in_memory["name"], **in_memory["settings"])


@pytest.mark.parametrize("change", [{"ratio": 0.5}, {"max_anisotropy": 0.9}])
def test_settings_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        FisherKolmogorovTensor(**change)
