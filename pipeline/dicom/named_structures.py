"""Which structures of a DICOM SEG or RTSTRUCT are the outlines; never guessed from their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import InputError
from ..images.labels import LabelConvention

CORE_LABEL, REST_LABEL = 2, 1

STRUCTURES = LabelConvention(
    "structures", frozenset({CORE_LABEL}), frozenset({CORE_LABEL, REST_LABEL})
)
"""Labels of the outlines that are read: 2 in the core, 1 in the rest of the whole tumour."""


@dataclass(frozen=True)
class StructureNames:
    """Names of structures, as `structure_names` checks them.

    Attributes
    ----------
    core : tuple of str
        Structures that together are the core; empty without a core.
    whole : tuple of str
        Structures that, together with the core, are the whole tumour.
    """

    core: tuple[str, ...]
    whole: tuple[str, ...]


def structure_names(
    core: Sequence[str] | None, whole: Sequence[str] | None
) -> StructureNames | None:
    """The structures of core and whole tumour; None where none is named.

    Raises
    ------
    InputError
        If only structures of the core are given, or a name is empty.
    """
    if core is None and whole is None:
        return None
    names = StructureNames(_stripped(core or ()), _stripped(whole or ()))
    if not names.whole:
        raise InputError(
            "--whole-structures: the structures of the whole tumour are needed beside those of the "
            "core: name at least one, as in --core-structures GTV --whole-structures GTV,Edema"
        )
    if not all((*names.core, *names.whole)):
        raise InputError(
            "--core-structures, --whole-structures: expected names with commas, got an empty one"
        )
    return names


def find_structure(wanted: str, held: Iterable[str], name: str) -> str:
    """A structure's name as a file has it; capitals and spaces around do not matter.

    Raises
    ------
    InputError
        If there is none of that name, or more than one.
    """
    every = list(held)
    exact = [each for each in every if each.strip() == wanted]
    found = exact or [each for each in every if each.strip().casefold() == wanted.casefold()]
    if len(found) != 1:
        known = ", ".join(map(repr, every)) or "no structure"
        is_shared = len(set(found)) < len(found)
        advice = "export it with a name of its own for each" if is_shared else "name one of these"
        raise InputError(
            f"{name}: expected one structure {wanted!r}, got {len(found) or 'none'}; it holds "
            f"{known}: {advice}"
        )
    return found[0]


def _stripped(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in names)
