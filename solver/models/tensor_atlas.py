"""A tensor field for the atlas's brain, made from other tools' files and named by a variable."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from ...atlas import Grid
from ...errors import InputError
from ...paths import StrPath
from ..tissue import Tissue
from .tensor_field import COMPONENTS, SYMMATRIX_ORDER, TENSOR_VARIABLE, TensorField, rotate

TOOLS = {
    "fsl": ("fsl", "xx,xy,xz,yy,yz,zz"),
    "mrtrix": ("world", "xx,yy,zz,xy,xz,yz"),
    "dipy": ("voxel", SYMMATRIX_ORDER),
}
"""Frame and order of the tensors that a tool writes: FSL's `dtifit --save_tensor`, MRtrix's
`dwi2tensor`, and DIPY's lower triangles (NIfTI's intent SYMMATRIX, as nibabel saves them) fitted to
gradients along the array's axes."""


def convert_tensor(
    path: StrPath, tissue: Tissue, *, tool: str, affine: ArrayLike | None = None
) -> TensorField:
    """A tool's tensors as a field that a growth in a tissue can use.

    Directions and shapes are those of the file, magnitudes those of the isotropic model
    (`TensorField.with_mean_of`), since the file's are water's, in mm^2/s or s/mm^2.

    Parameters
    ----------
    path : str or os.PathLike
        Tensors in NIfTI.
    tissue : Tissue
        Where the growth is to be; the file has to cover it, once it is moved.
    tool : {'fsl', 'mrtrix', 'dipy'}
        Tool that wrote the file; it decides frame and order (`TOOLS`).
    affine : (4, 4) array, optional
        From the file's RAS world to the tissue's, mm; see `moved`.

    Returns
    -------
    TensorField

    Raises
    ------
    InputError
        If the tool is unknown, the affine is not an invertible 4 x 4 matrix, or the file is not as
        `TensorField.from_nifti` needs it or does not cover the tissue.
    """
    if tool not in TOOLS:
        raise InputError(f"tensors are those of {', '.join(TOOLS)}, got {tool!r}")
    frame, order = TOOLS[tool]
    field = TensorField.from_nifti(path, frame=frame, order=order)
    if affine is not None:
        field = moved(field, affine)
    return field.with_mean_of(tissue)


def moved(field: TensorField, affine: ArrayLike) -> TensorField:
    """A field carried to another world by an affine, and its tensors turned with it.

    The tensors turn by the rotation nearest to the affine, R = (A A^T)^(-1/2) A (finite strain):
    their eigenvalues belong to the tissue and are neither stretched nor sheared. No value is
    interpolated.

    Raises
    ------
    InputError
        If the affine is not an invertible 4 x 4 matrix.

    References
    ----------
    D. C. Alexander, C. Pierpaoli, P. J. Basser, J. C. Gee, "Spatial transformations of diffusion
    tensor magnetic resonance images", IEEE Trans. Med. Imaging 20:1131-1139, 2001.
    """
    whole = np.asarray(affine, np.float64)
    if whole.shape != (4, 4):
        raise InputError(f"an affine is a 4 x 4 matrix, got shape {whole.shape}")
    grid = Grid(field.grid.shape, whole @ field.grid.affine)
    left, _, right = np.linalg.svd(whole[:3, :3])
    return TensorField(rotate(field.values, left @ right).astype(np.float32), grid)


def named_tensor(name: str) -> TensorField:
    """The field of a file that `TensorField.to_nifti` wrote, or of `GLIOQUERY_TENSOR` for 'atlas'.

    Raises
    ------
    InputError
        If the name is 'atlas' and `GLIOQUERY_TENSOR` names no file, or `to_nifti` did not write the
        file.
    """
    path = name
    if name == "atlas":
        path = os.environ.get(TENSOR_VARIABLE, "")
        if not path:
            raise InputError(
                f"tensor = 'atlas' stands for the file that {TENSOR_VARIABLE} names, and it names "
                "none: set it, or give the file itself"
            )
    return TensorField.from_nifti(path, frame="world", order=",".join(COMPONENTS), own=True)
