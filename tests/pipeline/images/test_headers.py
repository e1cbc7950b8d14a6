"""Headers that contradict themselves: each rule of the table holds, and the table is complete."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from raw_nifti import write_raw

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.images.frames import (
    PAIR_RULES,
    require_one_frame,
    require_one_world,
    settle,
)
from glioquery.pipeline.images.headers import RULES, SIDE_MM, Frames
from glioquery.pipeline.images.labels import label_convention, outlines_from_labels
from glioquery.pipeline.images.nifti import ImageFile, read_nifti

VALUES = np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10)
AFFINE = np.array([[-2, 0, 0, 7], [0, -2, 0, 30], [0, 0, 3, -9], [0, 0, 0, 1.0]])
GRID = Grid(VALUES.shape, AFFINE)
MOVED = AFFINE + 17 * np.eye(4, 4, 3)
MIRRORED = AFFINE * [[-1], [1], [1], [1]]
UNTURNED = np.diag([2, 2, 3, 1.0])


def sform(affine):
    return {f"srow_{axis}": affine[i] for i, axis in enumerate("xyz")}


def pixdim(*sizes, qfac=-1):
    return np.array([qfac, *sizes, 0, 0, 0, 0], np.float32)


def quaternion(b, c, d):
    return {"quatern_b": b, "quatern_c": c, "quatern_d": d}


HALF_TURN = {"sform_code": 0, "pixdim": pixdim(2, 2, 3, qfac=1)}
"""About z: the quaternion is (0, 0, 1) and leaves nothing for its real part."""

EXAMPLES = {
    ("sform, qform", "less than"): {**sform(AFFINE + 0.1 * np.eye(4, 4, 3))},
    ("sform, qform", "farther"): sform(MOVED),
    ("sform, qform", "one mirrors"): sform(MIRRORED),
    ("sform, pixdim", "voxel sizes within"): {"qform_code": 0, "pixdim": pixdim(2.005, 2, 0)},
    ("sform, pixdim", "voxel sizes differ"): {"qform_code": 0, "pixdim": pixdim(1.9, 2, 3)},
    ("sform, its code", "declared"): sform(np.zeros((4, 4))),
    ("qform, quaternion", "longer than 1 by"): {**HALF_TURN, **quaternion(0, 0, 1.0000003)},
    ("qform, quaternion", "longer than that, with"): quaternion(1, 1, 1),
    ("qform, quaternion", "longer than that, and"): {**HALF_TURN, **quaternion(0, 0, 1.01)},
    ("sform_code, qform_code", "both 0"): {"sform_code": 0, "qform_code": 0},
    ("sform_code, qform_code", "above 5"): {"sform_code": 6, "qform_code": 9},
    ("frame, origin", "no rotation"): {"qform_code": 0, **sform(UNTURNED)},
    ("xyzt_units, sizes", "metres"): {
        "xyzt_units": 3,
        "qform_code": 0,
        "pixdim": pixdim(2000, 2000, 3000),
        **sform(np.diag([1000, 1000, 1000, 1]) @ AFFINE),
    },
    ("xyzt_units, sizes", "none"): {"xyzt_units": 5},
    ("sizes, a head", "a side over"): {
        "qform_code": 0, "pixdim": pixdim(20, 2, 42), **sform(AFFINE @ np.diag([10, 1, 14, 1])),
    },
    ("sizes, a head", "a voxel's side"): {
        "qform_code": 0, "pixdim": pixdim(0.02, 2, 3), **sform(AFFINE @ np.diag([0.01, 1, 1, 1])),
    },
    ("dim, memory", "more than"): {"dim": [3, 20000, 20000, 20000, 1, 1, 1, 1]},
    ("dim, data", "fewer"): {"dim": [3, 8, 9, 11, 1, 1, 1, 1]},
    ("dim, data", "more data, by"): {"padding": bytes(512)},
    ("dim, data", "more data than"): {"padding": bytes(9000)},
    ("dim, volumes", "further"): {"dim": [5, 8, 9, 10, 1, 1, 1, 1]},
    ("dim, volumes", "several"): {"dim": [4, 8, 9, 5, 2, 1, 1, 1]},
    ("vox_offset, data", "0"): {"vox_offset": 0},
    ("vox_offset, data", "inside"): {"vox_offset": 348},
    ("vox_offset, data", "NaN"): {"vox_offset": np.inf},
    ("datatype, bitpix", "they differ"): {"bitpix": 64},
    ("scl_slope, scl_inter", "a slope of"): {"scl_slope": np.nan, "scl_inter": 3},
    ("scl_slope, scl_inter", "a slope, and"): {"scl_slope": 1, "scl_inter": np.inf},
    ("scl_slope, labels", "scaled"): {"scl_slope": 1.00001, "scl_inter": 1e-6},
    ("scl_slope, labels", "farther"): {"scl_slope": 1.02, "scl_inter": 0},
    ("cal_min and cal_max, data", "any"): {"cal_min": 5, "cal_max": 6},
    ("intent, descrip, slice timing", "any"): {
        "intent_code": 7777, "descrip": b"nothing", "slice_start": 40, "slice_end": -3,
    },
}  # fmt: skip
"""Fields of a header for each rule, by its facts and the beginning of its `when`."""


def rule_of(facts, when):
    (rule,) = (r for r in RULES if r.facts == facts and r.when.startswith(when))
    return rule


def test_every_rule_has_its_example():
    assert {rule_of(*key) for key in EXAMPLES} == set(RULES)
    assert len(EXAMPLES) == len(RULES)


def is_refused(key):
    return rule_of(*key).verdict == "refused"


def values_of(key):
    """The values of a rule's file."""
    return VALUES % 3 if "labels" in key[0] else VALUES


def write_example(folder, key, ending):
    return write_raw(folder / f"a{ending}", values_of(key), AFFINE, **EXAMPLES[key])


LABELS = label_convention(core_labels=[2], whole_labels=[1, 2])

PLACES = {
    ("sform, qform", "less than"): AFFINE + 0.1 * np.eye(4, 4, 3),
    ("sform, qform", "farther"): MOVED,
    # The middle of the array lies in the origin, and x runs to the left.
    ("sform_code, qform_code", "both 0"): [[-2, 0, 0, 7], [0, 2, 0, -8], [0, 0, 3, -13.5]],
    ("frame, origin", "no rotation"): UNTURNED,
}
"""Where an accepted file lies, if not at `AFFINE`."""


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("key", [key for key in EXAMPLES if is_refused(key)], ids=" ".join)
def test_a_refused_file_is_told_in_one_line(tmp_path, key, ending, recwarn, capfd):
    path = write_example(tmp_path, key, ending)
    if "labels" in key[0]:
        file = read_nifti(path, "T1")
        with pytest.raises(InputError) as caught:
            outlines_from_labels(file.values, file.grid, LABELS)
    else:
        with pytest.raises(InputError) as caught:
            read_nifti(path, "T1")
        assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "") and not recwarn.list


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("key", [key for key in EXAMPLES if not is_refused(key)], ids=" ".join)
def test_an_accepted_file_is_where_its_rule_says(tmp_path, key, ending, recwarn, capfd):
    """To the rounding of a header's numbers, which have 32 bits."""
    file = read_nifti(write_example(tmp_path, key, ending), "T1")
    assert bool(file.notices) == (rule_of(*key).verdict == "notice"), file.notices
    assert all(notice.startswith("The T1 ") for notice in file.notices)
    place = PLACES.get(key, AFFINE)
    np.testing.assert_allclose(file.grid.affine[:3], place[:3], atol=1e-5)
    if "labels" in key[0]:  # whose scaling is 1.00001 x + 0.000001
        masks = outlines_from_labels(file.values, file.grid, LABELS)
        np.testing.assert_array_equal(masks.core, values_of(key) == 2)
        np.testing.assert_array_equal(masks.whole, values_of(key) > 0)
    else:
        np.testing.assert_array_equal(file.values, values_of(key))
    assert capfd.readouterr() == ("", "") and not recwarn.list


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        read_nifti(path, "T1", **options)
    return str(caught.value)


def test_a_refusal_names_both_facts(tmp_path):
    path = tmp_path / "a.nii"
    write_raw(path, VALUES, AFFINE, qform_code=0, pixdim=pixdim(2, 2, 2.82))
    assert "2 x 2 x 3 mm by the sform, 2 x 2 x 2.82 mm by pixdim" in refusal(path)
    write_raw(path, VALUES, AFFINE, **sform(MIRRORED))
    assert "RPS by the sform and LPS by the qform" in refusal(path)
    write_raw(path, VALUES, AFFINE, padding=bytes(5000))
    assert "1,792 bytes, but the file holds 6,792" in refusal(path)


def test_voxel_sizes_of_an_sform_of_ones_are_no_voxel_sizes(tmp_path):
    """0.94 mm by pixdim, 1 mm by the sform: a tumour would be 14 % too large."""
    affine = AFFINE / [2, 2, 3, 1]
    write_raw(tmp_path / "a.nii", VALUES, affine, qform_code=0, pixdim=pixdim(0.94, 0.94, 1))
    assert "contradicts itself about the voxel size" in refusal(tmp_path / "a.nii")


@pytest.mark.parametrize(("code", "factor"), [(1, 0.001), (2, 1), (3, 1000), (0, 1)])
@pytest.mark.parametrize("frame", ["sform", "qform", "pixdim"])
def test_units_hold_for_every_frame(tmp_path, code, factor, frame):
    affine = np.diag([factor, factor, factor, 1]) @ AFFINE
    codes = {"sform_code": int(frame == "sform"), "qform_code": int(frame == "qform")}
    path = write_raw(tmp_path / "a.nii", VALUES, affine, xyzt_units=code, **codes)
    grid = read_nifti(path, "T1").grid
    np.testing.assert_allclose(grid.spacing_mm, [2, 2, 3], rtol=1e-6)
    if frame != "pixdim":
        np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-4)


def test_a_half_turn_is_read_as_one(tmp_path):
    """Rounding leaves a little less than nothing for the quaternion's real part."""
    fields = EXAMPLES["qform, quaternion", "longer than 1 by"]
    grid = read_nifti(write_raw(tmp_path / "a.nii", VALUES, AFFINE, **fields), "T1").grid
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1, 2])
def test_an_image_of_a_head_is_as_large_as_one_and_outlines_may_be_cropped(tmp_path, side):
    affine = np.eye(4)
    affine[side, side] = 6
    shape = [60, 60, 60]
    shape[side] = 8
    path = write_raw(tmp_path / "a.nii", np.zeros(shape, np.uint8), affine + np.eye(4, 4, 3))
    assert read_nifti(path, "segmentation").grid.shape == tuple(shape)
    assert f"from {SIDE_MM[0]:g} to {SIDE_MM[1]:g} mm a side" in refusal(path, of_head=True)


def test_too_large_an_image_is_refused_before_its_data_are_read(tmp_path):
    """2.1 GB of zeros that were never written: the header alone is read."""
    path = write_raw(tmp_path / "a.nii", VALUES, AFFINE, dim=[3, 1024, 1024, 1024, 1, 1, 1, 1])
    with path.open("r+b") as file:
        file.truncate(352 + 2 * 1024**3)
    tracemalloc.start()
    assert "at most 134,217,728 voxels" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def file_of(affine, *, other=None, shape=(50, 60, 70), is_lost=False, sha256="a"):
    grid = Grid(shape, affine)
    frames = Frames(grid, None if other is None else Grid(shape, other), is_lost)
    return ImageFile(np.zeros(0), grid, frames, (), sha256)


CROPPED = {"shape": (40, 60, 70)}
SHIFTED = MOVED @ np.diag([2, 1, 1, 1])
PAIRS = {
    "equal to 0.05": (file_of(AFFINE), file_of(AFFINE + 0.05 * np.eye(4, 4, 3))),
    "one shape; one file": (file_of(MOVED, other=AFFINE), file_of(AFFINE)),
    "sform and qform differ by one": (
        file_of(MOVED, other=AFFINE),
        file_of(SHIFTED, other=SHIFTED - 17 * np.eye(4, 4, 3), **CROPPED),
    ),
    "sform and qform of one": (file_of(MOVED, other=AFFINE), file_of(AFFINE, **CROPPED)),
    "one shape, one of": (file_of(AFFINE), file_of(UNTURNED, is_lost=True)),
    "each file has one": (file_of(AFFINE), file_of(MOVED, **CROPPED)),
}
"""An image and a file that must lie in its world."""

FURTHER = {
    "the image's qform, of a file with two": (file_of(AFFINE), file_of(MOVED, other=AFFINE)),
    "both qforms": (file_of(AFFINE, other=MOVED), file_of(SHIFTED, other=MOVED)),
}


def settle_pair(image, file, role="seg"):
    return settle({"t1": image, role: file}, "t1", {"t1": "T1 a", role: f"{role} b"})


def test_every_rule_for_two_files_has_its_example():
    said = [rule.when for rule in PAIR_RULES if "names of spaces" not in rule.when]
    assert len(said) == len(PAIRS)
    assert all(any(when.startswith(key) for when in said) for key in PAIRS)


@pytest.mark.parametrize("role", ["seg", "brain_mask", "recurrence"])
@pytest.mark.parametrize("when", PAIRS | FURTHER)
def test_a_rule_for_two_files_holds(when, role):
    image, file = (PAIRS | FURTHER)[when]
    (rule,) = (r for r in PAIR_RULES if r.when.startswith(when)) if when in PAIRS else (None,)
    if rule is not None and rule.verdict == "refused":
        with pytest.raises(InputError, match=f"^{role} b: ") as caught:
            settle_pair(image, file, role)
        assert "\n" not in str(caught.value) and "T1 a" in str(caught.value)
        advice = "--seg-grid t1" if role == "seg" else "copy the image's header to it"
        assert advice in str(caught.value)
        return
    files, notices = settle_pair(image, file, role)
    one_grid = rule is None or rule.what.startswith("one grid")
    assert (files[role].grid == image.grid) == one_grid
    assert bool(notices) == (one_grid and not when.startswith("equal"))


def test_frames_17_mm_apart_are_never_mixed():
    """A segmentation on other voxels of the image's qform, where the sform was taken."""
    for image, file in (
        (file_of(MOVED, other=AFFINE), file_of(AFFINE, **CROPPED)),
        (file_of(AFFINE), file_of(MOVED, other=AFFINE, **CROPPED)),
        (file_of(MOVED, other=AFFINE), file_of(AFFINE, other=MOVED, **CROPPED)),
    ):
        with pytest.raises(InputError, match=r"two frames 17 mm apart .*write the right one"):
            settle_pair(image, file)


def test_further_images_are_aligned_whatever_their_headers_say():
    for role in ("flair", "t1c"):
        files, notices = settle_pair(*PAIRS["sform and qform of one"], role)
        assert not notices and files[role].grid.shape == CROPPED["shape"]


def test_a_reference_settles_where_its_segmentation_lies():
    t1 = file_of(AFFINE)
    reference = file_of(MOVED, other=SHIFTED, sha256="b")
    seg = file_of(SHIFTED)
    names = {"t1": "T1 a", "seg": "segmentation b", "seg_reference": "segmentation's reference c"}
    files = {"t1": t1, "seg": seg, "seg_reference": reference}
    files, (notice,) = settle(files, "t1", names)
    assert files["seg"].grid == reference.grid and "reference c" in notice


def test_a_reference_without_its_header_cannot_be_aligned():
    lost = file_of(UNTURNED, is_lost=True, sha256="b")
    names = {"t1": "T1 a", "seg": "segmentation b", "seg_reference": "segmentation's reference c"}
    files = {"t1": file_of(AFFINE), "seg": file_of(UNTURNED, is_lost=True), "seg_reference": lost}
    with pytest.raises(InputError, match=r"reference c: its header is lost .*--seg-grid t1"):
        settle(files, "t1", names)


def test_one_file_alone_must_have_one_frame():
    require_one_frame(Frames(GRID), "tissue map")
    with pytest.raises(InputError, match=r"two frames 17 mm apart"):
        require_one_frame(Frames(GRID, Grid(GRID.shape, MOVED)), "segmentation")
    with pytest.raises(InputError, match="tissue map gm"):
        require_one_world(
            Frames(GRID), "tissue map gm", Frames(Grid((9, 9, 9), MOVED), Grid((9, 9, 9), AFFINE)),
            "image",
        )  # fmt: skip


def test_the_rules_stand_in_the_documentation():
    page = Path(__file__).parents[3] / "docs" / "inputs.md"
    rows = ["| " + " | ".join(dataclasses.astuple(rule)) + " |" for rule in (*RULES, *PAIR_RULES)]
    said = page.read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in said] == []


def test_a_qform_without_a_place_leaves_the_sform(tmp_path):
    path = write_raw(tmp_path / "a.nii", VALUES, AFFINE, qoffset_x=np.nan, **sform(AFFINE))
    found = read_nifti(path, "T1")
    np.testing.assert_allclose(found.grid.affine, AFFINE)
    assert "declares a qform that is no rotation; glioquery uses the sform" in found.notices[0]
