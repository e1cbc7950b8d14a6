"""What docs/environment.md says of a user's environment: one test a row."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import xarray as xr

from glioquery.dbgen import generate, verify
from glioquery.dbgen.store.embedded import embedded_database
from glioquery.dbgen.store.opening import open_database
from glioquery.pipeline.fit.trajectory import follow
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.virtual.demonstration import demonstrate
from glioquery.query import build_index, score_samples, search, search_counted, search_many
from glioquery.query.evaluation.comparison import evaluate
from glioquery.query.index.opening import open_index
from glioquery.solver import simulate, simulate_batch
from glioquery.solver.own_settings import own_arithmetic

PAGE = Path(__file__).parent.parent / "docs" / "environment.md"

HARMLESS = {
    "MATPLOTLIBRC": "{tmp}/matplotlibrc",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "HOME": "{tmp}/matplotlibrc/home",
    "XDG_CACHE_HOME": "",
    "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "tr_TR.UTF-8",
    "TZ": "Asia/Kathmandu",
    "COLUMNS": "7",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "OMP_NUM_THREADS": "many",
}
"""Variables that can be set together."""

REFUSED = {
    "JAX_PLATFORMS": ({"JAX_PLATFORMS": "cuda_of_none"}, "JAX_PLATFORMS=cuda_of_none"),
    "JAX_ENABLE_X64": ({"JAX_ENABLE_X64": "perhaps"}, "JAX_ENABLE_X64"),
}


def glioquery(*arguments, **environment):
    """Exit code, stdout and stderr of the command in a process of its own."""
    program = "from glioquery.pipeline.commands.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    picture = tmp_path_factory.mktemp("undisturbed") / "atlas.png"
    code, out, _ = glioquery("atlas", "--json", "--picture", picture)
    assert code == 0
    return json.loads(out) | {"picture": None}, picture.read_bytes()


def test_harmless_settings_change_nothing(undisturbed, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 37\nfont.size: 30\n")
    environment = {key: value.format(tmp=tmp_path) for key, value in HARMLESS.items()}
    picture = tmp_path / "atlas.png"
    code, out, err = glioquery("atlas", "--json", "--picture", picture, **environment)
    assert code == 0, err
    facts, drawn = undisturbed
    assert json.loads(out) | {"picture": None} == facts
    assert picture.read_bytes() == drawn


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_cannot_be_obeyed_is_refused_before_any_work(tmp_path, name):
    environment, named = REFUSED[name]
    open_index(open_database())  # built at its first use, which a line tells of
    seg, out = tmp_path / "seg.nii.gz", tmp_path / "out"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), seg)
    images = ("--t1", seg, "--seg", seg, "--labels", "brats2021")
    code, _, err = glioquery("invert", *images, "-o", out, **environment)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert named in line
    assert not out.exists()


@pytest.mark.parametrize(
    "function",
    [
        simulate, simulate_batch, follow, build_index, search, search_counted, search_many,
        score_samples, evaluate, generate, verify, load_patient, invert, demonstrate,
    ],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_what_computes_does_so_in_settings_of_its_own(function):
    assert function.__code__ is own_arithmetic()(len).__code__


@pytest.mark.parametrize(
    "options",
    [
        {"keep_attrs": False},
        {"arithmetic_join": "exact"},
        {"arithmetic_broadcast": False},
        {"use_flox": False, "use_bottleneck": False, "use_numbagg": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_of_xarray_changes_no_value(options):
    expected = embedded_database().parameters
    with xr.set_options(**options):
        assert embedded_database().parameters.identical(expected)


NO_LOCKS = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs gcc, Linux")
def test_a_database_on_a_disk_without_locks_is_read(tmp_path):
    (tmp_path / "locks.c").write_text(NO_LOCKS)
    library = tmp_path / "locks.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "locks.c"], check=True)
    code, out, err = glioquery("describe", "--json", LD_PRELOAD=str(library))
    assert code == 0 and json.loads(out)["n_samples"] == 6500, err


def test_help_is_printed_in_any_encoding_and_width():
    code, out, err = glioquery(
        "evaluate", "--help", PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C", COLUMNS="20"
    )
    assert code == 0 and "Usage" in out, err


def test_the_page_names_every_setting_that_is_tested():
    page = PAGE.read_text(encoding="utf-8")
    for settings in (HARMLESS, *(settings for settings, _ in REFUSED.values())):
        for name in settings.keys() - {"XDG_CACHE_HOME"}:
            assert f"`{name}" in page, name
