"""What may import what: rooms in one order, no circles, ANTs and Ray through one module each."""

import ast
import functools
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS = [
    "cache",  # what every package may use: five small modules
    "deferred",
    "errors",
    "paths",
    "version",
    "atlas",  # the standard brain knows nothing of tumours
    "solver",  # grows a tumour in any tissue
    "dbgen.machine",  # what long work needs of a machine, whatever the work is
    "dbgen.study",  # which tumours a database is to hold
    "dbgen.store",  # how it is kept
    "dbgen",  # how it is made: a study, simulated on a machine, put into a store
    "dbgen.sharing",  # how others get it
    "query.index",  # a database's outlines, ready to be searched
    "query.kernels",  # counts what a query and tumours share, in C or NumPy
    "query",  # exact search
    "query.strategies",  # the paper's other ways, some of which rank with the exact one
    "query.evaluation",  # asks them all
    "pipeline.names",  # of a result's files
    "pipeline.ahead",
    "pipeline.steps",  # of long work, named and timed
    "pipeline.images",  # files of a scanner
    "pipeline.dicom",  # of a hospital
    "pipeline.dicom_export",  # into a hospital
    "pipeline.travel",  # of a front through tissue
    "pipeline.alignment",  # of any two images
    "pipeline.patient",  # one patient's images, aligned with each other
    "pipeline.registration",  # the patient, aligned with the atlas
    "pipeline.anatomy",  # the tissue that a tumour grows in, in the patient
    "pipeline.fit",  # the growth that explains the patient's outlines
    "pipeline.uncertainty",  # how sure that growth is
    "pipeline.agreement",  # of that growth with the scan
    "pipeline.prediction",  # what the growth says of the patient
    "pipeline.scans",  # several of one patient, and the growth from one to the next
    "pipeline.inversion",  # all of that in its order, as values
    "pipeline.pictures",  # draws values
    "pipeline.report",  # lays pictures and values out on pages
    "pipeline.results",  # writes values and pages
    "pipeline.cohort",  # inverts many patients into many results
    "pipeline.virtual",  # inverts patients whose answer is known
    "pipeline.trial",  # sees what the inversion is worth, on many of these
    "pipeline.terminal",  # talks to a person: a library's functions do not
    "pipeline.arguments",  # understands what a person wrote after a command's name
    "pipeline.commands",
    "pipeline",
    "",  # the front door shows what all the others have
]
"""Packages and modules of glioquery; each may import from itself and from those before it.

What stands first is known to most and knows least, so that it can be read, tested and used without
the rest. A type that is imported for a checker alone counts: who names it has to know it.
"""


def imports(tree):
    """All that a module imports, wherever in it: pairs of a dotted name and the level of dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            yield from ((f"{base}{alias.name}", node.level) for alias in node.names)


def name_of(path):
    """A file's module, seen from glioquery: `atlas.grid`, `query` for its `__init__.py`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(part for part in parts if part not in ("glioquery", "__init__"))


FILES = {
    name_of(path): path
    for folder in ("glioquery", "atlas", "solver", "dbgen", "query", "pipeline")
    for path in sorted((ROOT / folder).rglob("*.py*"))
    if path.suffix in (".py", ".pyi")  # what C defines
}


@functools.cache
def trees():
    """What all modules say."""
    return {name: ast.parse(path.read_text("utf-8")) for name, path in FILES.items()}


def internal(module, tree):
    """The modules of glioquery that a module imports."""
    package = module.split(".") if module else []
    if module and FILES[module].name != "__init__.py":
        package = package[:-1]
    for name, level in imports(tree):
        parts = name.split(".")
        if level:
            parts = package[: len(package) - level + 1] + parts
        elif parts[0] == "glioquery":
            parts = parts[1:]
        else:
            continue
        while ".".join(parts) not in FILES:  # what a module holds, not a module
            parts.pop()
        yield ".".join(parts)


@functools.cache
def imports_of_all():
    return {name: set(internal(name, tree)) for name, tree in trees().items()}


def room_of(module):
    """Place in the order of the innermost room that holds a module."""
    parts = module.split(".")
    while ".".join(parts) not in ROOMS:
        parts.pop()
    return ROOMS.index(".".join(parts))


def test_every_import_stands_in_the_walk():
    source = (
        "from typing import TYPE_CHECKING\n"
        "import numpy as np\n"
        "from ..solver import simulate\n"
        "from ..query.index import build\n"
        "if TYPE_CHECKING:\n    from .store.database import Database\n"
        "def late():\n    from glioquery.pipeline.images.nifti import read_scan\n"
    )
    found = set(internal("dbgen.generation", ast.parse(source)))
    assert found == {"solver", "query.index.build", "dbgen.store.database", "pipeline.images.nifti"}
    assert [room_of(name) > room_of("dbgen.generation") for name in sorted(found)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_rooms_import_from_those_before_them_alone():
    upwards = {
        (importer, imported)
        for importer, all_imported in imports_of_all().items()
        for imported in all_imported
        if room_of(imported) > room_of(importer)
    }
    assert upwards == set()


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter(imports_of_all()).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(name or "glioquery" for name in error.args[1]))


@pytest.mark.parametrize(
    ("library", "adapter"),
    [("ants", "pipeline.alignment.ants_job"), ("ray", "dbgen.machine.cluster")],
)
def test_a_library_that_owns_processes_has_one_adapter(library, adapter):
    users = {
        module
        for module, tree in trees().items()
        for name, level in imports(tree)
        if level == 0 and name.split(".")[0] == library
    }
    users |= {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node) == f"find_spec({library!r})"
    }
    assert users == {adapter}


def test_ray_is_started_and_left_in_one_module():
    # Others are handed the library by `cluster.connected`; what they may not do with it:
    ends = {"init", "shutdown"}
    callers = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ends
        if isinstance(node.value, ast.Name) and node.value.id == "ray"
    }
    assert callers == {"dbgen.machine.cluster"}


def test_no_object_looks_for_an_atlas_by_itself_but_a_database():
    # An atlas is handed over or asked of the database; what looks for the one in use is a function.
    loaders = {
        (module, function.name)
        for module, tree in trees().items()
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for function in ast.walk(owner)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id in ("load_atlas", "atlas_folder")
    }
    assert loaders == {("dbgen.store.database", "atlas")}


PACKAGES = [name for name, path in FILES.items() if name and path.name == "__init__.py"]

HEAVY = ("ants", "jax", "matplotlib", "nibabel", "netCDF4", "ray", "rich", "scipy", "xarray")


def test_packages_offer_what_they_list_and_load_it_late():
    program = f"""
import importlib, sys
late = [importlib.import_module("glioquery." + name) for name in {PACKAGES}
        if not name.startswith("solver.models")]
print(*(name for name in {HEAVY} if name in sys.modules))
for package in late:
    for name in getattr(package, "__all__", ()):
        assert name in dir(package) and getattr(package, name) is not None
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stdout + done.stderr
