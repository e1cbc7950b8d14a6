"""What decides every sample of a database, and the samples themselves.

Sample i is snapshot i mod m of run i div m. A run is drawn by the space's sampler from (seed, run,
attempt), and drawn anew with the next attempt until it yields its m accepted snapshots: nothing
else decides a sample.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

from ..atlas import load_atlas
from ..solver import (
    SCHEME,
    Accuracy,
    FisherKolmogorov,
    GrowthModel,
    GrowthParameters,
    Snapshot,
    Status,
    Thresholds,
    Tissue,
    simulate,
)
from ..solver.models import describe_model, find_model
from .sampling import find_sampler
from .space import ParameterSpace

MAX_ATTEMPTS = 300
"""Draws of one run after which the space is held to contain no acceptable tumour."""


@dataclass(frozen=True)
class Plan:
    """Everything on which the samples depend.

    Attributes
    ----------
    space : ParameterSpace
    seed : int
        Of the random draws.
    model : GrowthModel
    thresholds : Thresholds
        Densities of the stored outlines.
    accuracy : Accuracy
        Of the solver.
    """

    space: ParameterSpace = field(default_factory=ParameterSpace)
    seed: int = 0
    model: GrowthModel = field(default_factory=FisherKolmogorov)
    thresholds: Thresholds = field(default_factory=Thresholds)
    accuracy: Accuracy = field(default_factory=Accuracy)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is a whole number from 0 to 2^32 - 1, got {self.seed}")

    def describe(self) -> dict[str, Any]:
        """The plan in plain values, as `database.json` stores it."""
        space = dataclasses.asdict(self.space)
        sampler = space.pop("sampler")
        return {
            "space": space,
            "sampler": sampler,
            "seed": self.seed,
            "model": describe_model(self.model),
            "thresholds": dataclasses.asdict(self.thresholds),
            "scheme": SCHEME,
            "accuracy": dataclasses.asdict(self.accuracy),
            "atlas": {"name": "SRI24", "sha256": load_atlas().checksum},
        }

    @classmethod
    def from_description(cls, plan: dict[str, Any]) -> Plan:
        """The plan that `describe` wrote.

        Raises
        ------
        ValueError
            If the growth model or the sampler is unknown here, or the model cannot be made again.
        """
        model = plan["model"]
        return cls(
            space=ParameterSpace.from_dict(plan["space"] | {"sampler": plan["sampler"]}),
            seed=plan["seed"],
            model=find_model(model.get("class", model["name"]), **model["settings"]),
            thresholds=Thresholds(**plan["thresholds"]),
            accuracy=Accuracy(**plan["accuracy"]),
        )


def identity(plan: dict[str, Any]) -> str:
    """SHA-256 of a plan's description: two databases with one identity hold the same samples."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Sample:
    """One tumour of a database.

    Attributes
    ----------
    parameters : GrowthParameters
        A simulation from these reproduces the density.
    snapshot : Snapshot
        The density on the tissue's box and the sizes of its outlines.
    attempt : int
        Which draw of the run was accepted.
    """

    parameters: GrowthParameters
    snapshot: Snapshot
    attempt: int


def draw_samples(tissue: Tissue, plan: Plan, run: int) -> list[Sample]:
    """Draw a run until it yields its accepted snapshots.

    Returns
    -------
    list of Sample
        `plan.space.snapshots_per_run` of them, by rising time.

    Raises
    ------
    ValueError
        If `MAX_ATTEMPTS` draws yield none.
    """
    for attempt in range(MAX_ATTEMPTS):
        samples = _attempt(tissue, plan, run, attempt)
        if samples is not None:
            return samples
    raise ValueError(
        f"the parameter space yields no acceptable tumour in {MAX_ATTEMPTS} draws: widen its "
        "ranges or its size limits"
    )


def _attempt(tissue: Tissue, plan: Plan, run: int, attempt: int) -> list[Sample] | None:
    """The samples of one draw of a run; None if one of them is not acceptable."""
    space = plan.space
    draw = find_sampler(space.sampler).draw(tissue, space, plan.seed, run, attempt)
    volumes = draw.volumes_ml
    result = simulate(
        tissue,
        draw.parameters,
        model=plan.model,
        thresholds=plan.thresholds,
        snapshot_ml=volumes,
        # Without target volumes, a run that passes the largest one is not acceptable any more.
        stop_ml=volumes[-1] if volumes else math.nextafter(space.whole_ml.high, math.inf),
        accuracy=plan.accuracy,
    )
    if volumes:
        grown = [(snapshot.days, snapshot) for snapshot in result.snapshots]
    elif result.status is Status.STOPPED_AT_VOLUME:
        grown = []
    else:
        grown = [(draw.parameters.days, result.final)]
    if result.status is Status.NOT_FINITE or len(grown) < space.snapshots_per_run:
        return None
    samples = []
    ml = tissue.grid.voxel_ml
    for days, snapshot in grown:
        parameters = _into_ranges(dataclasses.replace(draw.parameters, days=days), space)
        if (
            parameters is None
            or not space.whole_ml.holds(snapshot.whole_voxels * ml)
            or snapshot.core_voxels * ml < space.core_min_ml
        ):
            return None
        samples.append(Sample(parameters, snapshot, attempt))
    return samples


def _into_ranges(parameters: GrowthParameters, space: ParameterSpace) -> GrowthParameters | None:
    """The growth scaled by the power of two nearest to 1 that brings all three into their ranges.

    A power of two changes no digit of dw T and rho T: the scaled parameters reproduce the density
    exactly.
    """
    for exponent in sorted(range(-8, 9), key=abs):
        scaled = parameters.scaled(2.0**exponent)
        if (
            space.dw.holds(scaled.dw)
            and space.rho.holds(scaled.rho)
            and space.days.holds(scaled.days)
        ):
            return scaled
    return None
