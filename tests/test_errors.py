"""Bad input, work that failed and bugs are told apart, and each is told on one line."""

import ast
import errno
import re
import stat
from pathlib import Path

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.dbgen import DatabaseError, ParameterSpace, Plan, Range
from glioquery.dbgen.machine.cluster import ClusterError
from glioquery.dbgen.machine.tasks import UnfitNodeError
from glioquery.errors import (
    ExtraError,
    FailedError,
    GlioqueryError,
    InputError,
    MissingError,
    explained,
    is_bug,
)
from glioquery.pipeline.alignment.ants_worker import RegistrationError
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.uncertainty.interval_factors import CalibrationError
from glioquery.query import find_measure
from glioquery.solver import Accuracy, GrowthParameters, OriginError, Thresholds, TumorMasks
from glioquery.solver.models import find_model, parse_settings
from glioquery.solver.own_settings import DeviceError

ROOT = Path(__file__).parent.parent
PACKAGES = ("glioquery", "atlas", "solver", "dbgen", "query", "pipeline")


@pytest.mark.parametrize(
    ("kind", "built_in", "code"),
    [
        (InputError, ValueError, 2),
        (DatabaseError, ValueError, 2),
        (CalibrationError, ValueError, 2),
        (DeviceError, ValueError, 2),
        (MissingError, FileNotFoundError, 2),
        (ExtraError, ImportError, 2),
        (ClusterError, ConnectionError, 2),
        (FailedError, RuntimeError, 1),
        (RegistrationError, RuntimeError, 1),
        (UnfitNodeError, RuntimeError, 1),
        (NoGrowthError, ValueError, 1),
        (OriginError, ValueError, 2),
    ],
)
def test_an_error_of_the_package_is_one_of_pythons_too(kind, built_in, code):
    error = kind("expected a, got b: do c")
    assert isinstance(error, GlioqueryError) and isinstance(error, built_in)
    assert error.exit_code == code
    assert not is_bug(error) and explained(error) == "expected a, got b: do c"


@pytest.mark.parametrize(
    "refused",
    [
        lambda: GrowthParameters((0, 0, 0), -1, 0.1, 100),
        lambda: Thresholds(core=0.1, whole=0.2),
        lambda: TumorMasks(np.zeros(3), np.zeros(3), Grid((2, 2, 2), np.eye(4))),
        lambda: Grid((2, 2, 2), np.zeros((4, 4))),
        lambda: Accuracy.for_error(1),
        lambda: ParameterSpace(snapshots_per_run=0),
        lambda: Plan(ParameterSpace(), seed=-1),
        lambda: Range(2, 1),
        lambda: find_measure("nothing"),
        lambda: find_model("nothing"),
        lambda: find_model("fisher-kolmogorov", ratio=0.5),
        lambda: find_model("fisher-kolmogorov", ratio="white"),
        lambda: parse_settings(["ratio"]),
    ],
)
def test_what_a_person_may_give_is_refused_as_input(refused):
    with pytest.raises(InputError):
        refused()


def bug():
    raise KeyError("a\nkey")


def test_a_bug_is_told_on_one_line_that_names_a_traceback_for_its_owner_alone(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines = []
    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            bug()
        lines.append(explained(caught.value))
    files = [Path(re.search(r"traceback in (\S+)\)$", line)[1]) for line in lines]
    assert lines[0].startswith(r"unexpected KeyError: 'a\nkey' (")
    assert files[0] != files[1] and {file.parent for file in files} == {tmp_path}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        text = file.read_text(encoding="utf-8")
        assert "in bug\n" in text and "KeyError: 'a\\nkey'" in text


def test_a_bug_is_told_where_no_traceback_can_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    line = explained(ZeroDivisionError("division by zero"))
    assert line.startswith("unexpected ZeroDivisionError: division by zero (no traceback is kept: ")
    assert "\n" not in line


def test_an_error_of_the_operating_system_is_no_bug_and_one_without_cause_is():
    assert explained(OSError(errno.EIO, "Input/output error", "/x")) == "/x: Input/output error"
    assert is_bug(OSError("strange"))


BUGS = {
    ("atlas/grid.py", "axis_mm"),
    ("dbgen/machine/files.py", "completed"),
    ("dbgen/machine/files.py", "reserved_array"),
    ("dbgen/store/database.py", "_checked"),
    ("dbgen/store/database.py", "_rows"),
    ("dbgen/store/shard.py", "read_voxels"),
    ("glioquery/__init__.py", ""),  # a folder that is not installed
    ("glioquery/deferred.py", "find"),
    ("pipeline/alignment/ants_worker.py", "itk_geometry"),
    ("pipeline/alignment/transform.py", "__post_init__"),
    ("pipeline/fit/anatomy.py", "grow_in_patient"),
    ("pipeline/uncertainty/interval_factors.py", "read_calibration"),
    ("pipeline/uncertainty/ensemble.py", "average"),
    ("pipeline/images/nifti.py", "write_nifti"),
    ("pipeline/prediction/planning.py", "plan_volumes"),
    ("pipeline/prediction/planning.py", "rank_brain"),
    ("pipeline/prediction/recurrence.py", "cover_recurrence"),
    ("pipeline/results/result_folder.py", "_listed"),
    ("query/index/writing.py", "close"),
    ("query/index/build.py", "build_index"),
    ("solver/supertime.py", "stages_for"),
}
"""Functions that raise one of Python's own errors: what no input reaches, what their callers catch,
and errors of the operating system with path and cause."""

BUILT_IN = ("ValueError", "RuntimeError", "TypeError", "KeyError", "IndexError", "OSError",
            "FileNotFoundError", "FileExistsError", "ImportError", "ConnectionError",
            "AttributeError", "NotImplementedError", "Exception")  # fmt: skip


def raised_in(path):
    """The functions of a file that raise one of Python's own errors."""

    def walk(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = getattr(node.exc.func, "id", "")
            if name in BUILT_IN:
                yield function
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    return walk(ast.parse(path.read_text(encoding="utf-8")), "")


def test_only_what_no_input_reaches_raises_an_error_of_pythons_own():
    found = {
        (path.relative_to(ROOT).as_posix(), function)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for function in raised_in(path)
    }
    assert found == BUGS
