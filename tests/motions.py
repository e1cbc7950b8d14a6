"""Linear maps about a point of the world."""

import numpy as np


def about(centre_mm, linear, shift_mm=(0, 0, 0)):
    """The affine of a linear map that leaves a point where it is, and of a shift after it."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = np.add(centre_mm, shift_mm) - linear @ np.asarray(centre_mm)
    return affine
