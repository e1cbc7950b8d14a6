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
from ..images.frames import require_one_frame, require_one_world, shared_grid
from ..images.headers import Frames
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
    frames : Frames or None
        Frames that the map's header declares.
    notices : tuple of str
        Notices about the map.
    """

    listed: ListedTreatment
    map: Scan | None = None
    checksum: str | None = None
    frames: Frames | None = None
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How messages call the map."""
        return f"{MAPS.get(self.listed.kind, self.listed.kind)} {self.listed.map}"

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
                f"the {self.name} marks no voxel of the tissue: it lies in the world of the scan "
                "that the list names"
            )
        return self.listed.on(self.listed.day - day, values)

    def on_image(self, image: Frames | None, image_name: str) -> PlacedTreatment:
        """The treatment with its map in the world of an image.

        Parameters
        ----------
        image : Frames or None
            What its header says; None if it came from no file.
        image_name : str
            How messages call it.

        Raises
        ------
        InputError
            If the headers leave open how the two lie; see `frames.PAIR_RULES`.
        """
        if self.map is None or self.frames is None or image is None:
            return self
        grid, told = shared_grid(self.frames, self.name, image, image_name)
        if grid is None:
            require_one_world(self.frames, self.name, image, image_name)
        laid = self.map if grid is None else replace(self.map, grid=grid)
        return replace(self, map=laid, notices=(*self.notices, *told))

    def in_atlas(self) -> PlacedTreatment:
        """The treatment, whose map lies in SRI24 world coordinates.

        Raises
        ------
        InputError
            If the map's header leaves a choice of frames.
        """
        if self.frames is not None:
            require_one_frame(self.frames, self.name)
        return self

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
        return {
            **self.listed.row(),
            "day": self.listed.day - first_day,
            "map_sha256": self.checksum,
            "map_on_scan": None if self.map is None else self.listed.scan,
        }


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
    return PlacedTreatment(listed, Scan(values, file.grid), file.sha256, file.frames, file.notices)
