"""A tumour between two steps of its growth, under treatment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from .listed_treatments import ListedTreatment
from .models import GrowthModel, swelling_of
from .stepper import State
from .treatments import Drug, Radiotherapy, Resection, Treatment


@dataclass(frozen=True, eq=False)
class TreatedState(State):
    """As `State`; its steps end at every event. A drug acts around each step and bounds its length.

    Once an event has cut a step short, the steps that follow are as long as the run's at that time.
    """

    _treatments: tuple[Treatment, ...] = ()
    _before_events: State | None = None

    @property
    def before_events(self) -> State:
        """The state before the events of its moment: itself where none happens."""
        return self._before_events or self

    @property
    def next_days(self) -> float:
        """Time at which the run's next step ends, or a shorter one under drugs, or an event is."""
        coming = (day for one in self._treatments for day in one.days if day > self.days)
        growth = self._stepper.accuracy.growth
        drugs = (one for one in self._treatments if isinstance(one, Drug))
        longest = min((one.step_days(self.days, growth) for one in drugs), default=math.inf)
        return min(self.days + min(self.step_days, longest), min(coming, default=math.inf))

    def next(self) -> State:
        """The state at the end of the run's next step, and after an event that happens then."""
        return self.at(self.next_days)

    def at(self, days: float) -> State:
        """The state at a later time, up to `next_days`; alters nothing of the run."""
        middle = (self.days + days) / 2
        begun = self._under_drugs(self.days, middle)
        grown = self._stepper.step(begun, days - self.days, days)
        before = state = treated(grown, self._treatments)._under_drugs(middle, days)
        for one in self._treatments:
            if days in one.days:
                state = state._after(one)
        return state if state is before else replace(state, _before_events=before)

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


def require_maps(shape: tuple[int, int, int], treatments: Sequence[Treatment]) -> None:
    """See that the maps of treatments lie on a grid of a shape.

    Raises
    ------
    InputError
        If one does not.
    """
    for one in treatments:
        values: Any = one.cavity if isinstance(one, Resection) else getattr(one, "dose_gy", None)
        if one.has_map and np.shape(values) != shape:
            raise InputError(
                f"a treatment's map has the shape of the tissue's grid, {shape}, "
                f"got {np.shape(values)}"
            )


def require_treatable(
    model: GrowthModel, treatments: Sequence[Treatment | ListedTreatment] = ()
) -> None:
    """See that treatments can act on a model's growths.

    Parameters
    ----------
    model : GrowthModel
    treatments : sequence of Treatment or ListedTreatment
        Those whose maps are checked.

    Raises
    ------
    InputError
        If the model has more than one field, or a treatment has a map and the model pushes tissue.
    """
    if len(model.diffusivities(jnp.float32(1))) != 1:
        raise InputError(f"treatments act on models with one population, not on {model.name}")
    # A cavity's sharp rim would also ring in the density that the moved tissue carries.
    if swelling_of(model) > 0 and any(one.has_map for one in treatments):
        raise InputError(
            "a cavity or a map of doses lies in the tissue of its day, which the model "
            f"{model.name} has pushed elsewhere: leave it out (drugs and one dose everywhere "
            "remain), or choose a model that pushes nothing"
        )
