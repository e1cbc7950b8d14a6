"""Which tumours a database is to hold: ranges of the parameters, limits of the visible size."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .sampling import find_sampler


@dataclass(frozen=True)
class Range:
    """An interval and how values are drawn from it.

    Attributes
    ----------
    low, high : float
        Ends, low <= high.
    scale : {'uniform', 'log-uniform'}
    """

    low: float
    high: float
    scale: str = "uniform"

    def __post_init__(self) -> None:
        low, high = float(self.low), float(self.high)
        if self.scale not in ("uniform", "log-uniform"):
            raise ValueError(f"scale is 'uniform' or 'log-uniform', got {self.scale!r}")
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"a range has finite ends with low <= high, got {low:g} to {high:g}")
        if low <= 0:
            raise ValueError(f"growth parameters are positive, got a range from {low:g}")

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        if self.scale == "uniform":
            return float(rng.uniform(self.low, self.high))
        return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))

    def at(self, share: float) -> float:
        """The value at a share in [0, 1] of the range, in its scale."""
        if self.scale == "uniform":
            value = self.low + share * (self.high - self.low)
        else:
            value = self.low * (self.high / self.low) ** share
        return min(max(value, self.low), self.high)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class ParameterSpace:
    """What is drawn for a run, and which tumours are kept.

    The defaults of dw, rho and days are those of Ezhov et al. 2023 (Learn-Morph-Infer), in mm; the
    size limits are like those of BraTS cases. The origin is uniform in the tissue.

    Attributes
    ----------
    dw : Range
        Diffusivity in white matter, mm^2/day.
    rho : Range
        Proliferation rate, 1/day.
    days : Range
        Time from seed to scan, days.
    whole_ml : Range
        Volume of the whole outline. Snapshots of a trajectory are spread over it uniformly in the
        cube root: a front of constant speed spends its time so.
    core_min_ml : float
        Least volume of the core outline.
    snapshots_per_run : int
        Tumours taken from each run of the solver, at different volumes; 1 for `uniform` and
        `sobol`.
    sampler : {'trajectory', 'uniform', 'sobol'}
        How tumours are drawn: `trajectory` follows each growth through the sizes and keeps several
        snapshots of it; `uniform` draws every tumour by itself; `sobol` does so evenly, by a
        scrambled Sobol sequence.

    Raises
    ------
    ValueError
        If a number is out of range, the sampler is unknown, or it takes one snapshot a run and
        more are asked for.
    """

    dw: Range = Range(0.02, 1.5)
    rho: Range = Range(0.002, 0.2)
    days: Range = Range(50, 1500)
    whole_ml: Range = Range(5, 300)
    core_min_ml: float = 0.5
    snapshots_per_run: int = 4
    sampler: str = "trajectory"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.core_min_ml) and self.core_min_ml >= 0):
            raise ValueError(f"core_min_ml is a volume >= 0, got {self.core_min_ml}")
        if not (isinstance(self.snapshots_per_run, int) and 1 <= self.snapshots_per_run <= 100):
            raise ValueError(
                f"snapshots_per_run is a number from 1 to 100, got {self.snapshots_per_run}"
            )
        if find_sampler(self.sampler).independent and self.snapshots_per_run != 1:
            raise ValueError(
                f"the sampler {self.sampler!r} draws every tumour by itself: snapshots_per_run "
                f"is 1, got {self.snapshots_per_run}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ParameterSpace:
        """A space from plain values, as in TOML or JSON; what is not named keeps its default.

        The default of `snapshots_per_run` is 1 for a sampler that draws every tumour by itself.

        Raises
        ------
        ValueError
            If a key is unknown or a value out of its range; the message names it.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}
        arguments: dict[str, Any] = {}
        for name, value in values.items():
            if name not in fields:
                raise ValueError(
                    f"unknown parameter {name!r} in the space: there are {', '.join(fields)}"
                )
            try:
                default_range = fields[name].default
                if isinstance(default_range, Range):
                    if not isinstance(value, dict) or not set(value) <= {"low", "high", "scale"}:
                        raise ValueError(
                            "a range is given as {low = ..., high = ..., scale = ...}, "
                            f"got {value}"
                        )
                    default = dataclasses.asdict(default_range)
                    arguments[name] = Range(**(default | value))
                else:
                    arguments[name] = value
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
        if "sampler" in arguments and find_sampler(arguments["sampler"]).independent:
            arguments.setdefault("snapshots_per_run", 1)
        return cls(**arguments)

    @classmethod
    def from_toml(cls, path: Path, **changes: Any) -> ParameterSpace:
        """A space from a TOML file with a table for each range.

        Parameters
        ----------
        path : Path
        **changes
            What replaces the file's values.

        Raises
        ------
        ValueError
            If the file is not TOML or does not describe a space; the message names the file.
        """
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")) | changes)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
