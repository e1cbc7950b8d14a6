"""The strategies by name: how each is made ready for a database, and how it is opened.

Modules that need an extra are imported only when their strategy is asked for.
"""

from __future__ import annotations

from types import MappingProxyType

from ...dbgen.machine.progress import Bars, no_bars
from ...errors import InputError
from ..index.index import Index
from . import downsampled
from .base import Strategy
from .direct import Direct
from .naive import Naive
from .store import is_ready, verify_files

STRATEGIES = MappingProxyType(
    {
        "direct": "exact search",
        "naive": "the parallel for-loop over all stored volumes",
        "ds64": "Dice of every second voxel along each axis",
        "ds32": "Dice of every fourth voxel along each axis",
        "vae": "latent vectors of variational autoencoders",
        "ae": "latent vectors of autoencoders",
        "bf-hash": "codes of autoencoders with a Bi-half layer",
        "radiomics": "centre of mass and shape features, raw",
        "radiomics-standardised": "centre of mass and shape features, standardised",
    }
)
"""What each compares, in the order of the paper's Table 1."""

LEARNED = ("vae", "ae", "bf-hash")
STATELESS = ("direct", "naive")


def check_name(name: str) -> None:
    """Refuse the name of an unknown strategy.

    Raises
    ------
    InputError
        If there is no such strategy; the message lists all.
    """
    if name not in STRATEGIES:
        raise InputError(f"unknown strategy {name!r}: choose one of {', '.join(STRATEGIES)}")


def needs_preparation(index: Index, name: str) -> bool:
    """Whether `prepare_strategy` has to run before a strategy can be opened.

    Parameters
    ----------
    index : Index
    name : str
        A key of `STRATEGIES`.

    Returns
    -------
    bool
    """
    check_name(name)
    return name not in STATELESS and not is_ready(index, name.removesuffix("-standardised"))


def verify_strategy(index: Index, name: str) -> None:
    """See that what a strategy has stored is what was stored.

    Parameters
    ----------
    index : Index
    name : str
        A key of `STRATEGIES`; one that is ready.

    Raises
    ------
    InputError
        If a file was altered; the message names it and the command that makes it again.
    """
    check_name(name)
    if name not in STATELESS:
        verify_files(index, name.removesuffix("-standardised"))


def prepare_strategy(
    index: Index,
    name: str,
    *,
    preset: str = "small",
    seed: int = 0,
    bars: Bars = no_bars,
) -> None:
    """Make a strategy ready for a database: train its encoders or compute what it stores.

    Parameters
    ----------
    index : Index
    name : str
        One of `STRATEGIES`.
    preset, seed
        Settings of a learned strategy; see `learned.train`.
    bars : callable(task, unit), optional
        Makes progress bars.

    Raises
    ------
    InputError
        If the name or the preset is unknown, or the database too small to learn from.
    ImportError
        If the strategy's extra is not installed; the message names the command.
    """
    check_name(name)
    if name in downsampled.FACTORS:
        with bars(name, "outlines read") as progress:
            downsampled.prepare(index, name, progress=progress)
    elif name.startswith("radiomics"):
        from . import radiomics

        with bars("radiomics", "tumours") as progress:
            radiomics.prepare(index, progress=progress)
    elif name in LEARNED:
        from . import learned

        learned.train(index, name, preset=preset, seed=seed, bars=bars)


def check_preparation(index: Index, name: str, *, preset: str = "small") -> None:
    """See, without work, that `prepare_strategy` can begin.

    Raises
    ------
    InputError
        As `prepare_strategy`.
    """
    check_name(name)
    if name.startswith("radiomics"):
        from . import radiomics  # noqa: F401 - refuses where its extra is not installed
    elif name in LEARNED:
        from . import learned

        learned.check_trainable(index, preset)


def open_strategy(index: Index, name: str) -> Strategy:
    """Open a strategy for the database of an index.

    Parameters
    ----------
    index : Index
    name : str
        A key of `STRATEGIES`.

    Returns
    -------
    Strategy

    Raises
    ------
    InputError
        If the name is unknown, or what is stored was made for another state of the database.
    FileNotFoundError
        If the strategy was not prepared; the message names the command.
    ImportError
        If the strategy's extra is not installed; the message names the command.
    """
    check_name(name)
    if name == "direct":
        return Direct(index)
    if name == "naive":
        return Naive(index)
    if name in downsampled.FACTORS:
        return downsampled.Downsampled.open(index, name)
    if name.startswith("radiomics"):
        from .radiomics import Radiomics

        return Radiomics.open(index, name)
    from .learned import Learned

    return Learned.open(index, name)
