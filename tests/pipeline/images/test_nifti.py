"""What is written is read again, with geometry and nothing else in its header, or not written."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from odd_names import ODD

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.images.nifti import read_nifti, write_nifti

ROOM = Grid((3, 4, 5), np.eye(4))


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([-1, 2, 5.5, 1.0]),
        np.array([[0, -2, 0.3, 5], [1, 0.3, 0, -7], [0.05, 0, 3, 11], [0, 0, 0, 1.0]]),
    ],
    ids=["flipped", "sheared"],
)
def test_written_header_has_geometry_and_nothing_else(tmp_path, affine):
    grid = Grid(ROOM.shape, affine)
    values = np.random.default_rng(0).random(grid.shape)
    write_nifti(tmp_path / "a.nii.gz", values, grid)
    header = nib.load(tmp_path / "a.nii.gz").header
    for text in ("descrip", "aux_file", "intent_name", "db_name"):
        assert bytes(header[text]).strip(b"\0") == b""
    assert header.get_data_dtype() == np.float32
    assert header.get_xyzt_units()[0] == "mm"
    assert header["sform_code"] == 1
    if header["qform_code"]:
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    read = read_nifti(tmp_path / "a.nii.gz", "map")
    assert read.grid == grid
    np.testing.assert_array_equal(read.values, values.astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_permissions_of_any_other_and_no_moment_of_its_own(
    tmp_path, monkeypatch, mask
):
    before = os.umask(mask)
    try:
        # Asking for the mask by setting it would open what another thread makes meanwhile.
        monkeypatch.setattr("os.umask", None)
        for name in ("a.nii", "a.nii.gz", "b.nii.gz"):
            write_nifti(tmp_path / name, np.ones(ROOM.shape), ROOM)
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (
        gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == (tmp_path / "a.nii").read_bytes()
    )


def test_the_name_of_a_folder_is_no_syntax(tmp_path):
    (tmp_path / ODD).mkdir()
    for name in ("a.nii", "a.nii.gz"):
        write_nifti(tmp_path / ODD / name, np.ones(ROOM.shape), ROOM)
        assert read_nifti(tmp_path / ODD / name, "map").values.all()


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="lie on"):
        write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2)), ROOM)
    assert list(tmp_path.iterdir()) == []


def test_integers_of_eight_bytes_are_written_in_four(tmp_path):
    values = np.arange(60).reshape(ROOM.shape)
    write_nifti(tmp_path / "a.nii", values, ROOM)
    assert nib.load(tmp_path / "a.nii").get_data_dtype() == np.int32
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii", "labels").values, values)
    with pytest.raises(ValueError, match="beyond int32"):
        write_nifti(tmp_path / "b.nii", values + 2**31, ROOM)


def test_a_pair_of_files_is_refused(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros(ROOM.shape, np.float32), np.eye(4)), tmp_path / "a.hdr")
    with pytest.raises(InputError, match=r"in one file .* got Nifti1Pair"):
        read_nifti(tmp_path / "a.hdr", "T1")


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_more_data_than_the_header_says_are_found_in_every_member_of_a_gzip_file(
    tmp_path, n_members
):
    """bgzip writes many members, the last one empty; each says its own length alone."""
    write_nifti(tmp_path / "a.nii", np.ones((50, 60, 70), np.uint8), Grid((50, 60, 70), np.eye(4)))
    content = (tmp_path / "a.nii").read_bytes()
    for name, held in (("whole", content), ("more", content + content)):
        parts = (
            np.array_split(np.frombuffer(held, np.uint8), n_members - 1) if n_members > 1 else []
        )
        parts = [part.tobytes() for part in parts] + [b""] if parts else [held]
        (tmp_path / f"{name}.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    assert read_nifti(tmp_path / "whole.nii.gz", "T1").values.sum() == 50 * 60 * 70
    with pytest.raises(InputError, match="but the file holds"):
        read_nifti(tmp_path / "more.nii.gz", "T1")
