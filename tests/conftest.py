import atexit
import contextlib
import functools
import gc
import os
import re
import tempfile
import warnings

import jax
import nibabel as nib
import numpy as np
import pytest
from generating import in_this_process
from hypothesis import settings

from glioquery.atlas import load_atlas
from glioquery.atlas.brain import FOLDER
from glioquery.cache import CACHE_VARIABLE
from glioquery.dbgen.machine.cluster import WORKER_ENVIRONMENT, connected
from glioquery.solver import Tissue

if "PYTEST_XDIST_WORKER" not in os.environ:  # such a process has the folder of the first one
    _cache = tempfile.TemporaryDirectory(prefix="glioquery-tests-")
    os.environ[CACHE_VARIABLE] = _cache.name
else:
    # Whatever a session compiled takes seconds to take apart, after all that is tested.
    atexit.register(os._exit, 0)

settings.register_profile("any time", deadline=None)  # a machine may be busy with other work
settings.load_profile("any time")

LONG = (
    "dbgen/store/test_damage.py",  # the first of those that ask for Ray
    "pipeline/inversion/test_inversion.py",
    "pipeline/registration/test_registration.py",
    "query/strategies/test_learned.py",
    "solver/test_verification.py",
    "pipeline/inversion/test_kinds_of_database.py",
    "pipeline/inversion/test_combinations.py",
    "pipeline/patient/test_islands.py",
    "pipeline/agreement/test_agreement.py",
    "pipeline/alignment/test_linear.py",
    "pipeline/virtual/test_calibration.py",
    "solver/test_simulate.py",
    "solver/test_batches_and_gradients.py",
    "test_environment.py",
)
"""Files of over ten seconds: processes that begin with them end at about the same time."""


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Several processes (`pytest -n 2`) compute on one core each, as Ray's workers do.

    And what JAX compiles is kept where pytest keeps its own, for all of them and the next session.

    JAX finds a program by its whole content. `pytest --cache-clear` begins with none, and `-p
    no:cacheprovider` keeps none.
    """
    if getattr(config.option, "numprocesses", None):
        for name in ("XLA_FLAGS", "OMP_NUM_THREADS", "PJRT_NPROC"):
            os.environ[name] = WORKER_ENVIRONMENT[name]
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return
    for name, value in {
        "jax_compilation_cache_dir": str(config.cache.mkdir("jax")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = config.rootpath / "tests"
        order = {(folder / file).resolve(strict=True): i for i, file in enumerate(LONG)}
        items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish(session):
    """Leave what was imported out of the searches for garbage: each took a fifth of a second."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With several processes (`pytest -n 2`), a file is one's alone; files keep their order.

    So are all files that ask for Ray, and those that ask for the patient that is inverted once.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # by the number of tests

    asked = re.compile(r'^def \w+\([^)]*\b(ray|inverted)\b|usefixtures\("(ray)"\)', re.MULTILINE)

    @functools.cache
    def shared_by(file):
        found = asked.search((config.rootpath / file).read_text(encoding="utf-8"))
        return found and (found[1] or found[2])

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return shared_by(file) or file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def atlas():
    return load_atlas()


@pytest.fixture(scope="session")
def tissue(atlas):
    return Tissue.from_atlas(atlas)


@pytest.fixture(scope="session")
def mirrored_atlas(tmp_path_factory):
    """Folder of another atlas, to be read: SRI24 in its own frame, left and right exchanged."""
    folder = tmp_path_factory.mktemp("atlas") / "mirrored"
    folder.mkdir()
    for name in ("t1", "wm", "gm", "csf"):
        image = nib.load(FOLDER / f"{name}.nii.gz")
        flipped = nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine)
        nib.save(flipped, folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def ray():
    """One local cluster for all tests that are about clusters."""
    with contextlib.ExitStack() as stack:
        with warnings.catch_warnings():  # the forks that JAX warns of begin programs of Ray's
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray = stack.enter_context(connected(n_workers=2))
        yield ray


@pytest.fixture(autouse=True)
def _here(request):
    """A test that does not ask for `ray` generates its databases in its own process."""
    with contextlib.nullcontext() if "ray" in request.fixturenames else in_this_process():
        yield
