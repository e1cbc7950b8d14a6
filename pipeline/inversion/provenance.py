"""Provenance of a result: versions, atlas, database, inputs, options."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

from .growth import PatientGrowth

PACKAGES = ("glioquery", "antspyx", "jax", "jaxlib", "nibabel", "netCDF4", "numpy", "xarray")


def provenance_of(growth: PatientGrowth) -> dict[str, Any]:
    """Plain values by name, as `result.json` and the report show them."""
    database, patient = growth.database, growth.patient
    return {
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "atlas_sha256": database.atlas.checksum,
        "database": {
            "name": database.path.name,
            "checksum": database.checksum,
            "n_samples": database.n_samples,
            "model": database.header["plan"]["model"],
        },
        "thresholds": dataclasses.asdict(database.thresholds),
        "inputs_sha256": dict(growth.checksums),
        "labels": None if patient.convention is None else patient.convention.row(),
        "recurrence_labels": None
        if patient.recurrence_convention is None
        else patient.recurrence_convention.row(),
        "brain": None if patient.brain_source is None else patient.brain_source.row(),
        "registration": growth.transform.settings,
        "options": growth.options.row(),
    }
