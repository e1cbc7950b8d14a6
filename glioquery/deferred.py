"""Public names of a package whose modules are imported on first use.

JAX takes 100 MB and a second to import. A search needs tissue, outlines and parameters from the
packages that simulate, but no simulation; it should not pay for one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def deferred(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__` (PEP 562).

    Parameters
    ----------
    package : str
        The package's `__name__`.
    names : mapping of str to tuple of str
        For each module (with a leading dot), the names that it provides. Modules and their packages
        are found by name, too. No module may bear a name that it provides: once imported, the
        module would hide it.
    """
    namespace = vars(sys.modules[package])
    homes = {name: module for module, held in names.items() for name in held}
    modules = {module.split(".")[1] for module in names}

    def find(name: str) -> Any:
        if name in homes:
            namespace[name] = getattr(importlib.import_module(homes[name], package), name)
            return namespace[name]
        if name in modules:
            return importlib.import_module(f".{name}", package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted(namespace.keys() | homes.keys())

    return find, listed
