"""Shape of an outline in nine numbers, from the label shape statistics of SimpleITK.

    volume, mm^3; surface, mm^2 (Crofton's formula);
    sphericity = (36 pi volume^2)^(1/3) / surface;
    axis lengths, mm: 4 sqrt(l_i), l_0 <= l_1 <= l_2 the principal moments of the voxel centres;
    elongation = sqrt(l_2 / l_1) and flatness = sqrt(l_1 / l_0), both >= 1;
    largest diameter, mm: the largest distance of two voxel centres.

References
----------
J. J. M. van Griethuysen et al., "Computational radiomics system to decode the radiographic
phenotype", Cancer Research 77:e104-e107, 2017: the features that the paper takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from ...atlas.regions import bounding_box
from ...errors import ExtraError

try:
    import SimpleITK as sitk  # noqa: N813 - as everyone does
except ImportError:
    raise ExtraError(
        "the strategy radiomics needs SimpleITK: `pip install 'glioquery[radiomics]'`"
    ) from None

__all__ = ["FEATURES", "centre_of_mass", "shape_features", "sitk"]

NO_MOMENT = 1e-9
"""Share of the largest principal moment below which another one is rounding: voxels in a plane or
on a line have none."""

FEATURES = (
    "volume_mm3",
    "surface_mm2",
    "sphericity",
    "major_axis_mm",
    "middle_axis_mm",
    "least_axis_mm",
    "elongation",
    "flatness",
    "largest_diameter_mm",
)


def shape_features(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """The features of one outline.

    Parameters
    ----------
    mask : (x, y, z) bool array
    spacing_mm : tuple of float

    Returns
    -------
    (9,) float64 array
        In the order of `FEATURES`; zeros for an empty mask, and 0 for a ratio whose denominator is.
    """
    if not mask.any():
        return np.zeros(len(FEATURES))
    part = mask[bounding_box(mask)]
    image: Any = sitk.GetImageFromArray(np.pad(part, 1).astype(np.uint8).transpose(2, 1, 0))
    image.SetSpacing([float(mm) for mm in spacing_mm])
    statistics: Any = sitk.LabelShapeStatisticsImageFilter()
    # Its largest diameter compares all pairs of surface voxels and takes 30 ms and more.
    statistics.ComputeFeretDiameterOff()
    statistics.ComputePerimeterOn()
    statistics.Execute(image)
    # A plane of voxels may have a least moment of 1e-14 or -1e-14.
    moments = np.array(statistics.GetPrincipalMoments(1))
    moments[moments < NO_MOMENT * moments[2]] = 0
    least, middle, major = np.sqrt(moments)
    features = [
        statistics.GetPhysicalSize(1),
        statistics.GetPerimeter(1),
        statistics.GetRoundness(1),
        4 * major,
        4 * middle,
        4 * least,
        major / middle if middle else 0.0,
        middle / least if least else 0.0,
        largest_diameter(part, spacing_mm),
    ]
    return np.nan_to_num(np.array(features), nan=0.0, posinf=0.0, neginf=0.0)


def centre_of_mass(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Mean of the voxel centres, mm from the corner voxel; NaN for an empty mask."""
    if not mask.any():
        return np.full(3, np.nan)
    return np.argwhere(mask).mean(axis=0) * spacing_mm


def largest_diameter(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> np.float64:
    """Largest distance of two voxel centres of a mask that is not empty, mm.

    Both ends are corners of the convex hull, and a corner is the first or the last voxel of its
    line along every axis: few voxels are, and only these are compared.
    """
    ends = mask.copy()
    for axis in range(3):
        rank = np.cumsum(mask, axis=axis, dtype=np.int16)
        ends &= (rank == 1) | (rank == np.take(rank, [-1], axis=axis))
    distances = pdist(np.argwhere(ends) * np.asarray(spacing_mm))
    return np.float64(distances.max(initial=0.0))
