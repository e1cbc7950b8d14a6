"""One call of one of ANTs' programs, in a process of its own; the one module that imports `ants`.

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
    from ants.internal import get_lib_fn, get_pointer_string

    with np.load(IMAGES_FILE, allow_pickle=False) as content:
        images = {
            name: make_image(content[name], *job["geometry"][name]) for name in job["geometry"]
        }
    places = {name: get_pointer_string(image) for name, image in images.items()}
    places["out"] = f".{os.sep}"
    status = get_lib_fn(job["function"])([text.format_map(places) for text in job["arguments"]])
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


def make_image(values: Any, origin: Any, spacing: Any, direction: Any) -> Any:
    """An ANTs image of an array and its place in ITK's world (see `ants_worker.itk_geometry`)."""
    import ants
    import numpy as np

    return ants.from_numpy(
        np.ascontiguousarray(values, np.float32),
        origin=list(origin),
        spacing=list(spacing),
        direction=np.array(direction),
    )


if __name__ == "__main__":
    main()
