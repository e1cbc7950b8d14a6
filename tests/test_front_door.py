"""`import glioquery as gq`: all names are there, cost nothing before their use, and are typed."""

import inspect
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import glioquery as gq

ROOT = Path(__file__).parent.parent


def run(*arguments, program=None, **options):
    """A process of Python's own; what it says."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=program, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_costs_nothing_and_every_name_is_there():
    program = """
import json, sys
before = set(sys.modules)
import glioquery as gq
names = [name for name in gq.__all__ if name not in dir(gq)]
heavy = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
print(json.dumps([sorted(heavy), names]))
from glioquery import *
assert all(globals()[name] is getattr(gq, name) for name in gq.__all__)
assert gq.solver.simulate is gq.simulate and gq.pipeline.names
"""
    heavy, missing = json.loads(run("-c", program))
    assert heavy == ["glioquery"] and missing == []


def test_version_and_module_are_those_of_the_distribution():
    assert gq.__version__ == version("glioquery")
    assert run("-m", "glioquery", "--version") == f"glioquery {gq.__version__}\n"


@pytest.mark.parametrize(
    "statement",
    ["import glioquery", "import glioquery.solver", "from glioquery import simulate"],
)
def test_a_checkout_that_is_not_installed_says_so_in_a_line(statement):
    """In its folder it comes before whatever is installed."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", statement], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line == (
        f"ImportError: {ROOT / 'glioquery'} belongs to a checkout that is not installed, and hides "
        "any glioquery that is: start Python in another folder, or install the checkout with "
        "`pip install --editable`"
    )


def public_functions():
    """Functions of the front door, and methods of its classes that make one of their kind."""
    for name in gq.__all__:
        value = getattr(gq, name)
        if inspect.isclass(value):
            for method, found in inspect.getmembers(value, inspect.ismethod):
                yield f"{name}.{method}", found
        elif callable(value):
            yield name, value


def test_every_path_may_be_text():
    functions = dict(public_functions())
    assert {"load_patient", "write_inversion", "generate", "Database.open"} <= functions.keys()
    for name, function in functions.items():
        for parameter in inspect.signature(function).parameters.values():
            assert "Path" not in str(parameter.annotation).replace("StrPath", ""), name


def test_text_and_paths_lead_to_the_same(tmp_path):
    grid = gq.Grid((4, 5, 6), np.diag([1.0, 2, 3, 1]))
    values = np.arange(120, dtype=np.float32).reshape(grid.shape)
    gq.write_nifti(str(tmp_path / "text.nii"), values, grid)
    gq.write_nifti(tmp_path / "path.nii", values, grid)
    assert (tmp_path / "text.nii").read_bytes() == (tmp_path / "path.nii").read_bytes()
    by_text, by_path = (gq.read_nifti(kind(tmp_path / "text.nii"), "map") for kind in (str, Path))
    assert by_text.sha256 == by_path.sha256
    np.testing.assert_array_equal(by_text.values, by_path.values)
    folder = ROOT / "dbgen" / "default_database"
    opened = [gq.open_database(kind(folder)) for kind in (str, Path)]
    assert opened[0].checksum == opened[1].checksum == gq.open_database().checksum
    (tmp_path / "study.toml").write_text("core_min_ml = 1.5\n")
    plans = [gq.Plan.from_toml(kind(tmp_path / "study.toml"), seed=3) for kind in (str, Path)]
    assert plans[0] == plans[1] and plans[0].space.core_min_ml == 1.5


def check_types(path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
def test_a_program_that_uses_it_is_typed_strictly(tmp_path):
    assert "Success" in check_types(ROOT / "tests" / "public_api.py")
    wrong = 'import glioquery as gq\ngq.invert("T1.nii.gz")\ngq.open_database().sampels\n'
    (tmp_path / "wrong.py").write_text(wrong)
    told = check_types(tmp_path / "wrong.py")
    assert "[arg-type]" in told and "[attr-defined]" in told


IN_A_THREAD = """
import threading

import glioquery as gq

done = []


def work():
    tissue = gq.Tissue.from_atlas(gq.load_atlas())
    run = gq.simulate(tissue, gq.GrowthParameters((-150, 100, 60), 0.3, 0.05, 60))
    index = gq.open_index(gq.open_database())
    done.append(len(gq.search(index, run.density.outlines(), k=3)))


thread = threading.Thread(target=work)
thread.start()
thread.join()
print(done)
"""


@pytest.mark.slow
def test_it_works_in_a_thread_of_a_program_that_has_no_file():
    assert run("-", program=IN_A_THREAD) == "[3]\n"


WITH_RAY_OF_ONES_OWN = """
import sys
from pathlib import Path

import numpy as np
import ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

import glioquery as gq

out = Path(sys.argv[1])
space = gq.ParameterSpace(whole_ml=gq.Range(5, 15), snapshots_per_run=2)
database = gq.generate(out / "DB", 2, plan=gq.Plan(space, seed=7), store="outlines")
gq.build_index(database, database.path / "index")
atlas, outlines = gq.load_atlas(), database.outlines(1)
labels = np.where(outlines.core, 4, np.where(outlines.whole, 2, 0)).astype(np.uint8)
gq.write_nifti(out / "t1.nii", atlas.t1, atlas.t1_grid)
gq.write_nifti(out / "seg.nii", labels, outlines.grid)
(out / "cases.csv").write_text("id,t1,seg,labels\\na,t1.nii,seg.nii,brats2021\\n")
options = gq.InversionOptions(refine=False, registration="none", k=2)
cases = gq.read_cases(str(out / "cases.csv")).cases
(outcome,) = gq.invert_cohort(database, cases, str(out / "OUT"), options)
print(outcome.error, ray.is_initialized())
"""


@pytest.mark.slow
def test_it_works_with_a_cluster_of_ones_own_without_a_guard(tmp_path):
    assert run("-", tmp_path, program=WITH_RAY_OF_ONES_OWN) == "None True\n"


def test_every_name_has_its_entry_in_the_reference():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    entries = {line.strip() for line in page.splitlines() if line.startswith("   ")}
    assert set(gq.__all__) - entries == {"__version__"}
