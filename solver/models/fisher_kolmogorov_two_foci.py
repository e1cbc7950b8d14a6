"""The Fisher-Kolmogorov model of a tumour that begins at two places, at the second one later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ..declarations import parameter
from ..tissue import Tissue
from .fisher_kolmogorov import FisherKolmogorov, grow_logistically

EARLY = 1e-3
"""By how many e-foldings rounding may let a seed begin too early."""
SOURCE = "S. Subramanian et al., Inverse Problems 36:045006, 2020 (tumours that begin as few seeds)"


def _offset(default: float, axis: str) -> Any:
    """The parameter of one axis."""
    return parameter(
        default,
        f"from the first origin towards the second, along RAS world {axis}",
        unit="mm",
        symbol=f"d{axis}",
        bounds=(-200, 200),
        usual=(-40, 40),
        drawn=True,
        source=SOURCE,
    )


@dataclass(frozen=True)
class FisherKolmogorovTwoFoci(FisherKolmogorov):
    """Diffusion and logistic growth of one density from two seeds.

        du/dt = div(D grad u) + rho u (1 - u) + s_2(x) delta(t - delay / rho)

    s_2 is a seed as the first one, at the tissue's point nearest to the first origin plus an
    offset. The delay counts e-foldings: a tumour whose rho T is less has one focus, and the second
    one changes nothing before it begins. The solution depends on (dw, rho, days) through dw days
    and rho days alone.

    Attributes
    ----------
    ratio, face_mean
        See `FisherKolmogorov`.
    offset_x_mm, offset_y_mm, offset_z_mm : float
        From the first origin to the second.
    delay : float
        rho t, 0 to 100. A front moves by 2 lambda in each e-folding, so that the second focus stays
        smaller by a radius of about 2 lambda delay.

    References
    ----------
    S. Subramanian, K. Scheufele, M. Mehl, G. Biros, "Where did the tumor start? An inverse solver
    with sparse localization for tumor growth models", Inverse Problems 36:045006, 2020 (a tumour as
    the sum of few seeds).
    """

    offset_x_mm: float = _offset(20.0, "x")
    offset_y_mm: float = _offset(0.0, "y")
    offset_z_mm: float = _offset(0.0, "z")
    delay: float = parameter(
        2.0,
        "e-foldings of proliferation until the second focus begins",
        symbol="ρt2",
        bounds=(0, 100),
        usual=(0, 8),
        drawn=True,
        source=SOURCE,
    )

    name: ClassVar[str] = "fisher-kolmogorov-two-foci"
    equation: ClassVar[str] = (
        "du/dt = div(D grad u) + rho u (1 - u) + s_2(x) delta(t - delay / rho), "
        "D = dw (p_w + p_g / ratio)"
    )

    def more_origins(
        self, tissue: Tissue, origin_mm: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """The second origin: at the requested place, or the tissue voxel nearest to that."""
        offset = np.array([self.offset_x_mm, self.offset_y_mm, self.offset_z_mm])
        return [tissue.nearest_point(origin_mm + offset)]

    def initial(self, seed: Array, second: Array) -> tuple[Array, ...]:  # type: ignore[override]
        """The first seed, the second while it waits, and how long it has."""
        return seed, second, jnp.zeros_like(seed)

    def diffusivities(self, dw: Array) -> tuple[Array | None, ...]:
        """Tumour cells diffuse; a seed that waits stays put."""
        return dw, None, None

    def react(self, fields: tuple[Array, ...], rho: Array, days: Array) -> tuple[Array, ...]:
        """Logistic growth, exact; the second seed joins once it has waited for its delay."""
        u, waiting, waited = fields
        u = grow_logistically(u, rho, days)
        waited = jnp.where(waiting > 0, waited + rho * days, waited)
        begins = waited >= self.delay - EARLY
        # A seed that begins within this step has already grown for the rest of it.
        age = jnp.clip(waited - self.delay, 0, rho * days)
        second = grow_logistically(waiting, jnp.ones_like(rho), age)
        return (
            jnp.where(begins, jnp.minimum(u + second, 1), u),
            jnp.where(begins, 0, waiting),
            waited,
        )
