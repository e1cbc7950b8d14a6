"""Speed of a tumour's front in white matter, grey matter and cerebrospinal fluid.

A front of du/dt = div(D grad u) + rho u (1 - u) travels at 2 sqrt(D rho). With the growth model's
D = Dw (p_w + p_g / ratio) it is, in units of its speed in white matter,

    speed = sqrt(p_w + p_g / ratio)

where p_w + p_g = 1. The ratio is 5 here, the least value known for patients: tissue maps err by a
voxel, so grey and white matter are confused along their border.

Fluid slows a front and does not stop it. Tissue maps draw sulci wider than they are, and miss
structures thinner than their voxels. If fluid stopped a front, brain behind it that holds cells
would stay empty (docs/trial.md has the figures). An outlined tumour holds no fluid at all, whatever
the maps say: a bent atlas has ventricles and sulci where a tumour has closed them.

References
----------
A. Kolmogorov, I. Petrovsky, N. Piskunov, Moscow University Bulletin of Mathematics 1:1-25, 1937:
the speed of the front. K. R. Swanson, E. C. Alvord, J. D. Murray, "A quantitative model for
differential motility of gliomas in grey and white matter", Cell Proliferation 33:317-329, 2000:
diffusion is faster in white matter, at least fivefold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

GREY_SPEED = 1 / math.sqrt(5)
"""Speed in grey matter over that in white: diffusion there is a fifth (Swanson et al. 2000)."""

CSF_SPEED = 0.2
"""Speed in cerebrospinal fluid over that in white matter; it holds at falx and tentorium, too."""


def tissue_speed(
    wm: NDArray[np.floating],
    gm: NDArray[np.floating],
    csf: NDArray[np.floating],
    brain: NDArray[np.bool_],
    tumour: NDArray[np.bool_] | None = None,
    *,
    in_grey: float = GREY_SPEED,
    in_csf: float = CSF_SPEED,
) -> NDArray[np.float32]:
    """Speed of a front in units of its speed in white matter.

    Parameters
    ----------
    wm, gm, csf : (nx, ny, nz) array
        Probabilities in [0, 1] of white matter, grey matter and cerebrospinal fluid.
    brain : (nx, ny, nz) bool array
        Voxels that a front can enter.
    tumour : (nx, ny, nz) bool array, optional
        The outlined tumour; where the maps show fluid in it, a front is as fast as in grey matter.
    in_grey, in_csf : float
        Speeds in [0, 1]. A voxel is fluid if fluid is as likely as both tissues together, or if
        nothing is likely.

    Returns
    -------
    (nx, ny, nz) float32 array
        In [0, 1]; 0 outside the brain.

    Raises
    ------
    InputError
        If the arrays differ in shape or a speed lies outside [0, 1].
    """
    shapes = {"wm": wm.shape, "gm": gm.shape, "csf": csf.shape, "brain": brain.shape}
    if tumour is not None:
        shapes["tumour"] = tumour.shape
    if len(set(shapes.values())) > 1:
        raise InputError(f"tissue maps and masks lie on one grid, got shapes {shapes}")
    for name, value in (("grey matter", in_grey), ("fluid", in_csf)):
        if not 0 <= value <= 1:
            raise InputError(
                f"a speed is a share, from 0 to 1, of that in white matter; in {name} it is {value}"
            )
    solid = np.asarray(wm, np.float32) + np.asarray(gm, np.float32)
    is_tissue = solid > csf
    white = np.where(is_tissue, wm / np.where(is_tissue, solid, 1), 0)
    mixed = np.sqrt(in_grey**2 + (1 - in_grey**2) * np.clip(white, 0, 1))
    otherwise = in_csf if tumour is None else np.where(tumour, in_grey, in_csf)
    return np.where(brain, np.where(is_tissue, mixed, otherwise), 0).astype(np.float32)
