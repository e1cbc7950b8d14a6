"""What a person names as module:attribute, imported."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError


def import_named(name: str, what: str) -> Any:
    """Import what a person names.

    A script that runs is not imported again: its name stands for the module `__main__`.

    Parameters
    ----------
    name : str
        As module:attribute; the attribute may lie in a class, as Class.attribute.
    what : str
        What the name stands for, as the message says it: "growth model".

    Returns
    -------
    object
        The attribute.

    Raises
    ------
    InputError
        If there is no such module or attribute, or the module fails.
    """
    module_name, _, path = name.partition(":")
    if module_name == script_name():
        module_name = "__main__"
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{what} {name} cannot be imported ({error}): its module must be installed or lie in a "
            "folder on PYTHONPATH"
        ) from error
    except Exception as error:  # the module may raise anything
        raise InputError(
            f"{what} {name} cannot be imported, its module fails "
            f"({type(error).__name__}: {error}): mend the module"
        ) from error
    return found


def script_name() -> str | None:
    """Name under which the running script can be imported; None in a notebook or a console."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else None
