"""One patient, registered and inverted, whose result many tests read."""

import dataclasses
import shutil
from functools import partial

import nibabel as nib
import numpy as np
import pytest
import virtual_patient
from generating import SMALL, make_indexed
from odd_names import ODD
from patient_files import ANOTHER_ROLE, SECRET
from virtual_patient import make_virtual_patient

from glioquery.atlas import Grid
from glioquery.pipeline.fit import anatomy, answer, fitted_thresholds
from glioquery.pipeline.fit.refinement import Stage, refine
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.images.resampling import resample_masks
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.registration import placement
from glioquery.pipeline.results.outputs import write_inversion
from glioquery.pipeline.uncertainty import members
from glioquery.solver import Accuracy

ONE_STEP = (Stage(6.0, Accuracy.for_error(0.05), 1, 1),)
"""A refinement that does everything, once."""


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # voxels of 2 mm: the demo's test has those of 1 mm
        patch.setattr(virtual_patient, "SHAPE", (98, 112, 88))
        patch.setattr(virtual_patient, "VOXEL_MM", 2.0)
        made = make_virtual_patient(tmp_path_factory.mktemp("virtual"))
    for name, source in ANOTHER_ROLE.items():
        shutil.copy(getattr(made, source), made.t1.parent / f"{name}.nii.gz")
    mask = np.asarray(nib.load(made.t1).dataobj) > 0
    write_nifti(
        made.t1.parent / "brain_mask.nii.gz", mask, Grid(mask.shape, nib.load(made.t1).affine)
    )
    for path in made.t1.parent.glob("*.nii.gz"):
        image = nib.load(path)
        for field in ("descrip", "aux_file", "intent_name", "db_name"):
            image.header[field] = SECRET
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET))
        nib.save(image, path)
    return made


@pytest.fixture(scope="session")
def inverted(truth, tmp_path_factory):
    """A virtual patient against a database of six tumours, none of them alike."""
    folder = tmp_path_factory.mktemp("inversion") / ODD
    folder.mkdir()
    database = make_indexed(folder / "db", 6, SMALL)
    others = {name: truth.t1.parent / f"{name}.nii.gz" for name in (*ANOTHER_ROLE, "brain_mask")}
    patient = load_patient(t1=truth.t1, seg=truth.seg, labels="brats2021", **others)
    # As if the segmentation had voxels of its own and a world 5 degrees and 30 mm away.
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.09), -np.sin(0.09)], [np.sin(0.09), np.cos(0.09)]]
    turn[:3, 3] = [30, -10, 5]
    moved = Grid((70, 85, 45), patient.grid.affine @ np.diag([1.3, 1.2, 1.7, 1]))
    drawn = resample_masks(patient.masks, moved)
    own = Grid(moved.shape, turn @ moved.affine)
    patient = dataclasses.replace(patient, drawn=drawn, seg_grid=own)
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setattr(placement, "LEAST_SHARE", 1.01)  # so that its notice is given
        options = InversionOptions(refine=False, k=4, densities=(0.35, 0.1), resolution_mm=4.0)
        inversion = invert(patient, database, options, step=steps.append)
        inversion = write_inversion(
            inversion, folder / "out", title=f"<b>case</b> {ODD}", step=steps.append
        )
    return database, patient, inversion, folder / "out", steps


@pytest.fixture
def one_step(monkeypatch):
    """Refinements of one step, and few members in an ensemble."""
    brief = partial(refine, stages=ONE_STEP)
    for module in (answer, anatomy):
        monkeypatch.setattr(module, "refine", brief)
    monkeypatch.setattr(fitted_thresholds, "STAGES", ONE_STEP)
    monkeypatch.setattr(members, "N_DRAWS", 2)
