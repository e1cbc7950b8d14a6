"""Names of an inversion's files; those of BIDS derivatives where BIDS has one.

sub-<subject>_space-<space>[_label-<label>][_desc-<what>]_<suffix>.nii.gz

BIDS has no suffix for tumour cell density; `density` is ours. `mask`, `dseg` and `probseg` are its
own. The table of all files is in docs/outputs.md.

References
----------
K. J. Gorgolewski et al., "The brain imaging data structure", Scientific Data 3:160044, 2016;
specification 1.10, "Derivatives: imaging data types".
"""

from __future__ import annotations

import math
import re
from typing import Literal

from ..errors import InputError

BIDS_VERSION = "1.10.0"

DEFAULT_SUBJECT = "patient"

SEGMENTATION, STRUCTURE_SET, DENSITY = DICOM_FILES = (
    "segmentation.dcm",
    "structures.dcm",
    "density.dcm",
)
"""DICOM files of a result, for planning systems."""

SUMMARY_TABLE, SUMMARY_PAGE = SUMMARY_FILES = ("cohort.csv", "cohort.html")
"""Files of a cohort."""

Space = Literal["T1w", "SRI24", "seg"]
"""T1w: the grid of the registered image; SRI24: the simulation grid on the atlas; seg: the
segmentation's grid where it is another than the registered image's."""

Suffix = Literal["density", "probseg", "dseg", "mask"]


def map_name(subject: str, space: Space, suffix: Suffix, *, label: str = "", desc: str = "") -> str:
    """File name of a map.

    Parameters
    ----------
    subject : str
        BIDS label, with or without that of a session; see `checked_subject`.
    space : {'T1w', 'SRI24', 'seg'}
    suffix : {'density', 'probseg', 'dseg', 'mask'}
        Cell density, probability, labels, one outline.
    label : str
        What a mask outlines (CTV).
    desc : str
        Distinguishes it from others of its kind (growth, mean, ranking, standard).
    """
    entities = [f"sub-{subject}", f"space-{space}"]
    entities += [f"{key}-{value}" for key, value in (("label", label), ("desc", desc)) if value]
    return "_".join([*entities, suffix]) + ".nii.gz"


LABEL = "[A-Za-z0-9]{1,64}"
"""A BIDS label: letters and digits."""

MAP_NAME = re.compile(
    f"sub-{LABEL}(_ses-{LABEL})?"
    "_space-(T1w|SRI24|seg)(_label-CTV)?"
    "(_desc-(match|growth|mean|sd|exceeds[0-9p]+permille|ranking|isodensity|day[0-9p]+|standard|model|geodesic|difference))?"
    r"_(density|probseg|dseg|mask)\.nii\.gz"
)


def is_map_name(name: str) -> bool:
    """Whether a file has the name of a map that an inversion writes."""
    return MAP_NAME.fullmatch(name) is not None


def exceedance_label(level: float) -> str:
    """BIDS label (letters and digits alone) of a density's exceedance: 10permille for 0.01.

    Raises
    ------
    InputError
        Unless the density lies between 0 and 1 with at most six decimals, which a label can tell
        apart.
    """
    millionths = round(level * 1e6)
    if not (0 < millionths < 1e6 and math.isclose(millionths, level * 1e6, rel_tol=1e-9)):
        raise InputError(f"densities are between 0 and 1 with at most six decimals, got {level!r}")
    permille = f"{millionths / 1000:.3f}".rstrip("0").rstrip(".").replace(".", "p")
    return f"exceeds{permille}permille"


def forecast_label(after_days: float) -> str:
    """BIDS label (letters and digits alone) of a day after the first scan: day120 for 120."""
    return f"day{after_days:.3f}".rstrip("0").rstrip(".").replace(".", "p")


def checked_subject(subject: str) -> str:
    """The label itself, if it is valid, alone or with that of a session: `01`, `01_ses-pre`.

    Raises
    ------
    InputError
        If it is not made of letters and digits alone, as BIDS requires.
    """
    if not re.fullmatch(f"{LABEL}(_ses-{LABEL})?", subject):
        raise InputError(
            f"a subject's label has at most 64 letters and digits, as BIDS requires; "
            f"got {subject!r}"
        )
    return subject


def checked_identifier(identifier: str) -> str:
    """The user's name for a patient, if it is safe as the name of a file.

    Raises
    ------
    InputError
        If it is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", identifier):
        raise InputError(
            f"the id {identifier!r} is not safe as a name: use letters, digits, '.', '_' and '-', "
            "a letter or digit first, 64 at most"
        )
    return identifier


def subject_label(identifier: str) -> str:
    """The BIDS label for an identifier: its letters and digits."""
    return re.sub("[^A-Za-z0-9]", "", identifier)
