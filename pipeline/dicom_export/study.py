"""The study that outputs belong to: what they must repeat of a series, and nothing more.

An object of DICOM that is derived from a series names its patient and its study, its frame of
reference and the images below. Writers see these items of the series' headers and nothing else:
comments, addresses and names of stations are left out here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import flip_lps
from ...errors import InputError
from ...paths import StrPath
from ..dicom.dicom_folder import Instance, text_in
from ..dicom.dicom_packages import pydicom, quietly
from ..dicom.dicom_path import require_series_path
from ..dicom.series import Stack, require_series

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
"""Fields that may be empty (type 2), and are empty in an anonymous study."""

UTF_8 = "ISO_IR 192"
"""DICOM's name of UTF-8."""

SEXES = ("M", "F", "O")

HOW_ANONYMOUS = "glioquery: no patient, no study, new UIDs"


@dataclass(frozen=True, eq=False)
class Study:
    """A series as others refer to it.

    Attributes
    ----------
    images : tuple of pydicom.Dataset
        Its slices in the order of the grid's last axis, or its one file of frames.
    frames : tuple of int or None
        Number of the frame of each slice, from 1, where there is one file of frames.
    grid : Grid
        Axes: column, row, slice.
    frame_uid : str
        DICOM's name of the world.
    sha256 : str
        Checksum of the series, as in `ImageFile`.
    """

    images: tuple[Any, ...]
    frames: tuple[int, ...] | None
    grid: Grid
    frame_uid: str
    sha256: str

    def image_of(self, k: int) -> tuple[Any, int | None]:
        """The image of a slice, and the frame in it where it has several.

        Parameters
        ----------
        k : int
            Number of the slice, from 0.

        Returns
        -------
        image : pydicom.Dataset
        frame : int or None
        """
        if self.frames is None:
            return self.images[k], None
        return self.images[0], self.frames[k]

    def off_grid(self, k: int) -> NDArray[np.float64]:
        """How far a slice lies from its place on the grid, whose slices are evenly spaced.

        Parameters
        ----------
        k : int
            Number of the slice, from 0.

        Returns
        -------
        (3,) float array
            mm in DICOM's world, across the slice.
        """
        image, frame = self.image_of(k)
        if frame is not None:
            image = image.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
        off = np.array(image.ImagePositionPatient, float) - flip_lps(self.grid.to_world([0, 0, k]))
        across = flip_lps(np.cross(*self.grid.affine[:3, :2].T))
        across /= np.linalg.norm(across)
        return np.asarray(across * (off @ across))


def read_study(path: StrPath, name: str, *, anonymous: bool = False) -> Study:
    """Read the parts of a series that outputs refer to.

    Parameters
    ----------
    path : str or os.PathLike
        See `find_series`.
    name : str
        Begins every message.
    anonymous : bool
        Whether to leave patient and study out and to give everything a new name (UID). Outputs then
        refer to UIDs that no image has, and lie on the scan by their coordinates alone.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        As `require_series`, or if the path names no DICOM, or the series no study or no frame of
        reference.
    """
    require_series_path(path, name)
    series, stack = require_series(path, name)
    if stack.frame_uid is None:
        raise InputError(
            f"{name}: the series names no frame of reference (FrameOfReferenceUID), so no DICOM "
            "output can lie on it; leave DICOM outputs out"
        )
    renamed: dict[str, str] = {}

    def uid(old: str) -> str:
        return renamed.setdefault(old, pydicom.uid.generate_uid()) if anonymous else old

    with quietly():
        first = pydicom.dcmread(stack.slices[0].path, stop_before_pixels=True)
        common = _common(first, uid, f"{name}: {stack.slices[0].path.name}", anonymous=anonymous)
        if len(stack.slices) == 1:
            image, frames = _frames(first, common, uid, stack)
            images: tuple[Any, ...] = (image,)
        else:
            images, frames = (
                tuple(_slice(file, common, uid, stack.grid) for file in stack.slices),
                None,
            )
    return Study(images, frames, stack.grid, uid(stack.frame_uid), series.sha256)


def _common(first: Any, uid: Callable[[str], str], name: str, *, anonymous: bool) -> Any:
    """The fields that all images of the series share."""
    common = pydicom.Dataset()
    common.SpecificCharacterSet = UTF_8  # whatever the series has: highdicom knows few of them
    for keyword in (*PATIENT, *STUDY):
        value = "" if anonymous else first.get(keyword, "")
        setattr(common, keyword, _valid(keyword, value))
    if anonymous:
        common.PatientIdentityRemoved = "YES"
        common.DeidentificationMethod = HOW_ANONYMOUS
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(common, keyword, uid(text_in(first, keyword, name)))
    common.SOPClassUID = text_in(first, "SOPClassUID", name)
    for keyword in ("SeriesNumber", "Modality", "Rows", "Columns", "ImageType"):
        if keyword in first:
            setattr(common, keyword, first.get(keyword))
    common.BitsStored = first.get("BitsStored", 16)
    return common


def _valid(keyword: str, value: Any) -> Any:
    """A value, or an empty one if DICOM does not allow the value and highdicom would refuse it."""
    if isinstance(value, pydicom.multival.MultiValue):  # all of these have one value
        return ""
    if keyword == "PatientSex":
        return value if value in SEXES else ""
    read = {"Date": pydicom.valuerep.DA, "Time": pydicom.valuerep.TM}.get(keyword[-4:])
    if read is not None and value:
        try:
            read(value)
        except ValueError:
            return ""
    return "" if value is None else str(value)


def _slice(file: Instance, common: Any, uid: Callable[[str], str], grid: Grid) -> Any:
    image = pydicom.Dataset()
    image.update(common)
    image.SOPInstanceUID = uid(str(file.header.SOPInstanceUID))
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        setattr(image, keyword, file.header.get(keyword))
    image.SliceThickness = grid.spacing_mm[2]
    return image


def _frames(
    first: Any, common: Any, uid: Callable[[str], str], stack: Stack
) -> tuple[Any, tuple[int, ...]]:
    """A file of frames with the frames' places alone, and the frame of each slice."""
    image = pydicom.Dataset()
    image.update(common)
    image.SOPInstanceUID = uid(str(first.SOPInstanceUID))
    image.NumberOfFrames = first.NumberOfFrames
    kinds = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")

    def places(group: Any) -> Any:
        kept = pydicom.Dataset()
        for keyword in kinds:
            if keyword in group:
                setattr(kept, keyword, group.get(keyword))
        return kept

    image.SharedFunctionalGroupsSequence = [places(first.SharedFunctionalGroupsSequence[0])]
    image.PerFrameFunctionalGroupsSequence = [
        places(group) for group in first.PerFrameFunctionalGroupsSequence
    ]
    positions = np.array(
        [g.PlanePositionSequence[0].ImagePositionPatient
         for g in first.PerFrameFunctionalGroupsSequence], np.float64
    )  # fmt: skip
    slices = np.rint(stack.grid.to_voxel(flip_lps(positions))[:, 2]).astype(int)
    return image, tuple(int(n) + 1 for n in np.argsort(slices))
