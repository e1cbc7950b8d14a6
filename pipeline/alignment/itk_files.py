"""Affines and displacement fields in ITK's file formats, which ANTs reads and writes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.io
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import LPS_FROM_RAS, flip_lps
from ...dbgen.machine.files import completed
from ...errors import InputError
from ..images.nifti import save_nifti


def write_itk_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Write a (4, 4) RAS matrix as an ITK affine in Matlab format."""
    lps = LPS_FROM_RAS @ affine @ LPS_FROM_RAS
    parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
    content = {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}
    with completed(path) as temporary, temporary.open("wb") as file:
        scipy.io.savemat(file, content, format="4")


def read_itk_affine(path: Path) -> NDArray[np.float64]:
    """Read an ITK affine in Matlab format as a (4, 4) RAS matrix."""
    content = scipy.io.loadmat(path)
    parameters = next((v for k, v in content.items() if k.startswith("AffineTransform_")), None)
    if parameters is None or "fixed" not in content:
        raise InputError("expected an ITK AffineTransform, got another transform")
    centre = content["fixed"].ravel().astype(np.float64)
    matrix = parameters.ravel()[:9].reshape(3, 3).astype(np.float64)
    lps = np.eye(4)
    lps[:3, :3] = matrix
    lps[:3, 3] = parameters.ravel()[9:].astype(np.float64) + centre - matrix @ centre
    return LPS_FROM_RAS @ lps @ LPS_FROM_RAS


def write_itk_warp(path: Path, vectors: NDArray[np.float32], grid: Grid) -> None:
    """Write RAS vectors (nx, ny, nz, 3) in mm as an ITK displacement field."""
    values = flip_lps(vectors)[:, :, :, None, :]
    image = nib.Nifti1Image(values, None)
    image.set_sform(grid.affine, code="scanner")
    image.set_qform(grid.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header.set_intent("vector")
    save_nifti(image, path)


def read_itk_warp(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read an ITK displacement field as RAS vectors and their grid."""
    image = nib.load(path)
    vectors = np.asarray(image.dataobj, np.float32).reshape(*image.shape[:3], 3)
    return flip_lps(vectors), Grid(image.shape[:3], image.affine)
