"""The Fisher-Kolmogorov model of glioma growth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from ...atlas.grid import MOST_SHEAR
from ...errors import InputError
from ..declarations import TIME_SCALING, parameter, require_in_bounds
from ..laplacian import face_weights
from ..tissue import Tissue
from .base import Links


def grey_white_ratio() -> Any:
    """The parameter that models of two diffusivities share."""
    return parameter(
        10.0,
        "white over grey diffusivity",
        symbol="Dw/Dg",
        bounds=(1, math.inf),
        usual=(2, 50),
        scale="log-uniform",
        source="K. R. Swanson, E. C. Alvord, J. D. Murray, Cell Proliferation 33:317-329, 2000",
    )


def grow_logistically(u: Array, rho: Array, days: Array) -> Array:
    """Exact solution of du/dt = rho u (1 - u): u E / (1 + u (E - 1)) with E = exp(rho t)."""
    growth = jnp.expm1(rho * days)
    return u * (1 + growth) / (1 + u * growth)


class OneLogisticPopulation:
    """What the Fisher-Kolmogorov models share: cells that diffuse and divide logistically."""

    symmetry = TIME_SCALING

    def __post_init__(self) -> None:
        require_in_bounds(self)  # type: ignore[arg-type]

    def initial(self, seed: Array) -> tuple[Array, ...]:
        """The seed itself."""
        return (seed,)

    def diffusivities(self, dw: Array) -> tuple[Array | None, ...]:
        """Tumour cells diffuse."""
        return (dw,)

    def react(self, fields: tuple[Array, ...], rho: Array, days: Array) -> tuple[Array, ...]:
        """Logistic growth, exact."""
        return (grow_logistically(fields[0], rho, days),)

    def density(self, fields: tuple[Array, ...]) -> Array:
        """The one population."""
        return fields[0]


@dataclass(frozen=True)
class FisherKolmogorov(OneLogisticPopulation):
    """Isotropic diffusion, faster in white matter, and logistic growth.

        du/dt = div(D grad u) + rho u (1 - u),    n . grad u = 0 on the tissue's boundary,
        D = dw (p_w + p_g / ratio)

    Attributes
    ----------
    ratio : float
    face_mean : {'harmonic', 'arithmetic'}
        Diffusivity of a voxel face from those of its two voxels.

    References
    ----------
    K. R. Swanson, E. C. Alvord, J. D. Murray, "A quantitative model for differential motility of
    gliomas in grey and white matter", Cell Proliferation 33:317-329, 2000.
    """

    ratio: float = grey_white_ratio()
    face_mean: str = "harmonic"

    name: ClassVar[str] = "fisher-kolmogorov"
    equation: ClassVar[str] = "du/dt = div(D grad u) + rho u (1 - u), D = dw (p_w + p_g / ratio)"

    def links(self, tissue: Tissue) -> Links:
        """One link through each voxel face inside the domain."""
        return isotropic_links(tissue, self.ratio, self.face_mean)


def isotropic_links(tissue: Tissue, ratio: float, face_mean: str = "harmonic") -> Links:
    """Links of a diffusivity p_w + p_g / ratio, one through each voxel face inside the domain.

    Raises
    ------
    InputError
        If the voxel axes are not at right angles: the flux through a face would need more links.
    """
    if tissue.grid.shear > MOST_SHEAR:
        raise InputError(
            "isotropic diffusion takes tissue whose voxel axes are at right angles, got a cosine "
            f"of {tissue.grid.shear:.2g} between two: resample its maps to a grid without shear"
        )
    diffusivity = tissue.relative_diffusivity(ratio)[tissue.box]
    x, y, z = face_weights(
        diffusivity, tissue.domain[tissue.box], tissue.grid.spacing_mm, mean=face_mean
    )
    return {(1, 0, 0): x, (0, 1, 0): y, (0, 0, 1): z}
