"""Files that are something else than their name says: what they are, and what to do."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from raw_nifti import write_raw

from glioquery.errors import InputError
from glioquery.pipeline.images.file_kinds import KINDS
from glioquery.pipeline.images.nifti import read_nifti

VALUES = np.ones((8, 9, 10), np.int16)
AFFINE = np.array([[-2, 0, 0, 7], [0, -2, 0, 30], [0, 0, 3, -9], [0, 0, 0, 1.0]])


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_nifti(path, "T1")
    message = str(caught.value)
    assert message.startswith(f"T1 {path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("made", "named", "message"),
    [
        ("a.nii.gz", "a.nii", "compressed with gzip, .* rename it to a.nii.gz"),
        ("a.nii", "a.nii.gz", "not compressed with gzip, .* rename it to a.nii"),
        ("a.nii.gz", "a.gz", "rename it to a.nii.gz"),
        ("a.nii.gz", "a", "rename it to a.nii.gz"),
        ("a.nii", "a.img", "rename it to a.img.nii"),
    ],
)
def test_a_name_that_does_not_tell_the_compression(tmp_path, made, named, message):
    path = write_raw(tmp_path / made, VALUES, AFFINE).rename(tmp_path / named)
    with pytest.raises(InputError, match=message):
        read_nifti(path, "T1")


def test_capitals_and_versions_are_no_matter(tmp_path):
    for name in ("A.NII", "A.Nii.GZ"):
        write_raw(tmp_path / "a.nii", VALUES, AFFINE)
        data = (tmp_path / "a.nii").read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("GZ") else data)
        np.testing.assert_array_equal(read_nifti(tmp_path / name, "T1").values, VALUES)
    nib.save(nib.Nifti2Image(VALUES, AFFINE), tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "b.nii.gz", "T1").values, VALUES)
    big = nib.Nifti1Image(VALUES, AFFINE, nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "c.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "c.nii", "T1").values, VALUES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[2])
def test_other_formats_are_named(tmp_path, kind):
    offset, letters, what, advice = kind
    path = tmp_path / "a.nii"
    path.write_bytes(b"\1" * offset + letters + b"\1" * 600)
    assert refusal(path).endswith(f"expected a NIfTI image (.nii or .nii.gz), got {what}; {advice}")


def test_folders(tmp_path):
    assert "got a folder; name the image in it" in refusal(tmp_path)
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert "got a folder of DICOM files; convert the series" in refusal(tmp_path)


def test_nothing_text_and_halves(tmp_path):
    path = tmp_path / "a.nii.gz"
    assert "no such file" in refusal(path)
    path.touch()
    assert "an empty file" in refusal(path)
    path.write_text("no image at all")
    assert "does not begin with a NIfTI header" in refusal(path)
    whole = gzip.compress(np.random.default_rng(0).bytes(5000))
    path.write_bytes(whole[:200])
    assert "the file is truncated" in refusal(path)
    path.write_bytes(whole[:20] + b"\0\0\0" + whole[23:])
    assert "gzip" in refusal(path) or "NIfTI header" in refusal(path)
    analyze = nib.AnalyzeImage(VALUES, AFFINE)
    nib.save(analyze, tmp_path / "b.hdr")
    assert "Analyze" in refusal(tmp_path / "b.hdr")


@pytest.mark.parametrize(
    ("kind", "got", "whole"), [(nib.Nifti1Image, 347, 348), (nib.Nifti2Image, 300, 540)]
)
def test_a_header_that_is_cut_off_is_told(tmp_path, kind, got, whole):
    nib.save(kind(VALUES, AFFINE), tmp_path / "a.nii")
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:got])
    assert f"expected a NIfTI header of {whole} bytes, got {got}" in refusal(tmp_path / "a.nii")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    path = write_raw(tmp_path / "a.nii", VALUES, AFFINE)
    path.chmod(0)
    assert "Permission denied" in refusal(path)
