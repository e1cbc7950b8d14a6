"""What a growth model yields and what an MRI shows of it: densities, thresholds, outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..atlas import Grid
from ..errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """Tumour cell densities at which the two visible outlines are drawn.

    The defaults are those of Ezhov et al. 2022, section 2.3: the enhancing and necrotic core seen
    on T1Gd is {u >= 0.6}, the whole tumour seen on FLAIR, oedema included, is {u >= 0.2}.

    Raises
    ------
    InputError
        Unless 0 < whole <= core < 1.
    """

    core: float = 0.6
    whole: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.whole <= self.core < 1:
            raise InputError(
                "thresholds satisfy 0 < whole <= core < 1, "
                f"got whole={self.whole}, core={self.core}"
            )
        for name in ("core", "whole"):  # a database's description holds plain numbers alone
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def levels(self) -> tuple[float, float]:
        """The densities of core and whole, in the order of outlines everywhere."""
        return self.core, self.whole


@dataclass(frozen=True, eq=False)
class TumorMasks:
    """The two visible outlines of one tumour on one grid.

    Attributes
    ----------
    core, whole : (nx, ny, nz) bool array
        Enhancing and necrotic core; whole tumour with its oedema. `core` may be empty.
    grid : Grid
    """

    core: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    grid: Grid

    def __post_init__(self) -> None:
        for name in ("core", "whole"):
            mask = getattr(self, name)
            if mask.dtype != np.bool_ or mask.shape != self.grid.shape:
                raise InputError(
                    f"the {name} outline is a boolean array of shape {self.grid.shape}, "
                    f"got {mask.dtype} of shape {mask.shape}"
                )

    @property
    def core_ml(self) -> float:
        """Volume of the core, millilitres."""
        return float(self.core.sum() * self.grid.voxel_ml)

    @property
    def whole_ml(self) -> float:
        """Volume of the whole tumour, millilitres."""
        return float(self.whole.sum() * self.grid.voxel_ml)

    def require_grid(self, grid: Grid, what: str) -> None:
        """Refuse outlines that lie on another grid than what they go with.

        Parameters
        ----------
        grid : Grid
            The grid that is needed.
        what : str
            Who needs it, as the message names it: "the index".

        Raises
        ------
        InputError
            Naming both grids.
        """
        if self.grid != grid:
            raise InputError(
                f"the masks lie on a grid of {self.grid}, {what} needs {grid}: resample them"
            )


@dataclass(frozen=True, eq=False)
class TumorDensity:
    """A tumour cell density on a grid.

    Attributes
    ----------
    u : (nx, ny, nz) float32 array
        Cells per carrying capacity, in [0, 1].
    grid : Grid
    """

    u: NDArray[np.float32]
    grid: Grid

    def outlines(self, thresholds: Thresholds = Thresholds()) -> TumorMasks:
        """Draw the outlines that an MRI would show: {u >= core} and {u >= whole}.

        Parameters
        ----------
        thresholds : Thresholds
            Densities that the outlines show.

        Returns
        -------
        TumorMasks
        """
        return TumorMasks(self.u >= thresholds.core, self.u >= thresholds.whole, self.grid)
