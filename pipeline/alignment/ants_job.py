"""One call of one of ANTs' programs, in a process of its own; the one module that loads ANTs.

It runs as a script, in the folder of its job and isolated (`python -I`): so Python's own modules
and installed packages come before anything else, and it never imports from the user's working
folder or from the folder of the user's script. It imports nothing of glioquery, so no other copy of
glioquery can interfere. `ants_worker` prepares the job.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

JOB_FILE = "job.json"
IMAGES_FILE = "images.npz"

PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl."""


def main() -> None:
    """Do the job in the working folder; ANTs writes its files there as well."""
    job = json.loads(Path(JOB_FILE).read_text(encoding="utf-8"))
    end_with(job["parent"])
    sys.path += job["path"]
    import numpy as np

    library = load_library()
    with np.load(IMAGES_FILE, allow_pickle=False) as content:  # ITK's first axis changes fastest
        arrays = {
            name: np.array(content[name].T, np.float32, order="C") for name in job["geometry"]
        }
    images = {
        name: make_image(library, values, *job["geometry"][name]) for name, values in arrays.items()
    }
    places = {name: library.ptrstr(image) for name, image in images.items()}
    places["out"] = f".{os.sep}"
    status = getattr(library, job["function"])(
        [text.format_map(places) for text in job["arguments"]]
    )
    if status != 0:
        sys.exit(f"{job['function']} returned {status}")


def end_with(parent: int) -> None:
    """Let the system end this process when its parent ends, however that ends.

    ITK holds Python's lock while it computes, so that nothing in Python could. Where the system
    cannot (it is Linux's alone), the process ends with its one job.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that wanted this job has ended")


def load_library() -> Any:
    """ANTs' compiled library without its package.

    That would import pandas, scikit-learn and Matplotlib as well, which takes 2 s of a processor.
    """
    package = find_spec("ants")
    places = package.submodule_search_locations if package is not None else None
    spec = PathFinder.find_spec("lib", places) if places else None
    if spec is None or spec.loader is None:
        sys.exit("the library of ANTs is missing: install antspyx again")
    library = module_from_spec(spec)
    spec.loader.exec_module(library)
    return library


def make_image(library: Any, values: Any, origin: Any, spacing: Any, direction: Any) -> Any:
    """ITK's image on an array (z, y, x), which must outlive it, in ITK's world.

    The place is what `ants_worker.itk_geometry` makes of a grid.
    """
    import numpy as np

    image = library.fromNumpyF3(values, values.shape[::-1])
    library.setOrigin(image, list(origin))
    library.setSpacing(image, list(spacing))
    library.setDirection(image, np.array(direction))
    return image


if __name__ == "__main__":
    main()
