"""A tumour between two steps of its growth, under treatment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp

from ..errors import InputError
from .models import GrowthModel
from .stepper import State
from .treatments import Drug, Radiotherapy, Resection, Treatment


@dataclass(frozen=True, eq=False)
class TreatedState(State):
    """As `State`; its steps end at every event, and a drug acts around each of them.

    Once an event has cut a step short, the steps that follow are as long as the run's at that time.
    """

    _treatments: tuple[Treatment, ...] = ()

    @property
    def next_days(self) -> float:
        """Time at which the run's next step ends, or at which an event happens before that."""
        coming = (day for one in self._treatments for day in one.days if day > self.days)
        return min(self.days + self.step_days, min(coming, default=math.inf))

    def next(self) -> State:
        """The state at the end of the run's next step, and after an event that happens then."""
        return self.at(self.next_days)

    def at(self, days: float) -> State:
        """The state at a later time, up to `next_days`; alters nothing of the run."""
        middle = (self.days + days) / 2
        begun = self._under_drugs(self.days, middle)
        grown = self._stepper.step(begun, days - self.days, days)
        state = treated(grown, self._treatments)._under_drugs(middle, days)
        for one in self._treatments:
            if days in one.days:
                state = state._after(one)
        return state

    def _under_drugs(self, start: float, end: float) -> TreatedState:
        killed = sum(one.killed(start, end) for one in self._treatments if isinstance(one, Drug))
        if killed == 0:
            return self
        return treated(self._stepper.kept(self, math.exp(-killed)), self._treatments)

    def _after(self, one: Treatment) -> TreatedState:
        if isinstance(one, Radiotherapy):
            return treated(self._stepper.kept(self, one.survival), self._treatments)
        if isinstance(one, Resection):
            return treated(self._stepper.resected(self, one.cavity), self._treatments)
        return self


def treated(state: State, treatments: Sequence[Treatment]) -> TreatedState:
    """A state of a growth that is treated."""
    values = {one.name: getattr(state, one.name) for one in dataclasses.fields(State)}
    return TreatedState(**values, _treatments=tuple(treatments))


def require_treatable(model: GrowthModel) -> None:
    """See that treatments can act on a model's growths.

    Parameters
    ----------
    model : GrowthModel

    Raises
    ------
    InputError
        If the model has more than one field.
    """
    if len(model.diffusivities(jnp.float32(1))) != 1:
        raise InputError(f"treatments act on models with one population, not on {model.name}")
