"""A core that surrounds the rest of the tumour is told, one that lies within it is not."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from glioquery.atlas import Grid
from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.patient.nesting import doubts_of_nesting, share_surrounded
from glioquery.solver import TumorMasks

GRID = Grid((40, 40, 40), np.eye(4))


@pytest.fixture
def tumour():
    """Distance to a centre: necrosis below 5, enhancing tumour below 9, oedema below 14 voxels."""
    centre = np.ones(GRID.shape, bool)
    centre[20, 21, 19] = False
    distance = distance_transform_edt(centre)
    return np.select([distance < 5, distance < 9, distance < 14], [1, 4, 2], 0)


def masks_of(labels, core):
    return TumorMasks(np.isin(labels, core), labels > 0, GRID)


def test_the_share_is_that_of_a_shell_with_a_gap(tumour):
    masks = masks_of(tumour, (2, 4))  # oedema and enhancing tumour for necrosis and enhancing
    assert share_surrounded(masks) == 1
    tumour[20:, 21, 19] = 0  # a canal to the outside, in one direction of the centre
    assert share_surrounded(masks_of(tumour, (2, 4))) == 1
    tumour[20:] = 0  # half of it
    assert share_surrounded(masks_of(tumour, (2, 4))) == pytest.approx(1, abs=0.01)
    tumour[:, 21:] = 0  # a quarter is no shell
    assert share_surrounded(masks_of(tumour, (2, 4))) < 0.2


def test_what_lies_as_it_should_is_not_told(tumour):
    assert doubts_of_nesting(masks_of(tumour, (1, 4)), "segmentation") == []
    assert share_surrounded(masks_of(tumour, (1, 2, 4))) == 0  # nothing beyond the core
    assert share_surrounded(masks_of(tumour, ())) == 0


@pytest.mark.parametrize("core", [(2,), (1, 2), (2, 4)])
def test_labels_that_are_confused_are_told_with_the_share(tumour, core):
    (doubt,) = doubts_of_nesting(masks_of(tumour, core), "segmentation S")
    assert "In the segmentation S, core surrounds 100% of the tumour beyond it" in doubt


def test_real_cases_are_told_where_two_labels_are_exchanged(cases):
    """Oedema and necrosis, as nnU-Net numbers them, but where there is hardly any oedema."""
    told = {}
    for path in sorted(cases.glob("BraTS2021_*/*_seg.nii.gz")):
        values = read_nifti(path, "segmentation").values.astype(np.uint8)
        values = values[np.ix_(*[np.unique(at) for at in np.nonzero(values)])]
        for name, labels in (("right", (1, 4)), ("exchanged", (2, 4))):
            masks = TumorMasks(np.isin(values, labels), values > 0, Grid(values.shape, np.eye(4)))
            told[path.name, name] = bool(doubts_of_nesting(masks, "segmentation"))
    assert len(told) == 8
    assert told == {key: key[1] == "exchanged" for key in told}
