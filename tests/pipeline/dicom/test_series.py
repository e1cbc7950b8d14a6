"""A series of slices lies where its headers say, whatever its files are called."""

import shutil

import numpy as np
import pydicom
import pytest
from dicom_grids import GRIDS, grid_along, points_of, volume
from dicom_series import PATIENT, write_frames, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, RLELossless

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.dicom.series import read_series
from glioquery.pipeline.dicom_export.study import read_study

GRID = GRIDS["oblique by 10"]


def intensity_at(file, grid):
    """Values of a file at the points of another grid's voxels."""
    at = file.grid.to_voxel(points_of(grid))
    assert np.abs(at - np.rint(at)).max() < 1e-3
    return file.values[tuple(np.moveaxis(np.rint(at).astype(int), -1, 0))]


@pytest.mark.parametrize("plane", GRIDS)
def test_every_voxel_lies_where_the_scanner_saw_it(tmp_path, plane):
    grid = GRIDS[plane]
    write_series(tmp_path / "a", volume(grid), grid, order=None, slope=0.5, intercept=-10)
    write_frames(tmp_path / "frames.dcm", volume(grid), grid, slope=0.25)
    slices, frames = read_series(tmp_path / "a", "T1"), read_series(tmp_path / "frames.dcm", "T1")
    np.testing.assert_array_equal(intensity_at(slices, grid), volume(grid) * 0.5 - 10)
    np.testing.assert_array_equal(intensity_at(frames, grid), volume(grid) * 0.25)


def test_the_order_and_the_names_of_files_decide_nothing(tmp_path):
    read = []
    for name, order in (("rising", 1), ("falling", -1), ("shuffled", None)):
        write_series(tmp_path / name, volume(GRID), GRID, order=order)
        read.append(read_series(tmp_path / name, "T1"))
    for other in read[1:]:
        assert other.grid == read[0].grid
        np.testing.assert_array_equal(other.values, read[0].values)


def test_compressed_slices_and_slopes_of_their_own_are_read(tmp_path):
    paths = write_series(tmp_path / "a", volume(GRID), GRID, syntax=RLELossless)
    header = pydicom.dcmread(paths[4])
    header.RescaleSlope = 3
    header.save_as(paths[4])
    expected = volume(GRID).astype(np.float32)
    expected[:, :, 4] *= 3
    file = read_series(tmp_path / "a", "T1")
    np.testing.assert_array_equal(intensity_at(file, GRID), expected)


def test_a_copy_of_a_slice_is_left_out_and_told(tmp_path):
    paths = write_series(tmp_path / "a", volume(GRID), GRID)
    shutil.copy(paths[3], tmp_path / "a" / "copy")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    file = read_series(tmp_path / "a", "T1")
    assert file.grid.shape == GRID.shape and "copies" in file.notices[0]


def test_slices_that_each_say_that_they_are_one_frame_are_read(tmp_path):
    write_series(tmp_path / "a", volume(GRID), GRID, NumberOfFrames=1)
    file = read_series(tmp_path / "a", "T1")
    np.testing.assert_array_equal(intensity_at(file, GRID), volume(GRID))
    study = read_study(tmp_path / "a", "T1")
    assert study.frames is None and len(study.images) == GRID.shape[2]


@pytest.mark.parametrize("uid", [None, ""])
def test_an_empty_frame_of_reference_is_none(tmp_path, uid):
    write_series(tmp_path / "a", volume(GRID), GRID, frame_uid=uid)
    assert read_series(tmp_path / "a", "T1").frame_uid is None


def test_a_series_is_chosen_by_its_number(tmp_path):
    other = Grid((20, 20, 18), GRID.affine)
    write_series(tmp_path / "a" / "b", volume(GRID), GRID, number=3)
    write_series(tmp_path / "a" / "c", volume(other), other, number=7)
    with pytest.raises(InputError, match=r"#3 MR, 26 x 24, 18 slices; #7 MR, 20 x 20, 18 slices"):
        read_series(tmp_path / "a", "T1")
    assert read_series(f"{tmp_path / 'a'}#7", "T1").grid.shape == other.shape
    with pytest.raises(InputError, match="got number 5"):
        read_series(f"{tmp_path / 'a'}#5", "T1")


def empty(folder):
    folder.mkdir()


def mixed(folder):
    write_series(folder / "a", volume(GRID), GRID)
    write_series(folder / "b", volume(GRID), GRID, patient=PATIENT | {"PatientID": "another"})


def truncated(folder):
    path = write_series(folder, volume(GRID), GRID)[5]
    path.write_bytes(path.read_bytes()[:-100])


def cut_header(folder):
    path = write_series(folder, volume(GRID), GRID)[5]
    path.write_bytes(path.read_bytes()[:300])


def without_pixels(folder):
    path = write_series(folder, volume(GRID), GRID)[5]
    header = pydicom.dcmread(path)
    del header.PixelData
    header.save_as(path)


def unknown_codec(folder):
    for path in write_series(folder, volume(GRID), GRID):
        header = pydicom.dcmread(path)
        header.PixelData = encapsulate([b"ab" * 50])
        header["PixelData"].VR = "OB"
        header.file_meta.TransferSyntaxUID = HTJ2KLossless
        header.save_as(path)


def one_number(folder):
    write_series(folder / "a", volume(GRID), GRID, number=2)
    write_series(folder / "b", volume(GRID), GRID, number=2)


def missing_slice(folder):
    for path in write_series(folder, volume(GRID), GRID)[5:7]:
        path.unlink()


def uneven(folder):
    path = write_series(folder, volume(GRID), GRID)[7]
    header = pydicom.dcmread(path)
    x, y, z = header.ImagePositionPatient
    header.ImagePositionPatient = [x, y, float(z) + 0.9]
    header.save_as(path)


def two_volumes(folder):
    write_series(folder / "a", volume(GRID), GRID, series_uid="1.2.3")
    write_series(folder / "b", volume(GRID), GRID, series_uid="1.2.3")


def localiser(folder):
    write_series(folder / "a", volume(GRID), GRID, series_uid="1.2.3")
    turned = grid_along(np.eye(3))
    write_series(folder / "b", volume(turned), turned, series_uid="1.2.3")


def scan_by_ct(folder):
    write_series(folder, volume(GRID), GRID, modality="CT")


def inverted(folder):
    bright = np.uint16(4095) - volume(GRID)
    write_series(folder, bright, GRID, PhotometricInterpretation="MONOCHROME1")


def one_slice(folder):
    for path in write_series(folder, volume(GRID), GRID)[1:]:
        path.unlink()


def lost_frames(folder):
    write_frames(folder / "a.dcm", volume(GRID), GRID, skip=(4, 5))


def without_place(folder):
    path = write_series(folder, volume(GRID), GRID)[0]
    header = pydicom.dcmread(path)
    del header.ImagePositionPatient
    header.save_as(path)


def changed(keyword, value=None):
    """Slices of which one has another value in a field, or none, whatever DICOM allows there."""

    def make(folder):
        path = write_series(folder, volume(GRID), GRID)[5]
        header = pydicom.dcmread(path)
        of_file = keyword == "TransferSyntaxUID"
        part = header.file_meta if of_file else header
        if value is None:
            del part[keyword]
        else:
            part[keyword] = pydicom.DataElement(keyword, "LO", value)
            part[keyword].VR = pydicom.datadict.dictionary_VR(keyword)
        if of_file:  # of the file that is looked at
            path = min(folder.iterdir())
        header.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)

    return make


BAD = {
    empty: "expected DICOM files, got a folder without any",
    mixed: "files of one patient, got those of 2",
    truncated: "IM0005 cannot be read as DICOM, it is truncated or damaged",
    cut_header: "IM0005 cannot be read as DICOM, it is truncated or damaged",
    without_pixels: "IM0005 has no pixel data",
    unknown_codec: r"High-Throughput JPEG 2000.*no decoder.*pip install",
    one_number: "expected one series, got 2: .*some share a number",
    missing_slice: r"expected slices 3 mm apart, got distances from 3 to 9 mm: 2 of 18 are missing",
    uneven: r"evenly spaced slices, got distances from 2\.1\d+ to 3\.8\d+ mm",
    two_volumes: "one slice at each place, got 36 slices at 18 places",
    localiser: "one orientation and size",
    scan_by_ct: r"expected an MRI \(MR\), got a series #3 CT",
    inverted: r"brighter the larger they are \(MONOCHROME2\), got MONOCHROME1; export",
    one_slice: "expected the slices of a volume, got 1",
    lost_frames: "a file of 16 frames that do not",
    without_place: "no ImagePositionPatient",
    changed("SOPInstanceUID"): "IM0005: expected the field SOPInstanceUID as DICOM defines it",
    changed("TransferSyntaxUID"): "expected the field TransferSyntaxUID as DICOM defines it",
    changed("Columns"): "IM0005: expected the field Columns as DICOM defines it",
    changed("PixelSpacing", ["1,0", "1,0"]): "IM0005: expected the field PixelSpacing as",
    changed("PhotometricInterpretation"): "IM0005: expected the field PhotometricInterpretation as",
    changed("PhotometricInterpretation", "PALETTE COLOR"): "IM0005: .* got PALETTE COLOR; export",
    changed("SeriesNumber", "A"): "IM0005: expected the field SeriesNumber as DICOM defines it",
    changed("ImageOrientationPatient", ["1", "0", "0", "0", "1"]): "field ImageOrientationPatient",
    changed("ImagePositionPatient", ["1", "0"]): "expected the field ImagePositionPatient as",
    changed("FrameOfReferenceUID", "1.2.3"): "slices in one frame of reference, got 2",
    changed("RescaleIntercept"): "IM0005: expected RescaleSlope and .* got RescaleSlope alone; exp",
}


@pytest.mark.parametrize("make", BAD)
def test_a_bad_folder_gets_one_line_without_the_patient(tmp_path, make, recwarn):
    make(tmp_path / "a")
    with pytest.raises(InputError, match=BAD[make]) as refused:
        read_series(tmp_path / "a", "T1")
    line = str(refused.value)
    assert "\n" not in line and line.startswith(f"T1 {tmp_path}")
    told = line + "".join(str(warning.message) for warning in recwarn)
    assert not any(value in told for value in PATIENT.values() if len(value) > 1)
