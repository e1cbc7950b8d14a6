"""A user's growth model, with three parameters of its own."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from glioquery.solver import TIME_SCALING, Combination, parameter
from glioquery.solver.laplacian import face_weights


@dataclass(frozen=True)
class Shedding:
    ratio: float = parameter(8.0, "white over grey", bounds=(1, 50), usual=(4, 16), drawn=True)
    death: float = parameter(1e-3, "cells that die", unit="1/day", symbol="μ", bounds=(0, 1))
    crowding: float = parameter(1.0, "spread", scale="choices", choices=(1, 2), drawn=True)

    name: ClassVar[str] = "shedding"
    equation: ClassVar[str] = "du/dt = crowding div(D grad u) + rho u (1 - u) - death u"
    symmetry: ClassVar = {**TIME_SCALING, "death": 1}
    combinations = (Combination("net_t", "", "net e-foldings", "νT", "(rho - death) * days"),)

    def links(self, tissue):
        diffusivity = (tissue.wm + tissue.gm / self.ratio)[tissue.box]
        x, y, z = face_weights(diffusivity, tissue.domain[tissue.box], tissue.grid.spacing_mm)
        return {(1, 0, 0): x, (0, 1, 0): y, (0, 0, 1): z}

    def initial(self, seed):
        return (seed,)

    def diffusivities(self, dw):
        return (self.crowding * dw,)

    def react(self, fields, rho, days):
        growth, room = jnp.expm1((rho - self.death) * days), 1 - self.death / rho
        return (fields[0] * (1 + growth) / (1 + fields[0] * growth / room),)

    def density(self, fields):
        return fields[0]
