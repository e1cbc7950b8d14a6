"""The site of the documentation: `make docs` builds it into `docs/_build/html`.

Nothing is fetched. Warnings are errors, so that a dead link or a wrong name ends the build.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import tomllib
from importlib.metadata import version as version_of
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
import typer.cli
from numpydoc.xref import DEFAULT_LINKS
from sphinx.application import Sphinx

from glioquery.pipeline.commands.cli import COMMANDS, application

HERE = Path(__file__).parent
ROOT = HERE.parent


def _home(package: ModuleType, name: str) -> str:
    """The name that documents a value: that of a constant in the module that makes it."""
    value = getattr(package, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"{package.__name__}.{name}"
    tree = ast.parse(inspect.getsource(package))
    module = next(
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]
    )
    return f"{package.__name__}.{module}.{name}"


def _directive(value: object) -> str:
    """What autodoc calls a name of this kind."""
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "autodata"


def public_names() -> dict[str, dict[str, str]]:
    """The public names of each package, and where each is described.

    That is the front door, or else the first package that has it.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms: dict[str, dict[str, str]] = {}
    places: dict[int, str] = {}  # by the identity of a value
    for room in settings["tool"]["setuptools"]["packages"]:
        package = importlib.import_module(room)
        for name in sorted(getattr(package, "__all__", ()), key=str.lower):
            value = getattr(package, name)
            home = f"{room}.{name}" if room == "glioquery" else _home(package, name)
            rooms.setdefault(room, {})[name] = places.setdefault(id(value), home)
    return rooms


PUBLIC = public_names()
FRONT_DOOR = PUBLIC.pop("glioquery")

project = "glioquery"
author = "the glioquery developers"
project_copyright = author
version = release = version_of("glioquery")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "tutorials/gallery/*.py", "sg_execution_times.rst"]
nitpicky = False

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "none"  # the docstrings name types, units and shapes
autodoc_default_options = {"members": True}
autosummary_generate = True
templates_path = ["templates"]
default_role = "py:obj"  # a name in a docstring leads to its entry, where it has one
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for the types below; no link leads to other sites
numpydoc_xref_aliases = {word: word for word in DEFAULT_LINKS}
for _names in (*reversed(PUBLIC.values()), FRONT_DOOR):
    numpydoc_xref_aliases |= {name: place for name, place in _names.items() if name[0].isupper()}
for _name in ("Agreement", "Row"):  # two classes have this name
    numpydoc_xref_aliases.pop(_name)
numpydoc_validation_checks = {"GL08", "PR01", "PR02", "RT01", "YD01"}
"""Every public function and method names all its parameters and what comes back."""
numpydoc_validation_exclude = {
    r"\.[A-Z]\w*$",  # Ruff asks for the docstrings of classes; their fields are attributes
    r"\.(FisherKolmogorov\w*|ProliferativeNecrotic)\.",  # methods of `GrowthModel`
}

sphinx_gallery_conf = {
    "examples_dirs": ["examples"],
    "gallery_dirs": ["tutorials/gallery"],
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_signature": False,
    "abort_on_example_error": True,
}

html_theme = "furo"
html_title = "glioquery"
html_show_sphinx = False

PAGES_OF_THE_ROOT = {"CHANGELOG.md": "/changelog.md", "CONTRIBUTING.md": "/contributing.md"}
"""Pages that lie above `docs/`, and those that include them."""


def lead_to_the_site(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    """Let the links of an included page lead to the pages of the site."""
    text = content[0].replace("](docs/", "](/")
    for page, place in PAGES_OF_THE_ROOT.items():
        text = text.replace(f"]({page})", f"]({place})")
    content[0] = text


def write_commands(app: Sphinx) -> None:
    """Write the reference of the command line from the commands themselves, as Typer tells it."""
    group: Any = typer.main.get_command(application(COMMANDS))
    page = typer.cli.get_docs_for_click(
        obj=group, ctx=typer.Context(group), name="glioquery", title="Every option of every command"
    )
    page = re.sub(r"^ +\* ", "* ", page, flags=re.MULTILINE)
    (HERE / "reference" / "commands.md").write_text(page, encoding="utf-8")


def write_result_fields(app: Sphinx) -> None:
    """Write the fields of `result.json` from its schema, one row each."""
    schema = json.loads((ROOT / "pipeline/results/result.schema.json").read_text(encoding="utf-8"))
    lines = [
        "# The fields of result.json",
        "",
        schema["description"],
        "",
        "The package holds them as a JSON Schema: `glioquery/pipeline/results/result.schema.json`.",
        "",
    ]
    tables = [("The result", schema)]
    tables += [(name, part) for name, part in schema["$defs"].items() if "properties" in part]
    for title, part in tables:
        lines += [f"## {title}", "", part.get("description", "") if part is not schema else "", ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += _field_rows(part, schema)
        lines.append("")
    (HERE / "reference" / "result-json.md").write_text("\n".join(lines), encoding="utf-8")


def _field_rows(part: dict[str, Any], schema: dict[str, Any], before: str = "") -> list[str]:
    rows = []
    for name, field in part["properties"].items():
        path = f"{before}{name}"
        rows.append(f"| `{path}` | {_kind(field)} | {field.get('description', '')} |")
        if "properties" in field:
            rows += _field_rows(field, schema, f"{path}.")
    return rows


def _kind(field: dict[str, Any]) -> str:
    """The type of a field in words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower().replace(' ', '-')})"
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "any value")
    if kind == "array" and isinstance(field.get("items"), dict):
        return f"list of {_kind(field['items'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def write_rooms(app: Sphinx) -> None:
    """Write one page for each package, with all its public names.

    A name that the front door or an earlier package has, too, is described there, and a link leads
    to it.
    """
    folder = HERE / "reference" / "rooms"
    folder.mkdir(exist_ok=True)
    for room, names in PUBLIC.items():
        package = importlib.import_module(room)
        lines = [f"# {room}", "", "```{eval-rst}", f".. automodule:: {room}", "   :no-members:", ""]
        entries = []
        for name, place in names.items():
            if place != _home(package, name):
                lines.append(f"* :py:obj:`{place}`")
                continue
            kind = _directive(getattr(package, name))
            entries += [f".. {kind}:: {place}"]
            entries += ["   :no-value:", ""] if kind == "autodata" else [""]
        (folder / f"{room}.md").write_text(
            "\n".join([*lines, "", *entries, "```", ""]), encoding="utf-8"
        )


def setup(app: Sphinx) -> None:
    """Connect what is made before the pages are read."""
    app.connect("include-read", lead_to_the_site)
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", write_result_fields)
    app.connect("builder-inited", write_rooms)
