"""Real outlines for an evaluation: segmentations in SRI24 world coordinates, from a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...atlas import SIMULATION_GRID, Atlas, load_atlas
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorMasks
from ..images.frames import require_one_frame
from ..images.labels import LabelConvention, outlines_from_labels
from ..images.nifti import read_nifti
from ..images.resampling import resample_masks
from ..names import map_name
from ..patient.nesting import doubts_of_nesting
from ..registration.placement import TO_SRI24, judge_placement
from ..results.result_folder import STAGE

WRITTEN_BY_INVERT = LabelConvention("glioquery", frozenset({2}), frozenset({1, 2}))
"""Convention of `sub-X_space-SRI24_dseg.nii.gz`: label 1 is whole, 2 is core."""

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
    notices : tuple of str
        Notices about headers, about outlines that lie only partly in the atlas's brain, and about a
        core that surrounds the rest of the tumour.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    convention: LabelConvention
    notices: tuple[str, ...] = ()

    def load(self, i: int) -> TumorMasks:
        """Outlines of the i-th patient on the simulation grid.

        Parameters
        ----------
        i : int
            Number of the patient, from 0.

        Returns
        -------
        TumorMasks

        Raises
        ------
        InputError
            If the file is no segmentation of the convention.
        """
        masks, _ = self._read(i)
        if masks.grid == SIMULATION_GRID:
            return masks
        return resample_masks(masks, SIMULATION_GRID)

    def notices_of(self, i: int, atlas: Atlas) -> list[str]:
        """Notices about the i-th patient's header and outlines.

        Parameters
        ----------
        i : int
            Number of the patient, from 0.
        atlas : Atlas

        Returns
        -------
        list of str

        Raises
        ------
        InputError
            As `load`, or if they miss the atlas's brain.
        """
        masks, notices = self._read(i)
        name = f"segmentation {self.files[i]}"
        placed = judge_placement(masks, atlas, name=name, remedy=TO_SRI24).notice
        told = [f"{self.names[i]}: {notice}" for notice in notices]
        return [*told, *([placed] if placed else []), *doubts_of_nesting(masks, name)]

    def _read(self, i: int) -> tuple[TumorMasks, tuple[str, ...]]:
        name = f"segmentation {self.files[i]}"
        file = read_nifti(self.files[i], "segmentation")
        require_one_frame(file.frames, name)
        masks = outlines_from_labels(file.values, file.grid, self.convention, name=name)
        return masks, file.notices


def find_cases(
    folder: StrPath,
    *,
    pattern: str = PATTERN,
    convention: LabelConvention = WRITTEN_BY_INVERT,
    atlas: Atlas | None = None,
) -> Cases:
    """Find the segmentations of a folder, in the order of their paths.

    Parameters
    ----------
    folder : path
    pattern : str
        Pattern (glob) of the files; by default those that `glioquery invert` writes.
    convention : LabelConvention
        Convention of their labels.
    atlas : Atlas, optional
        Atlas in whose brain the outlines should lie; by default the one in use.

    Returns
    -------
    Cases
        Names and outlines of the patients.

    Raises
    ------
    InputError
        If there are none, one cannot be read as such or misses the atlas's brain.
    """
    try:
        files = sorted(
            path
            for path in Path(folder).glob(pattern)
            if path.is_file() and STAGE not in path.parts
        )
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"case files: expected a pattern of paths inside {folder}, such as '**/*.nii.gz', got "
            f"{pattern!r} ({error})"
        ) from None
    if not files:
        raise InputError(
            f"{folder} holds no file {pattern}: give results of `glioquery invert`, or name "
            "segmentations in SRI24 world coordinates with --case-files and --labels"
        )
    whole = [str(path.relative_to(folder)) for path in files]
    short = [name.removesuffix(".nii.gz").removesuffix(".nii") for name in whole]
    # Two cases may differ in the ending alone.
    names = tuple(s if short.count(s) == 1 else name for s, name in zip(short, whole, strict=True))
    atlas = load_atlas() if atlas is None else atlas
    cases = Cases(names, tuple(files), convention)
    notices = [notice for i in range(len(files)) for notice in cases.notices_of(i, atlas)]
    return replace(cases, notices=tuple(notices))
