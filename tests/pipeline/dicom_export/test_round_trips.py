"""Masks to SEG and RTSTRUCT, and back by readers that share nothing with the writers.

The geometry of a series is ITK's, that of a SEG the one that its frames declare, and what is inside
a contour is said by Matplotlib. Expected is what an analytic shape says of the points themselves.
"""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_grids import GRIDS, SHAPES, points_of, volume
from dicom_series import write_frames, write_series
from matplotlib.path import Path as Outline

from glioquery.atlas import Grid
from glioquery.pipeline.dicom.named_structures import StructureNames
from glioquery.pipeline.dicom.outline_file import read_outlines
from glioquery.pipeline.dicom.series import read_series
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.parametric_map import make_parametric_map
from glioquery.pipeline.dicom_export.segment_writing import make_segmentation
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study

LEAST_DICE = 0.99
FARTHEST_MM = 0.2


def structures_on(grid):
    points = points_of(grid)
    return [
        Structure(name, shape(points), "CTV", (255, 0, i)) for i, (name, shape) in
        enumerate(SHAPES.items())
    ]  # fmt: skip


def compare(mask, points, shape):
    """Dice with an analytic shape, and the distance of the centres of mass."""
    expected = shape(points)
    dice = 2 * (mask & expected).sum() / (mask.sum() + expected.sum())
    return dice, np.linalg.norm(points[mask].mean(axis=0) - points[expected].mean(axis=0))


def declared_points(dataset):
    """Positions of all pixels of each frame of a multi-frame image, as it declares them."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    rows, columns = np.mgrid[: dataset.Rows, : dataset.Columns]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        at = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        at = at + columns[..., None] * column_mm * directions[:3]
        yield group, (at + rows[..., None] * row_mm * directions[3:]) * [-1, -1, 1]


def segments_of(path):
    """Voxels of each segment by label: positions in our world, bit by bit."""
    dataset = pydicom.dcmread(path)
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    size = (dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    frames = bits[: np.prod(size)].reshape(size).astype(bool)
    found = {segment.SegmentLabel: [] for segment in dataset.SegmentSequence}
    labels = list(found)
    for frame, (group, points) in zip(frames, declared_points(dataset), strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[labels[number - 1]].append(points[frame])
    return {label: np.concatenate(points) for label, points in found.items()}


def read_by_itk(folder):
    """A series as ITK reads it, with the position of every voxel in our world."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    voxels = np.moveaxis(np.indices(image.GetSize()), 0, -1)
    return image, (voxels @ axes.T + image.GetOrigin()) * [-1, -1, 1]


def structures_by_itk(path, image):
    """Masks of a structure set on a series that ITK has read, filled by Matplotlib."""
    dataset = pydicom.dcmread(path)
    names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
    columns, rows, _ = image.GetSize()
    centres = np.moveaxis(np.indices((columns, rows)), 0, -1).reshape(-1, 2)
    masks = {name: np.zeros(image.GetSize(), bool) for name in names.values()}
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            at = np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in points])
            k = round(float(at[:, 2].mean()))
            assert np.abs(at[:, 2] - k).max() < 1e-3  # on a slice of the series
            filled = Outline(at[:, :2]).contains_points(centres).reshape(columns, rows)
            masks[names[roi.ReferencedROINumber]][:, :, k] ^= filled
    return masks


@pytest.mark.parametrize("plane", GRIDS)
def test_structures_lie_where_they_were_drawn(tmp_path, plane):
    grid = GRIDS[plane]
    write_series(tmp_path / "series", volume(grid), grid, order=None)
    study = read_study(tmp_path / "series", "T1")
    structures = structures_on(study.grid)
    make_segmentation(structures, study).save_as(tmp_path / "seg.dcm")
    make_structure_set(structures, study).save_as(tmp_path / "rs.dcm", enforce_file_format=True)

    image, points = read_by_itk(tmp_path / "series")
    by_itk = structures_by_itk(tmp_path / "rs.dcm", image)
    inverse = np.linalg.inv(grid.affine)
    for name, positions in segments_of(tmp_path / "seg.dcm").items():
        at = positions @ inverse[:3, :3].T + inverse[:3, 3]
        assert np.abs(at - np.rint(at)).max() < 1e-3
        mask = np.zeros(grid.shape, bool)
        mask[tuple(np.rint(at).astype(int).T)] = True
        dice, apart_mm = compare(mask, points_of(grid), SHAPES[name])
        assert (dice, apart_mm) == (1.0, 0.0)
        dice, apart_mm = compare(by_itk[name], points, SHAPES[name])
        assert dice >= LEAST_DICE and apart_mm < FARTHEST_MM

    # And by the program's own readers, on the series' voxels.
    t1 = read_series(tmp_path / "series", "T1")
    for file in ("seg.dcm", "rs.dcm"):
        names = StructureNames(("sphere",), ("Two pieces", "Torus"))
        read = read_outlines(tmp_path / file, "segmentation", names, t1)
        sphere, torus, pieces = (structure.mask for structure in structures)
        assert read.grid == t1.grid and read.notices == ()
        np.testing.assert_array_equal(read.values == 2, sphere)
        np.testing.assert_array_equal(read.values > 0, sphere | torus | pieces)


@pytest.mark.skipif(not shutil.which("plastimatch"), reason="needs Plastimatch on the PATH")
@pytest.mark.parametrize("plane", GRIDS)
def test_plastimatch_fills_the_contours_that_were_drawn(tmp_path, plane):
    grid = GRIDS[plane]
    write_series(tmp_path / "series", volume(grid), grid, order=None)
    study = read_study(tmp_path / "series", "T1")
    structures = structures_on(study.grid)
    make_structure_set(structures, study).save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    call = [
        "plastimatch", "convert", "--input", tmp_path / "rs.dcm",
        "--referenced-ct", tmp_path / "series",
        "--output-prefix", tmp_path / "masks", "--prefix-format", "nii.gz",
    ]  # fmt: skip
    subprocess.run(call, check=True, capture_output=True)
    for structure in structures:
        read = nib.load(tmp_path / "masks" / f"{structure.name}.nii.gz")
        points = nib.affines.apply_affine(read.affine, np.moveaxis(np.indices(read.shape), 0, -1))
        dice, apart_mm = compare(np.asarray(read.dataobj) > 0, points, SHAPES[structure.name])
        assert dice >= LEAST_DICE and apart_mm < FARTHEST_MM


def test_structures_of_an_image_of_frames_name_its_frames(tmp_path):
    grid = GRIDS["oblique by 25 and 15"]
    write_frames(tmp_path / "t1.dcm", volume(grid), grid)
    study = read_study(tmp_path / "t1.dcm", "T1")
    structures = structures_on(study.grid)
    made = make_structure_set(structures, study)
    frames = [points for _, points in declared_points(pydicom.dcmread(tmp_path / "t1.dcm"))]
    for roi in made.ROIContourSequence:
        for contour in roi.ContourSequence:
            frame = frames[contour.ContourImageSequence[0].ReferencedFrameNumber - 1]
            normal = np.cross(frame[0, 1] - frame[0, 0], frame[1, 0] - frame[0, 0])
            points = np.array(contour.ContourData, float).reshape(-1, 3) * [-1, -1, 1]
            assert np.abs((points - frame[0, 0]) @ normal).max() < 1e-2
    make_segmentation(structures, study).save_as(tmp_path / "seg.dcm")
    for name, positions in segments_of(tmp_path / "seg.dcm").items():
        assert (
            SHAPES[name](positions).all() and len(positions) == SHAPES[name](points_of(grid)).sum()
        )


def test_cosines_that_are_rounded_do_not_stop_the_outputs(tmp_path):
    """A series leaves 0.05 degrees from its right angles, which highdicom refuses."""
    grid = GRIDS["oblique by 10"]
    sheared = Grid(grid.shape, grid.affine @ (np.eye(4) + np.outer([0, 1, 0, 0], [5e-4, 0, 0, 0])))
    write_series(tmp_path / "series", volume(sheared), sheared)
    study = read_study(tmp_path / "series", "T1")
    assert abs(study.grid.affine[:3, 0] @ study.grid.affine[:3, 1]) > 1e-4
    t1 = read_series(tmp_path / "series", "T1")
    structures = structures_on(study.grid)
    make_segmentation(structures, study).save_as(tmp_path / "seg.dcm")
    make_parametric_map(np.full(grid.shape, 0.5, np.float32), study, "Density", "Cells").save_as(
        tmp_path / "map.dcm"
    )
    for structure in structures:
        names = StructureNames((), (structure.name,))
        found = read_outlines(tmp_path / "seg.dcm", "segmentation", names, t1)
        assert found.grid == t1.grid
        np.testing.assert_array_equal(found.values > 0, structure.mask)


def test_contours_lie_in_the_planes_of_uneven_slices(tmp_path):
    """Slices may lie up to 5 % of their distance from where even ones would."""
    grid = GRIDS["oblique by 10"]
    across = np.cross(*grid.affine[:3, :2].T)
    off = np.random.default_rng(3).uniform(-0.02, 0.02, grid.shape[2]) * grid.spacing_mm[2]
    places = {}
    for k, path in enumerate(write_series(tmp_path / "series", volume(grid), grid)):
        image = pydicom.dcmread(path)
        moved = np.array(image.ImagePositionPatient, float)
        moved += off[k] * across / np.linalg.norm(across) * [-1, -1, 1]
        image.ImagePositionPatient = [f"{value:.6f}" for value in moved]
        image.save_as(path)
        places[image.SOPInstanceUID] = moved
    study = read_study(tmp_path / "series", "T1")
    made = make_structure_set(structures_on(study.grid), study)
    normal = across / np.linalg.norm(across) * [-1, -1, 1]
    for roi in made.ROIContourSequence:
        for contour in roi.ContourSequence:
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            own = places[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.abs((points - own) @ normal).max() < 1e-3
