"""An inversion as DICOM, for planning systems: in the patient's study, on the registered series.

segmentation.dcm    SEG: the outlines, the planning volumes, the regions inside the isolines
structures.dcm      RTSTRUCT: the same as contours, with the same names and colours
density.dcm         Parametric Map: the density that agrees with the outlines

Only these files identify the patient; see docs/outputs.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ...dbgen.machine.files import completed
from ...errors import InputError
from ...paths import StrPath
from ..dicom.dicom_packages import quietly
from ..dicom_export.contour_writing import make_structure_set
from ..dicom_export.parametric_map import make_parametric_map
from ..dicom_export.segment_writing import make_segmentation
from ..dicom_export.structure import Structure
from ..dicom_export.study import read_study
from ..inversion.result import Inversion
from ..names import DENSITY, SEGMENTATION, STRUCTURE_SET
from ..steps import Step, silent
from .dicom_places import remove_dicom, require_dicom_places
from .result_folder import STAGE, only_run

PLAN_COLOURS = {"standard": (255, 165, 0), "model": (0, 114, 255), "geodesic": (170, 0, 255)}

CORE_COLOUR, WHOLE_COLOUR = (255, 0, 0), (0, 200, 0)

LOW_COLOUR, HIGH_COLOUR = (255, 255, 160), (128, 64, 0)
"""Colours of the lowest and the highest density; those between are mixed."""


def write_dicom(
    inversion: Inversion,
    out: StrPath,
    *,
    series: StrPath,
    anonymous: bool = False,
    step: Step = silent,
) -> dict[str, Path]:
    """Write outlines, planning volumes and density into the patient's study.

    Parameters
    ----------
    inversion : Inversion
        As `invert` returns it.
    out : path
        Folder of the files; earlier ones of glioquery there are replaced.
    series : path
        The DICOM series that was registered, as it was given to `load_patient`.
    anonymous : bool
        Whether to leave patient and study out and to give everything a new name (UID).
    step : callable
        Called with the name of the step as it begins.

    Returns
    -------
    dict of str to Path
        The files by what they are: segmentation, structures, density.

    Raises
    ------
    InputError
        If the series is not the one that was inverted, or the folder cannot be written or holds
        something else under the name of an output.
    """
    step("write DICOM")
    require_dicom_places(out, [series])
    study = read_study(series, f"series {series}", anonymous=anonymous)
    if study.sha256 != inversion.checksums.get(inversion.patient.modality):
        raise InputError(
            f"series {series}: expected the series that was inverted, got other files; name that "
            "one, or invert this one"
        )
    structures = structures_of(inversion)
    made = {
        SEGMENTATION: make_segmentation(structures, study),
        STRUCTURE_SET: make_structure_set(structures, study),
        DENSITY: make_parametric_map(
            inversion.density.u, study, "Density", "Tumour cell density, share of the most"
        ),
    }
    with only_run(Path(out)) as folder, quietly():
        stage = folder / STAGE
        stage.mkdir()
        try:
            for name, dataset in made.items():
                with completed(stage / name) as temporary:
                    dataset.save_as(temporary, enforce_file_format=True)
            remove_dicom(folder)  # all are complete: those of two runs are never mixed
            for name in made:
                (stage / name).replace(folder / name)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return {Path(name).stem: folder / name for name in made}


def structures_of(inversion: Inversion) -> list[Structure]:
    """The regions to write, in their order, without empty ones."""
    masks, density = inversion.patient.masks, inversion.density
    structures = [
        Structure("Core", masks.core, "GTV", CORE_COLOUR, is_drawn=True),
        Structure("Whole", masks.whole, "lesion", WHOLE_COLOUR, is_drawn=True),
    ]
    structures += [
        Structure(f"CTV_{name}", volume, "CTV", PLAN_COLOURS[name])
        for name, volume in inversion.planning.by_name.items()
    ]
    levels = inversion.options.densities
    for i, level in enumerate(levels):
        share = i / max(len(levels) - 1, 1)
        red, green, blue = (
            round(low + share * (high - low))
            for low, high in zip(LOW_COLOUR, HIGH_COLOUR, strict=True)
        )
        decimals = f"{level:.6f}".rstrip("0")
        region = density.u >= level
        structures.append(Structure(f"Density_{decimals}", region, "lesion", (red, green, blue)))
    return [structure for structure in structures if structure.mask.any()]
