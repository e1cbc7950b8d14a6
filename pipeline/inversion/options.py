"""The options of an inversion, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...dbgen import Database
from ...errors import InputError
from ..anatomy.tissue_way import TissueWay, checked_tissue_way
from ..fit.matches import DEFAULT_MATCHES
from ..names import exceedance_label
from ..registration.options import Kind, check_registration_options

DENSITIES = (0.01, 0.1, 0.2)
"""Densities that are mapped by default."""
MOST_DENSITIES = 20
"""Most densities that are mapped; each is a file."""


@dataclass(frozen=True)
class InversionOptions:
    """Options of an inversion, the same for every patient of a cohort.

    Attributes
    ----------
    k : int or None
        Number of matches to list; 15, or all there are, by default.
    refine : bool
        Whether to improve the growth beyond the matches (see `refinement`); by default it is.
    fit_thresholds : bool
        Whether to fit the outlines' thresholds after that (see `fit.fitted_thresholds`).
    own_anatomy : bool
        Whether to continue the refinement in the patient's own anatomy (see `anatomy`).
    tissue_from : "auto" or "atlas"
        Source of the patient's tissue: the T1 if its contrast suffices, or the bent atlas in any
        case.
    fit : tuple of str
        Parameters of the database's growth model to refine, beside those that its study varies,
        such as `ratio`.
    densities : tuple of float
        Densities whose isolines and exceedance probabilities are mapped; they are sorted.
    registration : "syn", "affine", "rigid" or "none"
        How far the patient is bent to the atlas, see `register`.
    resolution_mm : float
        Voxel size of the registration, 1 to 4 mm.
    seed : int
        Seed of the registration, positive.

    Raises
    ------
    InputError
        If a value lies outside its range, or an option needs a refinement and there is none.
    """

    k: int | None = None
    refine: bool = True
    fit_thresholds: bool = False
    own_anatomy: bool = False
    tissue_from: TissueWay = "auto"
    fit: Sequence[str] = ()
    densities: Sequence[float] = DENSITIES
    registration: Kind = "syn"
    resolution_mm: float = 2.0
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "densities", checked_densities(self.densities))
        check_registration_options(
            kind=self.registration, resolution_mm=self.resolution_mm, seed=self.seed
        )
        checked_tissue_way(self.tissue_from)
        if self.k is not None and self.k < 1:
            raise InputError(f"k: at least 1 match is listed, got {self.k}")
        object.__setattr__(self, "fit", tuple(self.fit))
        for name in ("fit_thresholds", "own_anatomy", "fit"):
            if getattr(self, name) and not self.refine:
                option = name.replace("_", "-")
                raise InputError(f"{option} needs a refinement: switch that on")

    def require_fit(self, database: Database, n_samples: int) -> None:
        """See that a database supports these options.

        Parameters
        ----------
        database : Database
        n_samples : int
            Number of tumours in its index.

        Raises
        ------
        InputError
            If the database's tumours were treated, there are fewer of them than matches to list,
            the options ask for the own anatomy and the growth model is bound to the atlas, or the
            model lacks a parameter to fit.
        """
        if "treatments" in database.header["plan"]:
            raise InputError(
                f"the tumours of {database.path} were treated, and a growth is fitted untreated: "
                "search this database with `glioquery query`, and invert with another"
            )
        if self.k is not None and self.k > n_samples:
            raise InputError(f"k is 1 to {n_samples}, the number of samples, got {self.k}")
        if self.own_anatomy:
            from ..fit.anatomy import require_own_model  # here: who refuses an option can spare it

            require_own_model(database.model)
        if self.fit:
            from ..fit.coordinates import free_parameters  # here: as above

            free_parameters(database, self.fit)

    def n_listed(self, n_samples: int) -> int:
        """Number of matches to list.

        Parameters
        ----------
        n_samples : int
            Number of tumours in the index.

        Returns
        -------
        int
        """
        return min(DEFAULT_MATCHES, n_samples) if self.k is None else self.k

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them.

        Returns
        -------
        dict
        """
        lists = {"densities": list(self.densities), "fit": list(self.fit)}
        return dataclasses.asdict(self) | lists


def checked_densities(densities: Sequence[float]) -> tuple[float, ...]:
    """Densities by rising value.

    Raises
    ------
    InputError
        If one is not between 0 and 1, or has too many decimals to name a file, or there are none
        or too many to be labels.
    """
    distinct = sorted(set(densities))
    if not 1 <= len(distinct) <= MOST_DENSITIES or not all(0 < u < 1 for u in distinct):
        raise InputError(
            f"densities are 1 to {MOST_DENSITIES} numbers between 0 and 1, got "
            f"{', '.join(f'{u:g}' for u in densities) or 'none'}"
        )
    for u in distinct:
        exceedance_label(u)
    return tuple(distinct)
