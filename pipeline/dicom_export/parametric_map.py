"""A map of a quantity as a DICOM Parametric Map of floating-point numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dicom.dicom_packages import highdicom, pydicom, quietly
from ..dicom.world import volume_of
from .maker import BODY_PART, maker
from .study import Study

SERIES_NUMBER = 9102


def make_parametric_map(values: NDArray[np.float32], study: Study, label: str, meaning: str) -> Any:
    """A parametric map of a series, as a pydicom dataset.

    Parameters
    ----------
    values : float32 array
        A share, from 0 to 1, on the study's grid.
    study : Study
        The series that it belongs to: it repeats patient, study and frame of reference, and refers
        to the images.
    label : str
        Short name, at most 16 letters.
    meaning : str
        Meaning of a value, in words.

    Returns
    -------
    pydicom.Dataset
    """
    with quietly():
        codes = pydicom.sr.codedict.codes
        mapping = highdicom.pm.RealWorldValueMapping(
            lut_label=label,
            lut_explanation=meaning,
            unit=codes.UCUM.NoUnits,
            value_range=(0.0, 1.0),
            slope=1.0,
            intercept=0.0,
        )
        made = highdicom.pm.ParametricMap(
            source_images=study.images,
            pixel_array=volume_of(values, study.grid, study.frame_uid),
            series_instance_uid=pydicom.uid.generate_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=pydicom.uid.generate_uid(),
            instance_number=1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            window_center=0.5,
            window_width=1.0,
            content_label=label.upper(),
            content_description=meaning,
            series_description=f"glioquery: {meaning}",
            **maker(),
        )
        made.BodyPartExamined = BODY_PART
    return made
