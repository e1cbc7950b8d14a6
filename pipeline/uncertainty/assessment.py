"""How certain a patient's growth is, on the atlas or in the patient's own anatomy."""

from __future__ import annotations

from ...dbgen import Database
from ..fit.anatomy import OwnAnatomy
from ..fit.answer import Findings
from ..fit.coordinates import Coordinates
from .ensemble import Uncertainty, of_matches, of_refinement
from .interval_factors import Reach, Source, reach_of
from .members import Member


def assess(database: Database, findings: Findings) -> Uncertainty:
    """The uncertainty of findings: of the refinement if there is one, else of the matches.

    It is always the uncertainty of a single tumour.

    Parameters
    ----------
    database : Database
    findings : Findings

    Returns
    -------
    Uncertainty
        With maps on the atlas.
    """
    coordinates = findings.target.coordinates
    if findings.refinement is None:
        ranked = findings.matches
        return of_matches(
            database,
            [Member(match.parameters, match.match.score) for match in ranked],
            [match.match.sample for match in ranked],
            _reach_of(database, "matches", coordinates),
            coordinates,
        )
    return of_refinement(
        findings.target,
        findings.refinement,
        _reach_of(database, "refinement", coordinates),
    )


def assess_in_patient(database: Database, own: OwnAnatomy) -> Uncertainty:
    """The uncertainty of the growth in the patient's own anatomy, with maps on the tissue's grid.

    Parameters
    ----------
    database : Database
    own : OwnAnatomy

    Returns
    -------
    Uncertainty
        With maps on the tissue's grid.
    """
    return of_refinement(
        own.target,
        own.refinement,
        _reach_of(database, "own anatomy", own.target.coordinates),
        source="own anatomy",
    )


def _reach_of(database: Database, source: Source, coordinates: Coordinates) -> Reach:
    """How far the intervals reach for what these coordinates fit and try."""
    fitted, tried = ([one.name for one in free] for free in (coordinates.more, coordinates.tried))
    return reach_of(database, source, fitted, tried)
