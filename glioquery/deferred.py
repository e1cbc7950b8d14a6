"""Public names of a package whose modules are imported when they are first asked for.

JAX takes 100 MB and a second to import. A search needs tissue, outlines and parameters from the
packages that simulate, but no simulation; it should not pay for one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def deferred(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__` (PEP 562).

    Parameters
    ----------
    package : str
        The package's `__name__`.
    modules : mapping of str to str
        The module, with a leading dot, that each name comes from; modules are found by name, too.
        None may have the name of what it holds: once imported, it would stand in its place.
    """
    namespace = vars(sys.modules[package])

    def find(name: str) -> Any:
        if f".{name}" in modules.values():
            return importlib.import_module(f".{name}", package)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name], package), name)
        namespace[name] = value
        return value

    def names() -> list[str]:
        return sorted(namespace.keys() | modules.keys())

    return find, names
