"""What decides every sample of a database."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Collection, Mapping
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
    Treatment,
)
from ...solver.declarations import (
    COMBINATIONS,
    COMMON,
    combinations_of,
    own_parameters,
    own_values,
    unknown_parameter,
)
from ...solver.formulas import Formula
from ...solver.listed_treatments import ListedTreatment, list_treatments
from ...solver.models import describe_model, find_model, recall_model
from ...solver.models.registry import DEFAULT, require_free_names
from .samplers import find_sampler
from .sampling import point_of_sweep
from .space import ParameterSpace, check_common
from .table import read_runs
from .values import Choices, default_values

if TYPE_CHECKING:
    from ...solver import GrowthModel


TIME = "days"
"""The parameter that is unknown while a run is followed through volumes."""

TAKEN = frozenset(
    {
        *(one.name for one in COMMON),
        *(one.name for one in COMBINATIONS),
        *(at.name for at in dataclasses.fields(ParameterSpace)),
        *("model", "treatment"),  # tables of a study
        *("sample", "run", "attempt", "core_ml", "core_bits", "whole_bits", "ventricle_bits"),
        *("density", "x", "y", "z"),  # these and those above are variables of a shard
        *("voxel", "voxel_index", "voxel_byte", "axis"),  # and of all shards as one dataset
        "split",  # a column of an exported table
    }
)
"""Names that no model may give what it declares: a study or a database means something else."""


@dataclass(frozen=True)
class Plan:
    """Everything on which the samples depend.

    Attributes
    ----------
    space : ParameterSpace
        What is drawn. Parameters that the model declares to be drawn are added where the space does
        not name them, unless the sampler sweeps.
    seed : int
        Seed of the random draws.
    model : GrowthModel
    thresholds : Thresholds
        Densities of the stored outlines.
    accuracy : Accuracy
        Accuracy of the solver.
    treatments : tuple of ListedTreatment
        Treatments of every growth, on days since its seed; for a sweep alone, and for a model with
        one population.

    Raises
    ------
    InputError
        If the seed is out of range, the space names a parameter that the model does not declare, or
        a value that it does not take, the treatments do not go with the sampler or the model, or
        the model declares a name that is taken (`TAKEN`).
    """

    space: ParameterSpace = field(default_factory=ParameterSpace)
    seed: int = 0
    model: GrowthModel = field(default_factory=lambda: find_model(DEFAULT))
    thresholds: Thresholds = field(default_factory=Thresholds)
    accuracy: Accuracy = field(default_factory=Accuracy)
    treatments: tuple[ListedTreatment, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.seed < 2**32 and self.seed % 1 == 0):
            raise InputError(f"seed is a whole number from 0 to 2^32 - 1, got {self.seed}")
        object.__setattr__(self, "seed", int(self.seed))  # of no type that JSON does not know
        require_free_names(self.model, TAKEN, self.model.name)
        if self.treatments:
            self._require_treatable()
        self._complete_space()
        for formula in self.space.formulas:
            for name in sorted(formula.names - set(self.known_names)):
                raise InputError(
                    f"where, {formula.text!r}: {unknown_parameter(name, self.known_names)}"
                )
        if find_sampler(self.space.sampler).sweeps and self.space.formulas:
            self._require_conditions()

    def _require_treatable(self) -> None:
        """See that growths are taken as they are: others are scaled in time, or end at a volume."""
        from ...solver.treated_state import require_treatable  # here: it imports JAX

        if not find_sampler(self.space.sampler).sweeps:
            raise InputError(
                "treatments are given on days, and only a sweep takes its growths in real days: "
                f"choose the sampler grid or table, got {self.space.sampler}"
            )
        require_treatable(self.model)

    @property
    def events(self) -> list[Treatment]:
        """The treatments as the solver takes them."""
        return [one.on(one.day) for one in self.treatments]

    def _complete_space(self) -> None:
        """Add the drawn ones of the model's own parameters to the space, in the model's order."""
        space, declared = self.space, own_parameters(self.model)
        names = [p.name for p in declared]
        for name in space.own:
            if name not in names:
                raise unknown_parameter(name, [*(p.name for p in COMMON), *names])
        own = {}
        for one in declared:
            asked = space.own.get(one.name)
            if asked is None and not find_sampler(space.sampler).sweeps:
                asked = default_values(one)
            if asked is None:
                continue
            for value in asked.values if isinstance(asked, Choices) else (asked.low, asked.high):
                one.require(value)
            own[one.name] = asked
        if list(own.items()) != list(space.own.items()):
            object.__setattr__(self, "space", dataclasses.replace(space, own=own))

    @property
    def known_names(self) -> list[str]:
        """What a condition may name: parameters, and combinations of them."""
        return [
            one.name
            for some in (COMMON, own_parameters(self.model), combinations_of(self.model))
            for one in some
        ]

    @property
    def names_of_time(self) -> set[str]:
        """The `known_names` whose values are unknown until a run has ended."""
        after = {c.name for c in combinations_of(self.model) if TIME in Formula(c.formula).names}
        return {TIME} | after

    def values_of(self, growth: GrowthParameters) -> dict[str, float]:
        """The values of all parameters of a growth, and of the combinations of them.

        Parameters
        ----------
        growth : GrowthParameters

        Returns
        -------
        dict of str to float
        """
        return growth.values_with(combinations_of(self.model))

    def with_own(self, growth: GrowthParameters) -> GrowthParameters:
        """A growth with the model's values of the own parameters that it leaves open.

        Parameters
        ----------
        growth : GrowthParameters

        Returns
        -------
        GrowthParameters
        """
        return dataclasses.replace(growth, own=own_values(self.model) | dict(growth.own))

    def _require_conditions(self) -> None:
        """See that all conditions hold at each point of a sweep."""
        for run in range(self.space.n_points or 0):
            growth = point_of_sweep(self.space, run)
            values = self.values_of(self.with_own(growth))
            for formula in self.space.formulas:
                if not formula(values):
                    given = ", ".join(f"{n} = {values[n]:g}" for n in sorted(formula.names))
                    raise InputError(
                        f"where, {formula.text!r}: does not hold at point {run} of the sweep "
                        f"({given}), which keeps each of its points: leave that one out"
                    )

    def require_origins(self, tissue: Tissue) -> None:
        """See that tumours can begin where the space lets them.

        Parameters
        ----------
        tissue : Tissue
            Where the tumours grow.

        Raises
        ------
        OriginError
            If an origin of the space lies outside the tissue.
        """
        listed = [("origin_mm", at) for at in self.space.origin_mm or ()]
        if self.space.table is not None:
            listed = [
                (f"row {row + 1} of the table", self.space.table.growth(row).origin_mm)
                for row in range(len(self.space.table))
            ]
        for where, origin in listed:
            try:
                tissue.nearest_voxel(origin)
            except OriginError as error:
                raise OriginError(f"{where}: {error}") from None

    def require_ends(self, tissue: Tissue) -> None:
        """See that each growth of the space comes to its end (see `solver.Accuracy.require_end`).

        Parameters
        ----------
        tissue : Tissue
            Where the tumours grow.

        Raises
        ------
        InputError
            If the fastest of the space, and the longest, would take too many steps.
        """
        from ...solver.marching import require_end  # here: it imports JAX

        x, y, z = tissue.grid.to_world(tissue.voxels[0]).tolist()
        high = {name: values.high for name, values in self.space.values().items()}
        most = GrowthParameters.of({"origin_x_mm": x, "origin_y_mm": y, "origin_z_mm": z} | high)
        try:
            require_end(tissue, most, model=self.model, accuracy=self.accuracy)
        except InputError as error:
            raise InputError(f"the largest dw, rho and days of the space: {error}") from None

    def drawn_anew(self, seed: int) -> Plan:
        """The plan of as many other tumours of the same space as one likes.

        A design ends with its points: in place of the sampler `latin-hypercube` its tumours are
        drawn independently, from the same distribution.

        Parameters
        ----------
        seed : int

        Returns
        -------
        Plan
        """
        space = self.space
        if find_sampler(space.sampler).has_points:
            space = dataclasses.replace(space, sampler="uniform", points=None)
        return dataclasses.replace(self, space=space, seed=seed)

    def describe(self, atlas: Atlas) -> dict[str, Any]:
        """The plan in plain values, as `database.json` stores it for a database of an atlas.

        Parameters
        ----------
        atlas : Atlas

        Returns
        -------
        dict
        """
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
            **({"treatments": [one.row() for one in self.treatments]} if self.treatments else {}),
        }

    @classmethod
    def from_description(cls, plan: dict[str, Any]) -> Plan:
        """The plan that `describe` wrote.

        Parameters
        ----------
        plan : dict
            As `describe` returns it.

        Returns
        -------
        Plan

        Raises
        ------
        InputError
            If the sampler is unknown here, or the growth model cannot be made again (see
            `recall_model`).
        """
        model = recall_model(plan["model"])
        values = plan["space"] | {"sampler": plan["sampler"]}
        return cls(
            space=ParameterSpace.from_dict(values, own_parameters(model)),
            seed=plan["seed"],
            model=model,
            thresholds=Thresholds(**plan["thresholds"]),
            accuracy=Accuracy(**plan["accuracy"]),
            treatments=(
                list_treatments(plan["treatments"], folder=None) if "treatments" in plan else ()
            ),
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
        """A plan from a TOML file: a space, a growth model in its table `model`, and treatments.

        The table holds the model's `name` and its settings; without it the model is the default.
        A `table` of runs is named relative to the file. Each table `[[treatment]]` is a treatment
        (see `solver.listed_treatments`).

        Parameters
        ----------
        path : str or os.PathLike
        seed : int
        model : GrowthModel, optional
            Replaces the file's model.
        settings : mapping, optional
            Replace settings of the file's model.
        **changes
            Replace the file's values of the space.

        Returns
        -------
        Plan

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
            treated = values.pop("treatment", None)
            treatments = () if treated is None else list_treatments(treated, folder=None)
            check_common(values | changes)
            name = table.pop("name")
            table = _beside(Path(path).parent, table)
            given = ({} if model else table) | dict(settings or {})
            chosen = model or find_model(name, **given)
            if isinstance(values.get("table"), str):
                values["table"] = Path(path).parent / values["table"]
            plan = cls.of_values(values | changes, seed=seed, model=chosen, given=given)
            return dataclasses.replace(plan, treatments=treatments)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, InputError) as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def of_values(
        cls,
        values: Mapping[str, Any],
        *,
        model: GrowthModel,
        seed: int = 0,
        given: Collection[str] = (),
    ) -> Plan:
        """A plan of the plain values of a space, and of a model.

        Parameters
        ----------
        values : mapping
            As `ParameterSpace.from_dict` takes them; a `table` may be a path.
        model : GrowthModel
        seed : int
        given : collection of str
            Names of the model's parameters that were given a value, which is not drawn.

        Returns
        -------
        Plan

        Raises
        ------
        InputError
            As `ParameterSpace` and `read_runs`, or if a parameter is given twice.
        """
        require_free_names(model, TAKEN, model.name)  # by name, a space tells what it is given
        own = own_parameters(model)
        values = dict(values)
        for declared in own:
            if declared.name in given and declared.name in values:
                raise InputError(
                    f"{declared.name} is given as a setting of the model and as a parameter of the "
                    "study: give it once"
                )
        table = values.get("table")
        if isinstance(table, str | os.PathLike):
            for name in ("origin_mm", *(p.name for p in (*COMMON, *own))):
                if name in values:
                    raise InputError(
                        f"{name} is given beside the table of runs {table}, which says all of each "
                        "run: give it there alone"
                    )
            runs = read_runs(table, own)
            values |= {"table": runs.to_dict(), "sampler": values.get("sampler", "table")}
        else:
            for declared in own:
                if declared.name in given and declared.drawn:
                    values[declared.name] = getattr(model, declared.name)
        return cls(ParameterSpace.from_dict(values, own), seed, model)


def _beside(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """A model's settings with files that lie beside their study named from wherever it is read."""

    def found(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: found(one) for key, one in value.items()}
        is_file = isinstance(value, str) and (folder / value).is_file()
        return str(folder / value) if is_file else value

    return {name: found(value) for name, value in settings.items()}
