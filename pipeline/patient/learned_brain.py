"""Find the brain in a head with its skull by a network, if the extra `brain` is installed.

deepbet contains its two small U-Nets and downloads nothing. It needs PyTorch, which
nothing else here does, and so stays an extra; without it `brain` finds the brain by the atlas.

References
----------
L. Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural
Networks", Computers in Biology and Medicine 179:108845, 2024.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..images.foreground import BRAIN_ML
from ..images.nifti import Scan


def extract_learned(head: Scan) -> NDArray[np.bool_] | None:
    """Find the brain in a T1-weighted image of a whole head (6 s on two cores).

    Parameters
    ----------
    head : Scan
        On any grid; with or without contrast.

    Returns
    -------
    bool array of the head's shape, or None
        None if the network finds no region of a brain's volume.
    """
    from deepbet.bet import BrainExtraction

    image = nib.Nifti1Image(np.asarray(head.values, np.float32), head.grid.affine)
    try:
        _, found, _ = BrainExtraction(no_gpu=True).run(image)
    except AssertionError:  # its way to say that there is no foreground
        return None
    mask = np.asarray(found.dataobj) > 0
    within = BRAIN_ML[0] <= mask.sum() * head.grid.voxel_ml <= BRAIN_ML[1]
    return mask if within and mask.shape == head.grid.shape else None
