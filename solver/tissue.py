"""The anatomy a tumour grows in: white and grey matter on a grid."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..atlas import Atlas, Grid
from ..atlas.regions import Box, bounding_box, largest_component, shape_of
from ..errors import InputError

VENTRICLE_DEPTH_MM = 25.0
"""Least distance of a ventricle's voxels to the outside of the head. In SRI24 the largest piece of
fluid at this depth measures 33 ml and consists of the lateral ventricles with the third; at 20 mm
it reaches into the cisterns below them."""


class OriginError(InputError):
    """No tumour can begin at a position: it lies outside the tissue, or no seed fits in there."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """White and grey matter inside the brain domain, on a grid of any shape and spacing.

    Attributes
    ----------
    wm, gm : (nx, ny, nz) float32 array
        Fractions of white and grey matter: wm + gm = 1 inside the domain, both 0 outside.
    domain : (nx, ny, nz) bool array
        Voxels that tumour cells can occupy.
    grid : Grid
    fluid : (nx, ny, nz) bool array
        Voxels inside the skull but outside the domain, mostly cerebrospinal fluid. They yield to a
        tumour that pushes. None unless given.
    """

    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    domain: NDArray[np.bool_]
    grid: Grid
    fluid: NDArray[np.bool_] = None  # type: ignore[assignment]  # becomes an array

    def __post_init__(self) -> None:
        if self.fluid is None:
            object.__setattr__(  # type: ignore[unreachable]
                self, "fluid", np.zeros(self.grid.shape, np.bool_)
            )

    @classmethod
    def from_probabilities(cls, wm: ArrayLike, gm: ArrayLike, csf: ArrayLike, grid: Grid) -> Tissue:
        """Find the domain and renormalise the tissue probabilities in it.

        The domain is the largest 6-connected component of the voxels where wm + gm > csf.

        Parameters
        ----------
        wm, gm, csf : (nx, ny, nz) array
            Probabilities in [0, 1] of white matter, grey matter and cerebrospinal fluid.
        grid : Grid

        Returns
        -------
        Tissue

        Raises
        ------
        InputError
            If a map's shape is not the grid's, a value is NaN or outside [0, 1] by more than
            1e-3, or no voxel is tissue.
        """
        maps = {"wm": np.asarray(wm), "gm": np.asarray(gm), "csf": np.asarray(csf)}
        for name, values in maps.items():
            if values.shape != grid.shape:
                raise InputError(
                    f"tissue maps have the grid's shape {grid.shape}, {name} has {values.shape}"
                )
            low, high = float(values.min()), float(values.max())
            if not (low >= -1e-3 and high <= 1 + 1e-3):
                raise InputError(
                    f"tissue maps are probabilities in [0, 1], {name} has values "
                    f"from {low:g} to {high:g}"
                )
        white = np.clip(maps["wm"].astype(np.float32), 0, 1)
        grey = np.clip(maps["gm"].astype(np.float32), 0, 1)
        fluid = np.clip(maps["csf"], 0, 1)
        domain = largest_component(white + grey > fluid)
        if not domain.any():
            raise InputError("no voxel is tissue: white and grey matter nowhere outweigh CSF")
        inside = white + grey + fluid >= 0.5
        total = np.where(domain, white + grey, 1)
        return cls(
            wm=np.where(domain, white / total, 0).astype(np.float32),
            gm=np.where(domain, grey / total, 0).astype(np.float32),
            domain=domain,
            grid=grid,
            fluid=inside & ~domain,
        )

    @classmethod
    def from_atlas(cls, atlas: Atlas) -> Tissue:
        """The tissue of the standard brain; one object for each atlas.

        Parameters
        ----------
        atlas : Atlas

        Returns
        -------
        Tissue
        """
        return _tissue_of(atlas)

    @cached_property
    def box(self) -> Box:
        """Bounding box of the domain as index slices; outside it nothing is ever computed."""
        return bounding_box(self.domain)

    @cached_property
    def box_shape(self) -> tuple[int, int, int]:
        """Shape of the bounding box."""
        return shape_of(self.box)

    def relative_diffusivity(self, ratio: float) -> NDArray[np.float32]:
        """Diffusivity of isotropic models in shares of `dw`, wm + gm / ratio.

        Parameters
        ----------
        ratio : float
            White over grey diffusivity.

        Returns
        -------
        (nx, ny, nz) float32 array
            0 outside the domain.
        """
        return self.wm + self.gm / ratio

    @cached_property
    def with_fluid(self) -> Tissue:
        """The tissue with its box's fluid in the domain: pushed tissue may come to lie there."""
        domain = self.domain.copy()
        domain[self.box] |= self.fluid[self.box]
        return Tissue(self.wm, self.gm, domain, self.grid)

    @cached_property
    def ventricles(self) -> NDArray[np.bool_]:
        """The largest piece of fluid that lies `VENTRICLE_DEPTH_MM` deep; empty if none does."""
        from scipy import ndimage  # here: who reads a database can spare it

        depth_mm = ndimage.distance_transform_edt(
            self.domain | self.fluid, sampling=self.grid.spacing_mm
        )
        return largest_component(self.fluid & (depth_mm >= VENTRICLE_DEPTH_MM))

    @cached_property
    def voxels(self) -> NDArray[np.intp]:
        """Indices (n, 3) of the domain's voxels, in C order."""
        return np.argwhere(self.domain)

    def nearest_voxel(self, position_mm: ArrayLike) -> tuple[int, int, int]:
        """Voxel of the domain that holds a world position.

        Parameters
        ----------
        position_mm : (3,) array
            World coordinates, mm.

        Returns
        -------
        tuple of int
            Three indices.

        Raises
        ------
        OriginError
            If the position lies outside the domain; the message names the nearest tissue point.
        InputError
            If it is not three finite coordinates.
        """
        position = np.asarray(position_mm, dtype=np.float64)
        nearest = self.nearest_point(position)
        if not np.array_equal(nearest, position):
            distance = float(np.linalg.norm(nearest - position))
            raise OriginError(
                f"position ({', '.join(f'{c:g}' for c in position)}) mm is outside the tissue; the "
                f"nearest tissue point is ({', '.join(f'{c:g}' for c in nearest)}) mm, "
                f"{distance:.1f} mm away"
            )
        x, y, z = np.floor(self.grid.to_voxel(position) + 0.5).astype(int).tolist()
        return x, y, z

    def nearest_point(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """A world position itself if it lies in the domain, else the nearest centre of its voxels.

        Parameters
        ----------
        position_mm : (3,) array
            World coordinates, mm.

        Returns
        -------
        (3,) float64 array
            World coordinates, mm.

        Raises
        ------
        InputError
            If it is not three finite coordinates.
        """
        from scipy.spatial import cKDTree  # here: who reads a database can spare it

        position_mm = np.asarray(position_mm, dtype=np.float64)
        if position_mm.shape != (3,) or not np.isfinite(position_mm).all():
            raise InputError(
                f"a position is three finite coordinates in mm, got {position_mm.tolist()}"
            )
        voxel = np.floor(self.grid.to_voxel(position_mm) + 0.5).astype(int)
        if ((voxel >= 0) & (voxel < self.grid.shape)).all() and self.domain[tuple(voxel)]:
            return position_mm
        world = self.grid.to_world(self.voxels)
        _, row = cKDTree(world).query(position_mm)
        nearest: NDArray[np.float64] = world[row]
        return nearest


@functools.lru_cache(maxsize=2)
def _tissue_of(atlas: Atlas) -> Tissue:
    return Tissue.from_probabilities(atlas.wm, atlas.gm, atlas.csf, atlas.grid)
