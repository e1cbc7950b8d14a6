"""Real outlines for an evaluation: segmentations in SRI24 world coordinates, from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..atlas import SIMULATION_GRID
from ..solver import TumorMasks
from .labels import LabelConvention, outlines_from_labels
from .names import map_name
from .nifti import InputError, read_nifti
from .transform import AtlasTransform

WRITTEN_BY_INVERT = LabelConvention("glioquery", frozenset({2}), frozenset({1, 2}))
"""Labels of `sub-X_space-SRI24_dseg.nii.gz`: 1 whole, 2 core."""

PATTERN = "**/" + map_name("*", "SRI24", "dseg")
"""The outlines on the atlas in results of `glioquery invert` and `glioquery cohort`."""


@dataclass(frozen=True)
class Cases:
    """Patients' outlines in files.

    Attributes
    ----------
    names : tuple of str
        Paths relative to the folder, without .nii.gz.
    files : tuple of Path
    convention : LabelConvention
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    convention: LabelConvention

    def load(self, i: int) -> TumorMasks:
        """Outlines of the i-th patient on the simulation grid.

        Raises
        ------
        InputError
            If the file is no segmentation of the convention, or misses the atlas.
        """
        name = f"segmentation {self.files[i]}"
        file = read_nifti(self.files[i], "segmentation")
        masks = outlines_from_labels(file.values, file.grid, self.convention, name=name)
        if masks.grid != SIMULATION_GRID:
            masks = AtlasTransform.identity().masks_to_atlas(masks, SIMULATION_GRID)
        if not masks.whole.any():
            raise InputError(
                f"{name}: no voxel of the outlines lies in SRI24's part of the world: they are on "
                f"a grid of {file.grid}, the atlas on one of {SIMULATION_GRID}"
            )
        return masks


def find_cases(
    folder: Path, *, pattern: str = PATTERN, convention: LabelConvention = WRITTEN_BY_INVERT
) -> Cases:
    """Find the segmentations of a folder, in the order of their paths.

    Parameters
    ----------
    folder : Path
    pattern : str
        Which of its files, as a glob; by default what `glioquery invert` writes.
    convention : LabelConvention
        Of their labels.

    Raises
    ------
    InputError
        If there are none, or one cannot be read as such; before any work.
    """
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not files:
        raise InputError(
            f"{folder} holds no file {pattern}: give results of `glioquery invert`, or name "
            "segmentations in SRI24 world coordinates with --case-files and --labels"
        )
    names = tuple(
        str(path.relative_to(folder)).removesuffix(".nii.gz").removesuffix(".nii") for path in files
    )
    cases = Cases(names, tuple(files), convention)
    for i in range(len(files)):
        cases.load(i)
    return cases
