"""`tensor-atlas`: another program's tensors as the file of a model."""

import json

import numpy as np
import pytest
from command_line import run
from tensor_fields import one_fibre, rotation, write_fsl

from glioquery.solver.models import find_model

CENTRE = np.array([-120.0, 120, 75])


def test_fsl_s_tensors_become_a_model_s_and_turn_with_the_affine(capsys, tmp_path):
    image = np.diag([-12.0, 12, 12, 1])
    image[:3, 3] = CENTRE + np.array([150, -150, -150])
    write_fsl(tmp_path / "dti.nii.gz", one_fibre((1, 0, 0)), image, (26, 26, 26))
    turn, affine = rotation((0, 0, 1), 30), np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, CENTRE - turn @ CENTRE
    np.savetxt(tmp_path / "affine.txt", affine)
    out = tmp_path / "tensor.nii.gz"
    code, printed, _ = run(
        capsys, "tensor-atlas", tmp_path / "dti.nii.gz", out, "--tool", "fsl", "--affine",
        tmp_path / "affine.txt", "--json",
    )  # fmt: skip
    model = find_model("fisher-kolmogorov-tensor", tensor=str(out))
    assert code == 0 and json.loads(printed)["sha256"] == model.tensor.sha256
    _, vectors = np.linalg.eigh(model.tensor.sample(CENTRE[None])[0])
    assert abs(vectors[:, -1] @ turn[:, 0]) == pytest.approx(1, abs=1e-5)


def test_what_is_no_affine_or_no_place_is_refused(capsys, tmp_path):
    given = tmp_path / "dti.nii.gz"
    write_fsl(given, one_fibre((1, 0, 0)), np.eye(4), (3, 3, 3))
    short = tmp_path / "short.txt"
    np.savetxt(short, np.eye(4)[:3])
    for out, more, told in (
        ("tensor.nii", ["--affine", short], "expected four rows of four finite numbers, got 3 x 4"),
        ("tensor.nii", ["--affine", given], "expected four rows of four numbers"),
        ("tensor.txt", [], "written as .nii.gz or .nii, got tensor.txt"),
        ("tensor.nii", [], "does not cover the tissue"),
    ):
        command = ["tensor-atlas", given, tmp_path / out, "--tool", "fsl", *more]
        code, _, err = run(capsys, *command)
        assert code == 2 and told in " ".join(err.split())
    assert not (tmp_path / "tensor.nii").exists()
