"""Conventions are named, never guessed; labels that do not fit them are refused."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.images.labels import label_convention, outlines_from_labels

ROOM = Grid((3, 4, 5), np.eye(4))


def test_conventions():
    assert label_convention("brats2021").core == {1, 4}
    assert label_convention("brats2023").whole == {1, 2, 3}
    explicit = label_convention(core_labels=[7], whole_labels=[7, 8])
    labels = np.zeros(ROOM.shape)
    labels[0], labels[1] = 7, 8
    masks = outlines_from_labels(labels, ROOM, explicit)
    assert (masks.core.sum(), masks.whole.sum()) == (20, 40)


def test_a_cavity_may_be_drawn_and_is_no_tumour():
    after = label_convention("BraTS2024-post")
    labels = np.zeros(ROOM.shape, np.uint8)
    labels[0], labels[1], labels[2, :2], labels[2, 2:] = 4, 2, 1, 3
    masks = outlines_from_labels(labels, ROOM, after)
    np.testing.assert_array_equal(masks.whole, (labels > 0) & (labels < 4))
    np.testing.assert_array_equal(masks.core, (labels == 1) | (labels == 3))
    assert after.row()["no_tumour"] == [4]
    with pytest.raises(InputError, match="it has no tumour, none of the labels"):
        outlines_from_labels(np.where(labels == 4, labels, 0), ROOM, after)
    with pytest.raises(
        InputError, match=r"do not fit brats2024-post \[1, 2, 3, 4\]: \[5\] unknown"
    ):
        outlines_from_labels(labels + (labels == 4), ROOM, after)


def test_messages_name_the_option_that_was_used():
    with pytest.raises(InputError, match=r"^follow-up: unknown convention"):
        label_convention("brats", option="follow-up")
    with pytest.raises(InputError, match=r"the convention that fits \(--later brats2021, "):
        outlines_from_labels(
            np.full(ROOM.shape, 4), ROOM, label_convention("brats2023"), option="--later"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "never guessed"),
        ({"name": "brats"}, "brats2021, brats2023"),
        ({"core_labels": [1]}, "labels of both outlines"),
        ({"core_labels": [1, 3], "whole_labels": [1, 2]}, "[3]"),
        ({"core_labels": [], "whole_labels": []}, "at least one"),
        ({"core_labels": [0], "whole_labels": [0, 1]}, "positive"),
        ({"name": "brats2021", "core_labels": [1], "whole_labels": [1]}, "not both"),
    ],
)
def test_refused_conventions(arguments, message):
    name = arguments.pop("name", None)
    with pytest.raises(InputError) as caught:
        label_convention(name, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0], "empty"),
        ([1, 4], "[4] unknown"),
        ([1, 1.5], "integer"),
        ([1, np.nan], "integer"),
        ([1, np.inf], "integer"),
        ([1, 1.02], "integer"),
        ([1, 1e12], "integer"),
        ([-1, 1], "[-1, 1] do not fit"),
    ],
)
def test_refused_labels(labels, message):
    values = np.resize(np.array(labels, float), ROOM.shape)
    with pytest.raises(InputError) as caught:
        outlines_from_labels(values, ROOM, label_convention("brats2023"))
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, ">i2", bool])
def test_labels_of_any_type_are_integers(dtype):
    labels = np.resize([0, 1], ROOM.shape).astype(dtype)
    masks = outlines_from_labels(labels, ROOM, label_convention("brats2023"))
    np.testing.assert_array_equal(masks.core, np.resize([False, True], ROOM.shape))


def test_scaled_labels_are_rounded():
    """As nibabel, SPM and others store 0, 1, 2, 4 with a scl_slope."""
    labels = np.resize([-1e-6, 1.00392163, 1.99215698, 4.00000024], ROOM.shape)
    masks = outlines_from_labels(labels, ROOM, label_convention("brats2021"))
    np.testing.assert_array_equal(masks.core, np.resize([False, True, False, True], ROOM.shape))
    np.testing.assert_array_equal(masks.whole, np.resize([False, True, True, True], ROOM.shape))


@pytest.mark.parametrize("values", [np.arange(6000), np.linspace(0, 1, 6000)])
def test_an_image_in_place_of_a_segmentation_gets_a_short_line(values):
    grid = Grid((10, 20, 30), np.eye(4))
    with pytest.raises(InputError, match="6000 different values from 0 to") as caught:
        outlines_from_labels(values.reshape(grid.shape), grid, label_convention("brats2021"))
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)
