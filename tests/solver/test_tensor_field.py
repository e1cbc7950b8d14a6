"""Fields of tensors: their files in every frame and order, what is refused, the model of a file."""

import math

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_fields import UPPER, box, constant_field, rotation, winding_field

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.solver import GrowthParameters, simulate
from glioquery.solver.models import FisherKolmogorovTensor, TensorField, describe_model, find_model

FSL_ORDER = "xx,xy,xz,yy,yz,zz"


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


@settings(max_examples=60)
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


def aside(image):
    shifted = image.affine.copy()
    shifted[:2, 3] += 0.4  # along each of two axes less than 0.5 mm, together more
    image.set_qform(shifted, 1)


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
        (aside, r"two frames that lie 0\.566 mm apart"),
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


def test_a_field_whose_file_has_moved_is_found_by_its_content(tmp_path, monkeypatch):
    field = winding_field().to_nifti(tmp_path / "tensor.nii.gz")
    described = field.describe()
    (tmp_path / "tensor.nii.gz").rename(tmp_path / "elsewhere.nii.gz")
    with pytest.raises(InputError, match="where the file has moved, name it with GLIOQUERY_TENSOR"):
        TensorField.from_description(described)
    monkeypatch.setenv("GLIOQUERY_TENSOR", str(tmp_path / "elsewhere.nii.gz"))
    found = TensorField.from_description(described)
    np.testing.assert_array_equal(found.values, field.values)
    with pytest.raises(InputError):
        TensorField.from_description(described | {"sha256": "0" * 64})
