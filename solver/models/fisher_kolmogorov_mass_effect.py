"""The Fisher-Kolmogorov model of a tumour that pushes the tissue aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..declarations import parameter
from .fisher_kolmogorov import FisherKolmogorov


@dataclass(frozen=True)
class FisherKolmogorovMassEffect(FisherKolmogorov):
    """Diffusion and logistic growth in tissue that swells with the cells and moves.

        du/dt = div(D grad u) + rho u (1 - u),    in the tissue's own coordinates,
        J = 1 + k u                               volume of tissue over what it was

    The room for the swelling tissue is made by the fluid in ventricles and sulci, which yields
    while the skull stands still (`solver.displacement` has the equations). Density and outlines are
    those in the tissue as it lies then: the rim of a ball of radius R moves by k R / 3, to first
    order.

    Attributes
    ----------
    ratio, face_mean
        See `FisherKolmogorov`.
    swelling : float
        k, 0 to 2. At 0.5 a tumour of 30 ml moves the tissue at its rim by about 3 mm.

    References
    ----------
    C. Hogea, C. Davatzikos, G. Biros, "An image-driven parameter estimation problem for a
    reaction-diffusion glioma growth model with mass effects", J. Math. Biol. 56:793-825, 2008.
    """

    swelling: float = parameter(
        0.5,
        "share by which tissue full of cells swells",
        symbol="k",
        bounds=(0, 2),
        usual=(0, 1),
        drawn=True,
        source="C. Hogea, C. Davatzikos, G. Biros, J. Math. Biol. 56:793-825, 2008",
    )

    name: ClassVar[str] = "fisher-kolmogorov-mass-effect"
    equation: ClassVar[str] = (
        "du/dt = div(D grad u) + rho u (1 - u), D = dw (p_w + p_g / ratio), in tissue that swells "
        "to 1 + k u times its volume"
    )
