"""Treatments with the values of their maps, in a patient's world and on a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...solver.listed_treatments import MARKED, ListedTreatment
from ...solver.treatments import Treatment
from ..images.nifti import Scan, read_nifti
from ..patient.coregistration import move
from .treatment_file import MAPS


@dataclass(frozen=True, eq=False)
class PlacedTreatment:
    """A treatment with the values of its map.

    Attributes
    ----------
    listed : ListedTreatment
    map : Scan or None
        Map in the world of the patient's first scan, or in the atlas's.
    checksum : str or None
        SHA-256 of the map's file.
    """

    listed: ListedTreatment
    map: Scan | None = None
    checksum: str | None = None

    def after(
        self,
        day: float,
        carried: Callable[[Scan], NDArray[np.float32]],
        domain: NDArray[np.bool_],
    ) -> Treatment:
        """The solver's treatment, counted from a day.

        Parameters
        ----------
        day : float
            Day from which the solver counts, as the list counts days.
        carried : callable
            Brings a map to the tissue's grid.
        domain : bool array
            The tissue on its grid.

        Raises
        ------
        InputError
            If a mask marks no voxel of the tissue.
        """
        if self.map is None:
            return self.listed.on(self.listed.day - day)
        values = carried(self.map)
        if self.listed.kind == "resection" and not (values[domain] >= MARKED).any():
            raise InputError(
                f"the {MAPS['resection']} {self.listed.map} marks no voxel of the tissue: it lies "
                "in the world of the scan that the list names"
            )
        return self.listed.on(self.listed.day - day, values)

    def moved(self, motion: NDArray[np.float64] | None) -> PlacedTreatment:
        """The treatment with its map in another world; None for no motion."""
        if self.map is None or motion is None:
            return self
        return replace(self, map=Scan(self.map.values, move(self.map.grid, motion)))

    def row(self, first_day: float) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them.

        Parameters
        ----------
        first_day : float
            Day of the first scan, from which the row counts.
        """
        day = self.listed.day - first_day
        return {**self.listed.row(), "day": day, "map_sha256": self.checksum}


def read_map(listed: ListedTreatment) -> PlacedTreatment:
    """Read the map of a treatment, if it has one, in its own world.

    Parameters
    ----------
    listed : ListedTreatment

    Raises
    ------
    InputError
        If the file holds no image, a mask has more than one value beside 0, or a dose is negative
        or no number.
    """
    if listed.map is None:
        return PlacedTreatment(listed)
    name = f"{MAPS[listed.kind]} {listed.map}"
    file = read_nifti(listed.map, MAPS[listed.kind])
    values = np.asarray(file.values, np.float32)
    if listed.kind == "resection":
        if len(found := np.unique(values)) != 2 or found[0] != 0 or found[1] % 1 != 0:
            raise InputError(
                f"{name}: expected 0 outside the cavity and one other whole number inside"
            )
        values = (values > 0).astype(np.float32)
    elif not (np.isfinite(values).all() and values.min() >= 0):
        raise InputError(f"{name}: expected the dose of a fraction in Gy, 0 or more everywhere")
    return PlacedTreatment(listed, Scan(values, file.grid), file.sha256)
