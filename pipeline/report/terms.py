"""What the technical terms of a page mean, for the reader who is new to them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

TERMS = {
    "Dice": "Overlap of two outlines: 1 is perfect, 0 is none.",
    "brain Dice": "Overlap of the patient's brain with the atlas's after registration, 0 to 1.",
    "score": "Sum of the Dice of core and whole tumour, 0 to 2.",
    "core": "What contrast shows: enhancing and necrotic tumour. By default a density from 0.6 on.",
    "whole tumour": "What FLAIR shows: the core, and oedema around it. By default a density from "
    "0.2 on.",
    "density": "Density of tumour cells: 0 is none, 1 is tissue full of them.",
    "isoline": "Line along which the density has one value.",
    "λ": "Infiltration length √(Dw/ρ) in mm: how wide the front of the tumour is.",
    "ρT": "Growth, no unit: how many times sparse cells have multiplied by e.",
    "sample": "Number of the tumour in the database.",
    "residual": "How far a density is from a front that the growth equation could have made: 0 for "
    "an ideal front, 1 for any drawing.",
    "geodesic": "By the time that a front takes through tissue: it is fast in white matter, "
    "slower in grey matter and slowest in fluid.",
    "Jacobian": "Local change of volume by the registration: 1 is none; below 0 the map folds.",
    "ROC-AUC": "How well a ranking puts the recurrence before the rest of the brain: 1 is perfect, "
    "0.5 is chance.",
    "average precision": "Mean share of recurrence among the highest ranked voxels: 1 is perfect.",
    "recurrence": "Tumour in a follow-up scan.",
    "under-resolved": "The front is narrower than the voxel size of the simulation, 2 mm, so that "
    "its speed is less certain.",
}
"""Terms and their meanings, in the order of the page's list."""

_MEANING = {term.lower(): meaning for term, meaning in TERMS.items()}
_TERM = re.compile(
    "|".join(rf"\b{re.escape(term)}\b" for term in sorted(TERMS, key=len, reverse=True)),
    re.IGNORECASE,
)


def explained(text: object) -> Markup:
    """HTML of a text whose terms show their meaning under the pointer.

    Parameters
    ----------
    text : object
        The text, which is escaped unless it is `Markup`.

    Returns
    -------
    Markup

    Examples
    --------
    >>> explained("a & isoline")
    Markup('a &amp; <abbr title="Line along which the density has one value.">isoline</abbr>')
    """
    return Markup(_TERM.sub(_with_meaning, str(escape(text))))


def _with_meaning(term: re.Match[str]) -> str:
    meaning = _MEANING.get(term[0].lower())  # none of letters that only look alike, as İ and i
    return term[0] if meaning is None else f'<abbr title="{escape(meaning)}">{term[0]}</abbr>'
