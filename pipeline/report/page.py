"""Pages without any reference to another file or address, made from `templates/`.

Jinja escapes every value, so that nothing of a user's (titles, file names, labels) is read as HTML;
HTML of the package's own has the type `Markup`. A Content-Security-Policy in each page
forbids the browser to load anything from elsewhere.
"""

from __future__ import annotations

import base64
import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .terms import TERMS, explained

DISCLAIMER = (
    "glioquery is research software. It is not a medical device, its results are not validated "
    "for clinical use and must not guide the treatment of a patient."
)

NOTHING = "–"
"""Text in place of a missing value."""


def render_page(template: str, **values: object) -> str:
    """HTML of a template with values; a missing value is an error.

    Parameters
    ----------
    template : str
        File name of the template, in `templates/`.
    **values : object
        Values by their names in the template.

    Returns
    -------
    str
        A whole page.
    """
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"explained": explained, "number": number, "png": png_address}
    return pages.get_template(template).render(disclaimer=DISCLAIMER, terms=TERMS, **values)


def number(value: object, decimals: int | None = None) -> str:
    """Text of a cell: numbers to three digits or to given decimals, None as a dash.

    Whole numbers of 1000 and more keep all their digits.
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return str(value)
    x = float(value)
    if not math.isfinite(x):
        return NOTHING
    if decimals is not None:
        return f"{round(x, decimals) + 0.0:.{decimals}f}"  # + 0: no sign before a 0
    if isinstance(value, int) or abs(x) >= 999.5:  # which three digits would round to 1e+03
        return f"{x:.0f}"
    return f"{x:.3g}"


def png_address(png: bytes) -> str:
    """A picture as a data address."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
