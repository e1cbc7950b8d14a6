"""The growth that the map shows: the best match, or a growth that overlaps the patient better.

The candidates are, in this order, the best match, its refinement if the options ask for it, and
several tumours where the core has several components. The largest sum of the Dice wins; among
equals the first, which is the simplest.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...dbgen import Database
from ...query import Index, search
from ...solver import GrowthParameters, TumorDensity, TumorMasks
from ...solver.declarations import NOTHING_DECLARED, Declared
from .coordinates import free_parameters
from .fitted_thresholds import FittedThresholds, fit_thresholds
from .matches import RankedMatch, is_under_resolved
from .refinement import N_STARTS, NoGrowthError, Refinement, choose_starts, refine
from .several_tumors import combine, join, split_outlines
from .trajectory import Target

PLAUSIBLE_MEAN_DICE = 0.45
"""Mean Dice over the non-empty outlines below which a growth is not like the patient's tumour."""

N_RANKED = 60
"""Matches among which the starts of a refinement are chosen."""

N_STARTS_OF_PART = 2
"""Starts for each of several tumours."""


class AnswerSource(enum.Enum):
    """The source of the answer; the value is a phrase for people."""

    MATCH = "best match"
    REFINEMENT = "refined growth"
    SEVERAL = "several tumours"
    SEVERAL_REFINED = "several tumours, refined"
    OWN_ANATOMY = "growth in the patient's own anatomy"


@dataclass(frozen=True, eq=False)
class Answer:
    """A density and the growths behind it.

    Attributes
    ----------
    source : AnswerSource
    growths : tuple of GrowthParameters
        One, or one for each of several tumours, that of the largest core first.
    score, dice_whole : float
        Overlap with the patient's outlines, as in `Match`.
    dice_core : float or None
        None where these outlines have no core; the score is the Dice of the whole then.
    density : TumorDensity
        On the grid of the anatomy it grew in, the atlas's or the patient's.
    declared : Declared
        What the growth model declares of its parameters.
    """

    source: AnswerSource
    growths: tuple[GrowthParameters, ...]
    score: float
    dice_core: float | None
    dice_whole: float
    density: TumorDensity
    declared: Declared = NOTHING_DECLARED

    @property
    def is_on_atlas(self) -> bool:
        """Whether it grew on the atlas; else in the patient's own anatomy."""
        return self.source is not AnswerSource.OWN_ANATOMY

    @property
    def widest_lambda_mm(self) -> float:
        """Lambda of the widest of its fronts."""
        return max(growth.lambda_mm for growth in self.growths)

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` and the report show them.

        Returns
        -------
        dict
        """
        return {
            "source": self.source.value,
            "space": "SRI24" if self.is_on_atlas else "patient",
            "score": self.score,
            "dice_core": self.dice_core,
            "dice_whole": self.dice_whole,
            "growths": [growth_row(growth, self.density, self.declared) for growth in self.growths],
        }


@dataclass(frozen=True, eq=False)
class Findings:
    """The answer and what was found on the way to it.

    Attributes
    ----------
    answer : Answer
    tried : tuple of Answer
        All answers that were compared, the best match first.
    refinement : Refinement or None
    fitted : FittedThresholds or None
    target : Target
        The patient's outlines on the atlas, and the model that grew into them.
    matches : tuple of RankedMatch
        The stored tumours most like the patient's, best first.
    notices : tuple of str
        Attempts that were not possible, and why.
    """

    answer: Answer
    tried: tuple[Answer, ...]
    refinement: Refinement | None
    fitted: FittedThresholds | None
    target: Target
    matches: tuple[RankedMatch, ...]
    notices: tuple[str, ...] = ()


def growth_row(
    growth: GrowthParameters, density: TumorDensity, declared: Declared
) -> dict[str, Any]:
    """A growth's plain values, and whether its front is narrower than a voxel."""
    return {**growth.row(declared), "under_resolved": is_under_resolved(growth, density.grid)}


def find_answer(
    database: Database,
    index: Index,
    masks: TumorMasks,
    matches: Sequence[RankedMatch],
    *,
    refined: bool,
    thresholds_fitted: bool,
    fitted_parameters: Sequence[str] = (),
) -> Findings:
    """Go beyond the best match.

    Parameters
    ----------
    database : Database
    index : Index
    masks : TumorMasks
        The patient's outlines on the atlas.
    matches : sequence of RankedMatch
        Best first.
    refined : bool
        Whether to refine.
    thresholds_fitted : bool
        Whether to fit the thresholds after that.
    fitted_parameters : sequence of str
        Parameters of the model that are refined as well (see `coordinates.free_parameters`).

    Returns
    -------
    Findings
        The answer and the way to it.
    """
    best = database.density(matches[0].match.sample)
    free = free_parameters(database, fitted_parameters)
    target = Target(masks, database.tissue, database.model, database.thresholds, free)
    tried = [measure(target, AnswerSource.MATCH, (matches[0].parameters,), best)]
    refinement = fitted = None
    notices = []
    if refined:
        starts = choose_starts(_ranked(database, index, masks), N_STARTS)
        try:
            refinement = refine(target, starts, accuracy=database.accuracy)
            found = refinement.best
            tried.append(
                measure(target, AnswerSource.REFINEMENT, (found.parameters,), refinement.density)
            )
        except NoGrowthError as error:
            notices.append(f"The refinement found nothing: {error}.")
    if refinement is not None and thresholds_fitted:
        fitted = fit_thresholds(target, refinement.best, accuracy=database.accuracy)
        if fitted.failure is not None:
            notices.append(f"The fit of the thresholds ended early: {fitted.failure}.")
    several = combine(database, index, masks)
    if several is not None:
        growths = tuple(database.growth_parameters(sample) for sample in several.samples)
        union = join([database.density(sample) for sample in several.samples])
        tried.append(measure(target, AnswerSource.SEVERAL, growths, union))
        if refined:
            joint, n_kept = _refined_parts(database, index, target, several.samples)
            tried.append(joint)
            if n_kept:
                notices.append(
                    f"{n_kept} of {len(growths)} tumours could not be refined and stay as stored: "
                    "nothing grows to the volume of their part."
                )
    answer = max(tried, key=lambda found: found.score)
    return Findings(
        answer, tuple(tried), refinement, fitted, target, tuple(matches), tuple(notices)
    )


def _ranked(database: Database, index: Index, masks: TumorMasks) -> list[GrowthParameters]:
    matches = search(index, masks, k=N_RANKED)
    return [database.growth_parameters(match.sample) for match in matches]


def measure(
    target: Target,
    source: AnswerSource,
    growths: tuple[GrowthParameters, ...],
    density: TumorDensity,
) -> Answer:
    """An answer, with its overlap with a target's outlines."""
    core, whole = target.dice_of(density)
    return Answer(
        source,
        growths,
        score=core + whole,
        dice_core=core if target.masks.core.any() else None,
        dice_whole=whole,
        density=density,
        declared=Declared.by(target.model),
    )


def _refined_parts(
    database: Database, index: Index, target: Target, samples: Sequence[int]
) -> tuple[Answer, int]:
    """Each of several tumours refined on its own part of the outlines.

    One that cannot be refined stays the stored tumour of its part, in `samples`; the number of
    these is returned as well.
    """
    growths, densities = [], []
    n_kept = 0
    for part, sample in zip(split_outlines(target.masks), samples, strict=True):
        refinement = _refined_part(database, index, target, part)
        if refinement is None:
            n_kept += 1
            growths.append(database.growth_parameters(sample))
            densities.append(database.density(sample))
        else:
            growths.append(refinement.best.parameters)
            densities.append(refinement.density)
    answer = measure(target, AnswerSource.SEVERAL_REFINED, tuple(growths), join(densities))
    return answer, n_kept


def _refined_part(
    database: Database, index: Index, target: Target, part: TumorMasks
) -> Refinement | None:
    """The refinement on one part of the outlines; None where nothing grows to its volume."""
    if not (part.whole & target.tissue.domain).any():
        return None
    own = replace(target, masks=part)
    starts = choose_starts(_ranked(database, index, part), N_STARTS_OF_PART)
    try:
        return refine(own, starts, accuracy=database.accuracy)
    except NoGrowthError:
        return None
