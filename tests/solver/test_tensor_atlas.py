"""Tensors of other tools for the atlas's brain, and how strong their anisotropy is."""

import numpy as np
import pytest
from tensor_fields import (
    UPPER,
    box,
    constant_field,
    one_fibre,
    rotation,
    winding_field,
    write_dipy,
    write_fsl,
    write_mrtrix,
)

from glioquery.atlas import Grid
from glioquery.solver.models import (
    FisherKolmogorov,
    FisherKolmogorovTensor,
    TensorField,
    convert_tensor,
    describe_model,
    find_model,
)
from glioquery.solver.models.tensor_atlas import TENSOR_VARIABLE, moved


@pytest.fixture
def tissue():
    return box((6, 7, 5))


@pytest.mark.parametrize("turn", [np.diag([-1.0, 1, 1]), np.eye(3), rotation((1, 2, 0), 25)])
def test_the_tools_files_of_one_fibre_become_one_field(tmp_path, tissue, turn):
    tensor = one_fibre((1, 2, 0.5))
    affine = np.eye(4)
    affine[:3, :3] = 2 * turn
    affine[:3, 3] = np.array([5.0, 6, 4]) - affine[:3, :3] @ [6.5, 6.5, 6.5]
    expected = np.broadcast_to((tensor / np.trace(tensor) * 3)[UPPER], (*tissue.grid.shape, 6))
    for tool, write in (("fsl", write_fsl), ("mrtrix", write_mrtrix), ("dipy", write_dipy)):
        write(tmp_path / "t.nii.gz", tensor, affine)
        field = convert_tensor(tmp_path / "t.nii.gz", tissue, tool=tool)
        np.testing.assert_allclose(field.values, expected, atol=1e-5, err_msg=tool)


def test_tensors_turn_with_the_image_and_keep_their_eigenvalues():
    field = winding_field((5, 6, 4))
    turn = rotation((1, -1, 2), 35)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, (10, -4, 3)
    there = moved(field, affine)
    square = field.sample(field.grid.to_world([[2, 3, 1]]))[0]
    np.testing.assert_allclose(
        there.sample(there.grid.to_world([[2, 3, 1]]))[0], turn @ square @ turn.T, atol=1e-6
    )
    # Stretched and sheared, the fibre turns with it and its eigenvalues stay.
    affine[:3, :3] = turn @ np.diag([1.2, 0.9, 1.1]) @ (np.eye(3) + 0.1 * np.eye(3, k=1))
    sheared = moved(field, affine).values[..., [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]
    before = field.values[..., [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]
    np.testing.assert_allclose(np.linalg.eigvalsh(sheared), np.linalg.eigvalsh(before), atol=1e-5)
    np.testing.assert_array_equal(moved(field, np.eye(4)).values, field.values)
    with pytest.raises(ValueError, match="4 x 4 matrix"):
        moved(field, np.eye(3))


def test_strength_goes_from_the_isotropic_model_to_the_tensor(tissue):
    field = constant_field(3 * one_fibre((1, 0, 0)) / 1.4, tissue)  # of mean 1
    links = {
        s: FisherKolmogorovTensor(field, strength=s, max_anisotropy=5).links(tissue)
        for s in (0.0, 0.5, 1.0)
    }
    plain = FisherKolmogorov(face_mean="arithmetic").links(tissue)
    for offset, weights in plain.items():
        np.testing.assert_allclose(links[0.0][offset], weights, atol=1e-6)
    along, across = ((1, 0, 0), (0, 1, 0))
    full = links[1.0][along].max() / links[1.0][across].max()
    half = links[0.5][along].max() / links[0.5][across].max()
    assert full == pytest.approx(5, rel=1e-4)
    assert half == pytest.approx((1 + 3 * 1 / 1.4) / (1 + 3 * 0.2 / 1.4), rel=1e-4)


def test_the_variable_names_the_atlas_tensors(tmp_path, tissue, monkeypatch):
    path = tmp_path / "tensor.nii.gz"
    field = constant_field(one_fibre((0, 1, 1)), tissue).to_nifti(path)
    monkeypatch.setenv(TENSOR_VARIABLE, str(path))
    model = find_model("fisher-kolmogorov-tensor", tensor="atlas", strength=0.5)
    assert model.tensor == field
    assert model == find_model("fisher-kolmogorov-tensor", tensor=str(path), strength=0.5)
    settings = describe_model(model)["settings"]
    assert settings["tensor"]["path"] == str(path)  # a database holds the file, not the variable
    monkeypatch.delenv(TENSOR_VARIABLE)
    assert find_model("fisher-kolmogorov-tensor", **settings) == model


def test_what_is_no_tensor_atlas_is_refused(tmp_path, tissue, monkeypatch):
    monkeypatch.delenv(TENSOR_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="GLIOQUERY_TENSOR names, and it names none"):
        find_model("fisher-kolmogorov-tensor", tensor="atlas")
    write_mrtrix(tmp_path / "t.nii", one_fibre((1, 0, 0)), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(ValueError, match="another tool wrote it"):
        find_model("fisher-kolmogorov-tensor", tensor=str(tmp_path / "t.nii"))
    with pytest.raises(ValueError, match="those of fsl, mrtrix, dipy, got 'spm'"):
        convert_tensor(tmp_path / "t.nii", tissue, tool="spm")
    with pytest.raises(ValueError, match=r"strength lies in \[0, 1\], got 2"):
        FisherKolmogorovTensor(strength=2)
    far = TensorField(winding_field((4, 4, 4)).values, Grid((4, 4, 4), np.eye(4)))
    with pytest.raises(ValueError, match="does not cover the tissue"):
        FisherKolmogorovTensor(far).links(tissue)
