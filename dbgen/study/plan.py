"""What decides every sample of a database."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atlas import Atlas
from ...errors import InputError
from ...paths import StrPath
from ...solver import (
    SCHEME,
    Accuracy,
    GrowthParameters,
    OriginError,
    Thresholds,
    Tissue,
)
from ...solver.models import describe_model, find_model, recall_model
from ...solver.models.registry import DEFAULT
from .space import ParameterSpace

if TYPE_CHECKING:
    from ...solver import GrowthModel


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

    Raises
    ------
    InputError
        If the seed is out of range.
    """

    space: ParameterSpace = field(default_factory=ParameterSpace)
    seed: int = 0
    model: GrowthModel = field(default_factory=lambda: find_model(DEFAULT))
    thresholds: Thresholds = field(default_factory=Thresholds)
    accuracy: Accuracy = field(default_factory=Accuracy)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is a whole number from 0 to 2^32 - 1, got {self.seed}")

    def require_origins(self, tissue: Tissue) -> None:
        """See that tumours can begin where the space lets them.

        Raises
        ------
        OriginError
            If an origin of the space lies outside the tissue.
        """
        for origin in self.space.origin_mm or ():
            try:
                tissue.nearest_voxel(origin)
            except OriginError as error:
                raise OriginError(f"origin_mm: {error}") from None

    def require_ends(self, tissue: Tissue) -> None:
        """See that each growth of the space comes to its end (see `solver.Accuracy.require_end`).

        Raises
        ------
        InputError
            If the fastest of the space, and the longest, would take too many steps.
        """
        from ...solver.marching import require_end  # here: it imports JAX

        x, y, z = tissue.grid.to_world(tissue.voxels[0]).tolist()
        most = GrowthParameters(
            (x, y, z), self.space.dw.high, self.space.rho.high, self.space.days.high
        )
        try:
            require_end(tissue, most, model=self.model, accuracy=self.accuracy)
        except InputError as error:
            raise InputError(f"the largest dw, rho and days of the space: {error}") from None

    def describe(self, atlas: Atlas) -> dict[str, Any]:
        """The plan in plain values, as `database.json` stores it for a database of an atlas."""
        space = self.space.to_dict()
        sampler = space.pop("sampler")
        return {
            "space": space,
            "sampler": sampler,
            "seed": self.seed,
            "model": describe_model(self.model),
            "thresholds": dataclasses.asdict(self.thresholds),
            "scheme": SCHEME,
            "accuracy": dataclasses.asdict(self.accuracy),
            "atlas": {"name": atlas.name, "sha256": atlas.checksum},
        }

    @classmethod
    def from_description(cls, plan: dict[str, Any]) -> Plan:
        """The plan that `describe` wrote.

        Raises
        ------
        InputError
            If the sampler is unknown here, or the growth model cannot be made again (see
            `recall_model`).
        """
        return cls(
            space=ParameterSpace.from_dict(plan["space"] | {"sampler": plan["sampler"]}),
            seed=plan["seed"],
            model=recall_model(plan["model"]),
            thresholds=Thresholds(**plan["thresholds"]),
            accuracy=Accuracy(**plan["accuracy"]),
        )

    @classmethod
    def from_toml(
        cls,
        path: StrPath,
        *,
        seed: int = 0,
        model: GrowthModel | None = None,
        settings: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Plan:
        """A plan from a TOML file: a space, and a growth model in its table `model`.

        The table holds the model's `name` and its settings; without it the model is the default.

        Parameters
        ----------
        path : str or os.PathLike
        seed : int
        model : GrowthModel, optional
            Replaces the file's.
        settings : mapping, optional
            Replace settings of the file's model.
        **changes
            Replace the file's values of the space.

        Raises
        ------
        InputError
            If the file is not TOML or does not describe a plan; the message names the file.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
            table = values.pop("model", {"name": DEFAULT})
            if not isinstance(table, dict) or not isinstance(table.get("name"), str):
                raise InputError(
                    "the model is a table of its name and its settings, as in "
                    f'[model] name = "{DEFAULT}", got {table!r}'
                )
            space = ParameterSpace.from_dict(values | changes)
            chosen = model or find_model(table.pop("name"), **(table | dict(settings or {})))
            return cls(space=space, seed=seed, model=chosen)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, InputError) as error:
            raise InputError(f"{path}: {error}") from None
