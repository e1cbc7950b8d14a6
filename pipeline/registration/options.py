"""The options of a registration, checked."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from ...errors import InputError

Kind = Literal["syn", "affine", "rigid", "none"]
"""How far the patient may be bent: by a diffeomorphism, by 12 parameters, by 6, or not at all."""

MOST_SEED = 2**31 - 1
"""ANTs takes a C int, and 0 for none."""

KINDS: tuple[Kind, ...] = get_args(Kind)


def check_registration_options(
    *, kind: str = "syn", resolution_mm: Any = 2.0, seed: Any = 1
) -> Kind:
    """Refuse options that `register` cannot use, before any work; return the kind.

    Raises
    ------
    InputError
        If an option is out of range; the message says what was expected.
    """
    known = next((name for name in KINDS if name == kind), None)
    if known is None:
        raise InputError(f"registration: expected one of {', '.join(KINDS)}, got {kind!r}")
    if not (isinstance(resolution_mm, int | float | np.number) and 1 <= resolution_mm <= 4):
        raise InputError(f"resolution: the registration works at 1 to 4 mm, got {resolution_mm} mm")
    if not (isinstance(seed, int | np.integer) and 1 <= seed <= MOST_SEED):
        raise InputError(f"seed: a whole number from 1 to {MOST_SEED}, got {seed}")
    return known
