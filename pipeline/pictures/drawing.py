"""Matplotlib, in its own settings; the one module that imports it.

The user's settings for other plots (a backend, TeX, resolutions, styles, a matplotlibrc) neither
change nor break the pictures here, and those plots stay as they were. Figures are objects with a
canvas of their own; pyplot is never used.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ...errors import one_line
from ...solver.own_settings import Shared, own_arithmetic

_backend = os.environ.pop("MPLBACKEND", None)  # refused by its import, if unknown
try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap, LogNorm, to_hex, to_rgb
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend
if _backend:
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend

__all__ = [
    "Axes",
    "Figure",
    "Line2D",
    "ListedColormap",
    "LogNorm",
    "MaxNLocator",
    "drawn",
    "new_figure",
    "own_style",
    "plain_log_ticks",
    "png_of",
    "to_hex",
    "to_rgb",
]

T = TypeVar("T")

COMPRESSION = 3
"""Level of PNG: half the time of the usual one, in files that are a tenth larger."""


@contextlib.contextmanager
def _own_parameters() -> Iterator[None]:
    parameters = matplotlib.rcParams
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    backend = dict.__getitem__(parameters, "backend")  # as it is: asked for, it would be looked for
    with matplotlib.rc_context(own):
        # Other libraries that draw look whether the backend works.
        dict.__setitem__(parameters, "backend", "agg")
        try:
            yield
        finally:
            dict.__setitem__(parameters, "backend", backend)


_shared_parameters = Shared(_own_parameters)


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Matplotlib's default settings, for everything that the block draws."""
    with own_arithmetic(), _shared_parameters():
        yield


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """A figure of a size in inches, unknown to pyplot."""
    figure = Figure(figsize=(width, height), dpi=110, **settings)
    FigureCanvasAgg(figure)
    return figure


def plain_log_ticks(axis: Any, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Write 1, 2, 5, 10 on a logarithmic axis rather than powers of ten.

    Parameters
    ----------
    axis : XAxis or YAxis
    subs : sequence of float
        Multiples of each power of ten that have a tick.
    """
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def png_of(figure: Figure) -> bytes:
    """A figure as PNG; the figure loses its images and isolines."""
    stream = io.BytesIO()
    level = {"compress_level": COMPRESSION}
    figure.savefig(stream, format="png", metadata={"Software": None}, pil_kwargs=level)
    for axes in figure.axes:  # which refer to their figure, so that all of it stays for long
        for artist in (*axes.images, *axes.collections):
            artist.remove()
    return stream.getvalue()


def drawn(what: str, draw: Callable[[], T], failures: list[str]) -> T | None:
    """The picture that a function draws; None if it fails, and a sentence says why.

    Parameters
    ----------
    what : str
        Begins the sentence.
    draw : callable
    failures : list of str
        List that receives the sentence.
    """
    try:
        return draw()
    except Exception as error:  # whatever it is: no result is lost to a picture of it
        failures.append(f"{what} is missing ({one_line(error)}).")
        return None
