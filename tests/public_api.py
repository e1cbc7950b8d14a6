"""A user's program, as a static checker sees it: `mypy --strict` finds nothing in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import glioquery as gq


def invert_one(t1: str, seg: str, out: str) -> tuple[float, ...]:
    """Density, volume and status of a patient's tumour, and a folder of results."""
    patient: gq.Patient = gq.load_patient(t1=t1, seg=seg, labels="brats2021")
    options = gq.InversionOptions(refine=False, densities=(0.01, 0.2), registration="affine")
    inversion: gq.Inversion = gq.invert(patient, gq.open_database(), options)
    inversion = gq.write_inversion(inversion, out, subject="01")
    if inversion.status is gq.InversionStatus.PLAUSIBLE:
        print(inversion.status.value)
    density: gq.TumorDensity = inversion.density
    u: NDArray[np.float32] = density.u
    return inversion.predicted_ml(0.2), float(u.max()), density.grid.voxel_ml


def invert_many(database: gq.Database, table: str, out: str) -> list[str]:
    """The patients that failed."""
    cases: gq.CaseTable = gq.read_cases(table)
    outcomes: list[gq.Outcome] = gq.invert_cohort(
        database, cases.cases, out, gq.InversionOptions(k=3), n_workers=2
    )
    gq.write_cohort(out, outcomes)
    return [outcome.case.identifier for outcome in outcomes if outcome.error is not None]


def grow(origin_mm: tuple[float, float, float]) -> gq.TumorMasks:
    """The outlines of one simulated tumour."""
    tissue: gq.Tissue = gq.Tissue.from_atlas(gq.load_atlas())
    parameters = gq.GrowthParameters(origin_mm, dw=0.3, rho=0.05, days=200)
    run: gq.Simulation = gq.simulate(tissue, parameters, model=gq.FisherKolmogorov(ratio=5.0))
    batch: gq.BatchResult = gq.simulate_batch(tissue, [parameters])
    slopes: gq.Sensitivity = gq.sensitivity(tissue, parameters, lambda u: u.sum())
    print(batch, slopes, run.parameters.lambda_mm)
    return run.density.outlines(gq.Thresholds(core=0.6, whole=0.2))


def make_database(folder: str) -> gq.Index:
    """A small database and its index."""
    space = gq.ParameterSpace(whole_ml=gq.Range(5, 15), rho=gq.Choices((0.05,)))
    database: gq.Database = gq.generate(folder, 8, plan=gq.Plan(space, seed=7), n_workers=2)
    faults: list[str] = gq.verify(folder)
    assert not faults
    return gq.build_index(database, database.path / "index")


def look_up(index: gq.Index, path: str) -> list[int]:
    """The samples most like the outlines in a file."""
    file: gq.ImageFile = gq.read_nifti(path, "segmentation")
    convention: gq.LabelConvention = gq.label_convention("brats2021")
    masks = gq.outlines_from_labels(file.values, file.grid, convention, name=path)
    found: list[gq.Match] = gq.search(index, masks, k=5, measure=gq.find_measure("jaccard"))
    try:
        (others,) = gq.search_many(index, [masks], k=5)
    except gq.InputError as error:
        raise SystemExit(error.exit_code) from None
    except gq.GlioqueryError:
        raise
    return [match.sample for match in (*found, *others)]


def follow(patient: gq.Patient, t1: Path, seg: Path) -> gq.Inversion:
    """Two scans of one patient."""
    convention: gq.LabelConvention = gq.label_convention("brats2021")
    later: gq.FollowUp = gq.load_follow_up(
        patient, 0.0, [gq.ScanFiles(t1, seg, 90.0)], convention=convention, forecast=[180.0]
    )
    return gq.invert(patient, follow_up=later)


def forecast(database: gq.Database, first: gq.TumorMasks, second: gq.TumorMasks) -> float:
    """The whole volume half a year after two scans on the atlas."""
    scans = [gq.DatedOutlines(first, 0.0), gq.DatedOutlines(second, 90.0)]
    outlook: gq.Outlook = gq.look_ahead(
        gq.fit_scans(database, gq.open_index(database), scans), [270.0]
    )
    return outlook.forecast[0].whole_ml.value


def version() -> str:
    """Of the package."""
    return gq.__version__
