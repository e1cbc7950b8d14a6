"""Outlines in SRI24 world coordinates, read for a query, with notices about doubts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atlas import SIMULATION_GRID
from ...errors import InputError
from ...solver import TumorMasks
from ..images.frames import require_one_frame
from ..images.labels import LabelConvention, outlines_from_labels, rounded_labels
from ..images.nifti import ImageFile, Scan, read_nifti
from ..images.resampling import (
    image_in_order_of,
    in_order_of,
    resample_image,
    resample_masks,
)
from ..terminal.printing import print_notice


def read_segmentation(path: Path, name: str, convention: LabelConvention) -> TumorMasks:
    """Outlines from a label image.

    Raises
    ------
    InputError
        If it cannot be read, or its labels do not fit the convention.
    """
    file = _read(path, "segmentation")
    return outlines_from_labels(file.values, file.grid, convention, name=name)


def read_outlines(core: Path, whole: Path) -> TumorMasks:
    """Outlines from two masks.

    Raises
    ------
    InputError
        If one cannot be read or is no mask, they lie on two grids, or the whole outline is empty.
    """
    files = {
        name: _read(path, f"{name} outline") for name, path in (("core", core), ("whole", whole))
    }
    remedy = "give a segmentation with --seg and --labels"
    masks = {
        name: _mask_of(files[name], path, remedy)
        for name, path in (("core", core), ("whole", whole))
    }
    if files["core"].grid != files["whole"].grid:
        raise InputError(
            f"core and whole outline lie on one grid, got {files['core'].grid} and "
            f"{files['whole'].grid}"
        )
    if not masks["whole"].any():
        raise InputError(f"the whole outline {whole} is empty")
    if (masks["core"] & ~masks["whole"]).any():
        n = int((masks["core"] & ~masks["whole"]).sum())
        print_notice(f"{n} voxels of the core lie outside the whole outline")
    return TumorMasks(masks["core"], masks["whole"], files["whole"].grid)


def read_ventricles(path: Path) -> NDArray[np.bool_]:
    """A mask of ventricles in SRI24 world coordinates, on the simulation grid.

    Raises
    ------
    InputError
        If it cannot be read, holds other values than 0 and 1, or nothing lies in the atlas.
    """
    file = _read(path, "ventricles")
    mask = _mask_of(file, path, "give a mask of the ventricles alone")
    scan = image_in_order_of(SIMULATION_GRID, Scan(mask.astype(np.float32), file.grid))
    if scan.grid != SIMULATION_GRID:
        scan = resample_image(scan, SIMULATION_GRID, averaged=True)
    mask = scan.values >= 0.5
    if not mask.any():
        raise InputError(f"the ventricles {path} hold no voxel of the atlas's grid")
    return mask


def on_atlas(masks: TumorMasks, name: str) -> TumorMasks:
    """Outlines in SRI24 world coordinates, resampled to the simulation grid if they need it.

    Raises
    ------
    InputError
        If nothing is left of them there.
    """
    masks = in_order_of(SIMULATION_GRID, masks)
    if masks.grid == SIMULATION_GRID:
        return masks
    on_atlas = resample_masks(masks, SIMULATION_GRID)
    if not on_atlas.whole.any():
        raise InputError(
            f"{name}: the whole outline is too small, it fills half of no voxel of the atlas's "
            f"grid, {SIMULATION_GRID}"
        )
    print_notice(f"outlines resampled from {masks.grid} to {SIMULATION_GRID}")
    return on_atlas


def _mask_of(file: ImageFile, path: Path, remedy: str) -> NDArray[np.bool_]:
    """A file's voxels that hold 1; it holds 0 beside, and nothing else."""
    rounded = rounded_labels(file.values)
    labels = file.values if rounded is None else rounded
    strange = np.setdiff1d(labels, (0, 1))
    if strange.size:
        few = ", ".join(f"{value:g}" for value in strange[:3]) + (" ..." * (strange.size > 3))
        raise InputError(f"a mask holds 0 and 1 alone, {path} holds {few}: {remedy}")
    return labels.astype(bool)


def _read(path: Path, role: str) -> ImageFile:
    """A file that lies in the atlas's world by its header, with notices about doubts."""
    file = read_nifti(path, role)
    require_one_frame(file.frames, f"{role} {path}")
    for notice in file.notices:
        print_notice(notice)
    return file
