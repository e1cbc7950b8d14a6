"""Who made a DICOM object: this program."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ..dicom.dicom_packages import highdicom, pydicom

NAME = "glioquery"

BODY_PART = "BRAIN"


def maker() -> dict[str, str]:
    """The equipment of an object, as highdicom wants it."""
    return {
        "manufacturer": NAME,
        "manufacturer_model_name": NAME,
        "software_versions": version(NAME),
        "device_serial_number": version(NAME),
    }


def algorithm() -> Any:
    """The method, as highdicom wants it."""
    return highdicom.AlgorithmIdentificationSequence(
        name=NAME,
        version=version(NAME),
        family=pydicom.sr.codedict.codes.DCM.ArtificialIntelligence,
    )
