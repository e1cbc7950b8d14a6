"""A patient on voxels of 4 mm: read in an eighth of the time, and refused for the same reasons."""

import numpy as np
import pytest
from heads import COARSE_GRID

from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.solver import TumorMasks


def blocks(values):
    """Mean over each 2 x 2 x 2 voxels."""
    return values.reshape(64, 2, 64, 2, 64, 2).mean(axis=(1, 3, 5))


@pytest.fixture(scope="session")
def brain_4mm(brain_2mm):
    return Scan(blocks(brain_2mm.values), COARSE_GRID)


@pytest.fixture(scope="session")
def lesion_4mm(lesion):
    return TumorMasks(blocks(lesion.core) >= 0.5, blocks(lesion.whole) >= 0.5, COARSE_GRID)


@pytest.fixture(scope="session")
def labels_4mm(lesion_4mm):
    """Of the lesion: 2 whole, 4 core."""
    return np.where(lesion_4mm.core, 4, 2 * lesion_4mm.whole).astype(np.uint8)


@pytest.fixture
def files(tmp_path, brain_4mm, labels_4mm):
    """A patient's files, as `load_patient` takes them."""
    write_nifti(tmp_path / "t1.nii", brain_4mm.values, COARSE_GRID)
    write_nifti(tmp_path / "seg.nii", labels_4mm, COARSE_GRID)
    return {"t1": tmp_path / "t1.nii", "seg": tmp_path / "seg.nii", "labels": "brats2021"}
