"""Grey matter, white matter and fluid of a patient, as far as the scan shows them.

Outside the outlined tumour the patient's own T1 shows the tissue, and the atlas, bent to the
patient by the registration, is the prior (see `mixture`). Inside it the intensities are the
tumour's, and the tissue is that of the bent atlas. So it is everywhere if the T1 does not show the
tissue.

The T1 is segmented in voxels of 2 mm, on which the tumour grows, and the result is interpolated.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Atlas, Grid
from ...atlas.regions import bounding_box
from ...solver import TumorMasks
from ..alignment.transform import AtlasTransform
from ..images.coarsening import coarsen
from ..images.field import Field
from ..images.nifti import Scan
from ..images.resampling import resample_image, resample_images
from ..patient.patient import Patient
from ..travel import Terrain, tissue_speed
from .mixture import fit_mixture
from .tissue_maps import TissueMaps, lay_on_image
from .tissue_way import TissueWay

SPACING_MM = 2.0
"""Size of the voxels in which tissue is segmented, mm."""

THICK_MM = 2.5
"""Voxels that are longer than this along an axis hold too much of several tissues."""

MOST_INVERTED = 0.5
"""Contrast by which white matter may be darker than grey in a T1 without it being told."""

LEAST_CONTRAST = 3.0
"""Least contrast of white against grey matter in standard deviations of the noise. Below it, in
experiments with virtual patients and added noise, the bent atlas is nearer to the truth."""

ROLES = ("csf", "gm", "wm")


class TissueSource(enum.Enum):
    """The source of a patient's tissue; the value is a phrase for people."""

    SEGMENTED = "segmented in the T1"
    AS_ASKED = "that of the atlas, bent to the patient, as the options ask"
    THICK_SLICES = "that of the atlas, bent to the patient, as the slices are thick"
    CONTRAST_AGENT = "that of the atlas, bent to the patient, as there is no T1 without contrast"
    POOR_CONTRAST = (
        "that of the atlas, bent to the patient, because the T1 separates tissues poorly"
    )
    GIVEN = "given as maps"


@dataclass(frozen=True, eq=False)
class PatientTissue:
    """Tissue of a patient's brain.

    Attributes
    ----------
    wm, gm, csf : float32 array
        Shares of white matter, grey matter and fluid on `grid`, in [0, 1]; they sum to at most 1
        and are 0 outside the brain.
    grid : Grid
        Grid of the registered image, as far as the brain goes (`Patient.field`).
    source : TissueSource
    contrast : float or None
        Distance of white from grey matter in standard deviations of the noise, where that was
        measured.
    doubts : tuple of str
        Notices about the place of given maps.
    """

    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    csf: NDArray[np.float32]
    grid: Grid
    source: TissueSource
    contrast: float | None = None
    doubts: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether the tissue outside the outlined tumour is the patient's, not the bent atlas's."""
        return self.source in (TissueSource.SEGMENTED, TissueSource.GIVEN)

    @property
    def notices(self) -> tuple[str, ...]:
        """Notices about it."""
        if self.source is not TissueSource.POOR_CONTRAST:
            return self.doubts
        inverted = self.contrast is not None and self.contrast < -MOST_INVERTED
        return (
            f"The T1 separates white from grey matter poorly (contrast {self.contrast:.1f}, at "
            f"least {LEAST_CONTRAST:g}): the tissue is that of the atlas, bent to the patient."
            + (" White matter is darker than grey: is it a T1?" if inverted else ""),
        )

    @property
    def told(self) -> str:
        """Its source and its contrast, as a phrase."""
        shown = "" if self.contrast is None else f", contrast {self.contrast:.1f}"
        return f"{self.source.value}{shown}"

    def terrain(self, outlines: TumorMasks, brain: NDArray[np.bool_]) -> Terrain:
        """What a front meets in it, on the grid of outlines and brain.

        Parameters
        ----------
        brain : bool array of the outlines' shape
        outlines : TumorMasks

        Returns
        -------
        Terrain
        """
        wm, gm, csf = self.wm, self.gm, self.csf
        if self.grid != outlines.grid:
            wm, gm, csf = resample_images([wm, gm, csf], self.grid, outlines.grid)
        return Terrain(outlines, brain, tissue_speed(wm, gm, csf, brain, outlines.whole))

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them.

        Returns
        -------
        dict
        """
        return {"source": self.source.value, "contrast": self.contrast}


def find_tissue(
    patient: Patient,
    transform: AtlasTransform,
    atlas: Atlas,
    *,
    way: TissueWay = "auto",
    given: TissueMaps | None = None,
) -> PatientTissue:
    """Find the tissue of a patient's brain (2 s at 1 mm).

    Parameters
    ----------
    patient : Patient
    transform : AtlasTransform
        Between the patient and the atlas.
    atlas : Atlas
    way : "auto" or "atlas"
        From the T1 where it shows tissue, or from the atlas in any case.
    given : TissueMaps, optional
        Known tissue, which replaces the segmentation outside the outlined tumour, whatever the way.

    Returns
    -------
    PatientTissue
        On the grid of the patient's field.

    Raises
    ------
    InputError
        If the headers of given maps leave open how these and the registered image lie.
    """
    field, grid = patient.field, patient.field.grid
    brain = field.cut(patient.brain_with_tumour)
    if given is not None:
        laid, doubts = lay_on_image(given, patient)
        own = [_in_field(getattr(laid, role), field) for role in ROLES]
        bent = _bent(transform, atlas, grid, brain)
        maps = [
            np.where(field.cut(patient.masks.whole), b, o).astype(np.float32)
            for o, b in zip(own, bent, strict=True)
        ]
        return replace(_finished(maps, patient, TissueSource.GIVEN), doubts=doubts)
    source, contrast = TissueSource.AS_ASKED, None
    if way == "auto":
        if patient.modality != "t1":
            source = TissueSource.CONTRAST_AGENT
        elif max(grid.spacing_mm) > THICK_MM:
            source = TissueSource.THICK_SLICES
        else:
            segmented, contrast = segment(patient, transform, atlas)
            if segmented is not None:
                return _finished(segmented, patient, TissueSource.SEGMENTED, contrast)
            source = TissueSource.POOR_CONTRAST
    return _finished(_bent(transform, atlas, grid, brain), patient, source, contrast)


def segment(
    patient: Patient, transform: AtlasTransform, atlas: Atlas
) -> tuple[list[NDArray[np.float32]] | None, float]:
    """Tell tissue apart by the patient's T1 outside the outlined tumour, by the atlas inside.

    Returns
    -------
    maps : list of three float32 arrays, or None
        Fluid, grey and white matter of the brain, on the grid of the patient's field; None where
        the contrast is less than `LEAST_CONTRAST`.
    contrast : float
    """
    scan = coarsen(patient.t1, SPACING_MM)
    share = coarsen(Scan(patient.brain.astype(np.float32), patient.grid), SPACING_MM).values
    lesion = coarsen(Scan(patient.masks.whole.astype(np.float32), patient.grid), SPACING_MM).values
    # One voxel more than the outline touches: its rim shows, and later steps interpolate.
    lesioned = ndimage.binary_dilation(lesion > 0, np.ones((3, 3, 3)))
    seen = (share > 0) & ~lesioned
    full = (share > 0.99) & ~lesioned  # in units of the share: a mean over air is no intensity
    known = _bent(transform, atlas, scan.grid, seen | lesioned)
    bent = np.stack([values.astype(np.float64) for values in known])
    if full.sum() < 1000:
        return None, 0.0
    intensities = scan.values.astype(np.float64)
    np.divide(intensities, share, out=intensities, where=share > 0)
    intensities /= np.median(intensities[full])
    places = _places(seen)
    mixture = fit_mixture(intensities[full], bent[:, full], places[full])
    if not (mixture.is_of_t1 and mixture.contrast >= LEAST_CONTRAST):
        return None, mixture.contrast
    found = bent.copy()
    found[:, seen] = mixture.shares(intensities[seen], bent[:, seen], places[seen])
    # Beyond the brain lie the values of its nearest voxel, which interpolation then meets.
    nearest = ndimage.distance_transform_edt(
        ~(seen | lesioned), return_distances=False, return_indices=True
    )
    maps = [values[tuple(nearest)].astype(np.float32) for values in found]
    field = patient.field
    brain = field.cut(patient.brain_with_tumour)
    return resample_images(maps, scan.grid, field.grid, within=brain), mixture.contrast


def _in_field(scan: Scan, field: Field) -> NDArray[np.float32]:
    """A patient's image in a field; where it has other voxels, its means over the field's."""
    if scan.grid == field.whole:
        return field.cut(scan.values)
    return resample_image(scan, field.grid, averaged=True).values


def _places(seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where each voxel lies in the box around those that are seen, from -1 to 1 along each axis."""
    axes = [
        2 * (np.arange(n) - box.start) / max(box.stop - 1 - box.start, 1) - 1
        for n, box in zip(seen.shape, bounding_box(seen), strict=True)
    ]
    return np.clip(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), -1, 1)


def _bent(
    transform: AtlasTransform, atlas: Atlas, grid: Grid, within: NDArray[np.bool_]
) -> list[NDArray[np.float32]]:
    """Tissue of the atlas in a part of the patient: fluid, grey and white matter."""
    maps = [getattr(atlas, role) for role in ROLES]
    return resample_images(maps, atlas.grid, grid, transform.to_patient, within=within)


def _finished(
    maps: list[NDArray[np.float32]],
    patient: Patient,
    source: TissueSource,
    contrast: float | None = None,
) -> PatientTissue:
    """The tissue with shares that sum to at most 1, in the brain alone."""
    brain = patient.field.cut(patient.brain_with_tumour)
    total = np.maximum(np.sum(maps, axis=0), 1)
    csf, gm, wm = (np.where(brain, m / total, 0).astype(np.float32) for m in maps)
    return PatientTissue(wm, gm, csf, patient.field.grid, source, contrast)
