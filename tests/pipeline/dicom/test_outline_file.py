"""Outlines in SEG and RTSTRUCT as other programs write them: odd, spaced, nameless, damaged."""

from types import SimpleNamespace

import highdicom
import numpy as np
import pytest
from dicom_grids import GRIDS, points_of, sphere, volume
from dicom_series import FRAME_UID, write_series
from pydicom.dataelem import DataElement
from pydicom.uid import generate_uid

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.dicom.contour_reading import rasterise
from glioquery.pipeline.dicom.named_structures import StructureNames
from glioquery.pipeline.dicom.outline_file import read_outlines, require_outlines
from glioquery.pipeline.dicom.world import volume_of
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.segment_writing import make_segmentation
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study

GRID = GRIDS["oblique by 10"]
BALL = sphere(points_of(GRID))
CAP = BALL & (np.indices(GRID.shape)[2] < 10)
GTV = StructureNames((), ("GTV",))
BOTH = StructureNames(("Core",), ("GTV",))


def ball(name, mask=BALL):
    return Structure(name, mask, "GTV", (255, 0, 0))


@pytest.fixture
def study(tmp_path):
    write_series(tmp_path / "series", volume(GRID), GRID)
    return read_study(tmp_path / "series", "T1")


@pytest.fixture
def contours(tmp_path, study):
    """A structure set of the core and the GTV, and where it is saved after a change."""
    made = make_structure_set([ball("Core", CAP), ball("GTV")], study)

    def save():
        made.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
        return tmp_path / "rs.dcm"

    return SimpleNamespace(made=made, save=save)


def read(path, names):
    """Outlines of a file, for an image on `GRID`."""
    image = SimpleNamespace(grid=GRID, frame_uid=FRAME_UID)
    return read_outlines(path, "segmentation", names, image)


def label_map(study):
    """A label map: the core is 3 and lies in the cap, the rest of the ball is 7."""
    described = make_segmentation([ball("Core", CAP), ball("GTV")], study).SegmentSequence
    for segment, number in zip(described, (3, 7), strict=True):
        segment.SegmentNumber = number
    labels = np.where(CAP, 3, np.where(BALL, 7, 0)).astype(np.uint8)
    return highdicom.seg.Segmentation(
        source_images=study.images,
        pixel_array=volume_of(labels, study.grid, study.frame_uid),
        segmentation_type="LABELMAP",
        segment_descriptions=list(described),
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Scanworks",
        manufacturer_model_name="S",
        software_versions="1",
        device_serial_number="1",
    )


def test_the_segments_of_a_label_map_are_found_by_their_numbers(tmp_path, study):
    label_map(study).save_as(tmp_path / "seg.dcm")
    found = read(tmp_path / "seg.dcm", BOTH)
    np.testing.assert_array_equal(found.values == 2, CAP)
    np.testing.assert_array_equal(found.values == 1, BALL & ~CAP)
    with pytest.raises(InputError, match=r"it holds 'Core', 'GTV': name"):
        require_outlines(tmp_path / "seg.dcm", "segmentation", None)


@pytest.mark.parametrize("keyword", ["SegmentLabel", "SegmentNumber"])
def test_a_segment_without_label_or_number_is_refused(tmp_path, study, keyword):
    made = make_segmentation([ball("GTV")], study)
    del made.SegmentSequence[0][keyword]
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match=f"expected the field {keyword} as DICOM defines it"):
        read(tmp_path / "seg.dcm", GTV)


def segmented(tmp_path, grid, slices):
    """A file of a segment in some slices of a grid, without the distance of the slices."""
    write_series(tmp_path / "drawn", volume(grid), grid)
    mask = np.zeros(grid.shape, bool)
    mask[8:14, 8:15, slices] = True
    made = make_segmentation([ball("GTV", mask)], read_study(tmp_path / "drawn", "T1"))
    del made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    made.save_as(tmp_path / "seg.dcm")
    return tmp_path / "seg.dcm", mask


@pytest.mark.parametrize("slices", [[9], [2, 4, 6, 8], [2, 4, 7], [2, 3, 4]])
def test_without_a_distance_frames_on_slices_of_the_image_have_these_s(tmp_path, slices):
    path, mask = segmented(tmp_path, GRID, slices)
    found = read(path, GTV)
    assert found.grid == GRID
    np.testing.assert_array_equal(found.values > 0, mask)


BETWEEN = Grid(GRID.shape, GRID.affine @ (np.eye(4) + np.outer([0, 0, 0.5, 0], [0, 0, 0, 1])))
"""Slices of their own, half way between those of `GRID`."""


@pytest.mark.parametrize("slices", [[9], [2, 4, 7]])
def test_without_a_distance_frames_elsewhere_have_no_thickness(tmp_path, slices):
    path, _ = segmented(tmp_path, BETWEEN, slices)
    with pytest.raises(InputError, match=r"expected SpacingBetweenSlices, .*thickness is un") as no:
        read(path, GTV)
    assert str(no.value).startswith(f"segmentation {path}: ") and "\n" not in str(no.value)


def test_without_a_distance_even_frames_elsewhere_have_their_own(tmp_path):
    path, mask = segmented(tmp_path, BETWEEN, [2, 3, 4, 6])
    found = read(path, GTV)
    assert found.grid.spacing_mm == pytest.approx(BETWEEN.spacing_mm)
    at = np.rint(found.grid.to_voxel(points_of(BETWEEN)[mask])).astype(int)
    assert found.values[tuple(at.T)].all() and (found.values > 0).sum() == mask.sum()


def test_outlines_whose_slices_are_thicker_keep_their_voxels(tmp_path):
    # Both ends lie on slices of the image, and none of the slices between.
    thick = Grid((*GRID.shape[:2], 15), GRID.affine @ np.diag([1, 1, 17 / 14, 1]))
    mask = np.random.default_rng(1).random(thick.shape) < 0.5
    write_series(tmp_path / "thick", volume(thick), thick)
    study = read_study(tmp_path / "thick", "T1")
    make_segmentation([ball("GTV", mask)], study).save_as(tmp_path / "seg.dcm")
    found = read(tmp_path / "seg.dcm", GTV)
    at = np.rint(found.grid.to_voxel(points_of(thick)[mask])).astype(int)
    assert found.grid.shape == thick.shape  # its slices may be in the other order
    assert found.values[tuple(at.T)].all() and (found.values > 0).sum() == mask.sum()


def test_of_two_structures_of_one_name_none_is_taken(contours):
    for roi in contours.made.StructureSetROISequence:
        roi.ROIName = "GTV"
    with pytest.raises(InputError, match="expected one structure 'GTV', got 2; it holds 'GTV', 'G"):
        read(contours.save(), GTV)


@pytest.mark.parametrize("uid", [None, ""])
def test_contours_without_a_frame_of_reference_are_read_with_a_notice(contours, uid):
    for roi in contours.made.StructureSetROISequence:
        if uid is None:
            del roi.ReferencedFrameOfReferenceUID
        else:
            roi.ReferencedFrameOfReferenceUID = uid
    found = read(contours.save(), GTV)
    assert found.frame_uid is None and "frame of reference" in found.notices[0]
    np.testing.assert_array_equal(found.values > 0, BALL)


def test_segments_of_an_empty_frame_of_reference_are_read_with_a_notice(tmp_path, study):
    made = make_segmentation([ball("GTV")], study)
    made.FrameOfReferenceUID = ""
    made.save_as(tmp_path / "seg.dcm")
    found = read(tmp_path / "seg.dcm", GTV)
    assert found.frame_uid is None and "frame of reference" in found.notices[0]
    np.testing.assert_array_equal(found.values > 0, BALL)


CORNERS = np.array([[8.0, 8], [16, 8], [16, 16], [8, 16]])


def squares(slices, grid=GRID, corners=CORNERS):
    """A square contour on each of some slices, which may lie between those of the image."""
    return [grid.to_world(np.column_stack([corners, np.full(4, float(k))])) for k in slices]


@pytest.mark.parametrize("key", GRIDS)
def test_contours_through_the_centres_of_voxels_hold_these_on_every_side(key):
    grid = GRIDS[key]
    contours = [square.round(4) for square in squares([5, 6, 7], grid)]
    masks, found, _ = rasterise({"GTV": contours}, grid, "segmentation")
    expected = np.zeros(grid.shape, bool)
    expected[8:17, 8:17, 5:8] = True
    assert found == grid
    np.testing.assert_array_equal(masks["GTV"], expected)


@pytest.mark.parametrize("key", GRIDS)
def test_contours_at_the_edge_of_the_field_of_view_get_the_image_s_voxels(key):
    grid = GRIDS[key]
    nx, ny, _ = grid.shape
    corners = np.array([[0.0, 0], [nx, 0], [nx, ny], [0, ny]]) - 0.5
    contours = [square.round(4) for square in squares([5, 6, 7], grid, corners)]
    masks, found, _ = rasterise({"GTV": contours}, grid, "segmentation")
    assert found == grid
    assert masks["GTV"][..., 5:8].all() and masks["GTV"].sum() == 3 * nx * ny
    _, beyond, _ = rasterise({"GTV": squares([5, 6, 7], grid, corners - 0.2)}, grid, "segmentation")
    assert beyond != grid


def test_contours_without_an_area_are_refused():
    lines = squares([5, 6, 7], corners=CORNERS * [1, 0])
    with pytest.raises(InputError, match=r"that enclose an area, got at most .* mm\^2") as refused:
        rasterise({"GTV": lines}, GRID, "segmentation")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("slices", [[0, 2, 4, 6, 8, 9], [0, 3, 6, 7], [0, 2, 5, 7], [1, 2, 3, 9]])
def test_planes_without_a_contour_may_lie_between_those_with_one(slices):
    masks, grid, _ = rasterise({"GTV": squares(slices)}, GRID, "segmentation")
    assert grid == GRID
    assert np.flatnonzero(masks["GTV"].any(axis=(0, 1))).tolist() == slices


def test_contours_in_planes_of_their_own_make_a_grid_with_their_smallest_step():
    masks, grid, notices = rasterise({"GTV": squares([0.3, 1.3, 3.3, 7.3, 8.3])}, GRID, "outlines")
    assert grid.spacing_mm[2] == pytest.approx(GRID.spacing_mm[2]) and not notices
    assert np.flatnonzero(masks["GTV"].any(axis=(0, 1))).tolist() == [0, 1, 3, 7, 8]


def test_two_planes_on_slices_of_the_image_are_two_slices_however_far_apart():
    masks, grid, notices = rasterise({"GTV": squares([3, 12])}, GRID, "segmentation")
    assert grid == GRID and not notices
    assert np.flatnonzero(masks["GTV"].any(axis=(0, 1))).tolist() == [3, 12]


def test_contours_on_every_second_slice_are_thick_and_said_to_be():
    drawn = squares([2, 4, 6, 12, 14])
    masks, grid, (notice,) = rasterise({"GTV": drawn}, GRID, "segmentation")
    assert grid.spacing_mm[2] == pytest.approx(6)
    assert masks["GTV"].sum() * grid.voxel_ml == pytest.approx(
        5 * 8 * 8 * 2 * GRID.voxel_ml, rel=0.3
    )
    assert "one of every 2 slices of the image: each was taken for 6 mm thick" in notice


@pytest.mark.parametrize("far", [1e4, 1e9])
def test_a_coordinate_far_away_is_refused_before_its_voxels_are_made(far):
    drawn = squares([5.3, 6.3, 7.3])
    normal = np.cross(*GRID.affine[:3, :2].T)
    across = np.cross(normal, GRID.affine[:3, 0])
    drawn[1][2] += far * across / np.linalg.norm(across)
    with pytest.raises(
        InputError, match=r"expected (a field of view up to 400 mm|at most 134,217)"
    ):
        rasterise({"GTV": drawn}, GRID, "segmentation")


def test_only_the_chosen_structures_say_in_which_frame_they_lie(contours):
    core, gtv = contours.made.StructureSetROISequence
    core.ReferencedFrameOfReferenceUID = "1.2.3"
    found = read(contours.save(), GTV)
    assert found.frame_uid == FRAME_UID and not found.notices
    with pytest.raises(InputError, match="expected structures in one frame of reference, got 2"):
        read(contours.save(), BOTH)
    gtv.ReferencedFrameOfReferenceUID = "1.2.3"
    with pytest.raises(InputError, match=r"another frame of reference .*\(--seg-reference\)"):
        read(contours.save(), GTV)
    image = SimpleNamespace(grid=GRID, frame_uid=FRAME_UID)
    with pytest.raises(
        InputError, match=r"another frame of reference .*by a registration of yours"
    ):
        read_outlines(contours.save(), "recurrence", GTV, image)


@pytest.mark.parametrize("stated", [1.5, 1.0, 2.5])
def test_frames_farther_apart_than_their_segmentation_says_are_refused(tmp_path, study, stated):
    mask = np.zeros(GRID.shape, bool)
    mask[8:14, 8:15, 4:8] = True
    made = make_segmentation([ball("GTV", mask)], study)
    (measures,) = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    measures.SpacingBetweenSlices = stated
    made.save_as(tmp_path / "seg.dcm")
    with pytest.raises(InputError, match=f"expected frames {stated:g} mm apart, as its SpacingB"):
        read(tmp_path / "seg.dcm", GTV)


def test_frames_may_be_missing_where_a_segmentation_says_how_far_they_are_apart(tmp_path, study):
    mask = np.zeros(GRID.shape, bool)
    mask[8:14, 8:15, [4, 9, 10]] = True
    make_segmentation([ball("GTV", mask)], study).save_as(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read(tmp_path / "seg.dcm", GTV).values > 0, mask)


def test_contours_in_uneven_planes_are_refused():
    with pytest.raises(InputError, match=r"evenly spaced planes, got .* from 6 to 7\.5 mm"):
        rasterise({"GTV": squares([0, 2, 4.5, 6.5])}, GRID, "segmentation")


@pytest.mark.parametrize(
    ("slices", "least"),
    [
        ([0, 1, 2, 2.1, 3, 4], 0.3),
        ([5, 6, 7, 7.5, 8, 9, 10], 1.5),
        ([*range(5, 15), 9.5], 1.5),
        ([0.3, 2.3, 3.3, 7.3], 3),
    ],
)
def test_a_plane_out_of_place_makes_no_step(slices, least):
    # All distances are multiples of the smallest, which only one or two of them are.
    with pytest.raises(InputError, match=f"evenly spaced planes, got distances from {least:g} to "):
        rasterise({"GTV": squares(slices)}, GRID, "segmentation")


def without_points(item):
    item.ContourData = None


def ten_numbers(item):
    item.ContourData = [*item.ContourData[:9], 1.0]


def decimal_commas(item):
    item["ContourData"] = DataElement("ContourData", "LO", ["1,0"] * 9)
    item["ContourData"].VR = "DS"


def without_type(item):
    del item.ContourGeometricType


@pytest.mark.parametrize(
    ("change", "keyword"),
    [
        (without_points, "ContourData"),
        (ten_numbers, "ContourData"),
        (decimal_commas, "ContourData"),
        (without_type, "ContourGeometricType"),
    ],
)
def test_a_contour_that_is_malformed_is_refused_by_its_field(contours, change, keyword):
    change(contours.made.ROIContourSequence[1].ContourSequence[0])
    path = contours.save()
    with pytest.raises(InputError, match=f"expected the field {keyword} as DICOM def") as refused:
        read(path, GTV)
    assert str(refused.value).startswith(f"segmentation {path}: ")


def test_a_structure_without_a_name_does_not_hide_the_others(contours):
    del contours.made.StructureSetROISequence[0].ROIName
    np.testing.assert_array_equal(read(contours.save(), GTV).values > 0, BALL)


def test_a_structure_without_a_number_is_refused(contours):
    del contours.made.StructureSetROISequence[0].ROINumber
    with pytest.raises(InputError, match="expected the field ROINumber as DICOM defines it"):
        read(contours.save(), GTV)
