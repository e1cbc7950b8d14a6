"""Which registration is worth its time: `python tests/benchmark/registration.py CASES`.

Every segmented, skull-stripped BraTS case below CASES (`<case>/<case>_t1.nii.gz`, `_seg.nii.gz`) is
registered to the atlas rigidly, affinely and by SyN, at each of the resolutions. Told are the
seconds, the brain Dice (T1 > 0, nearest neighbour, on the atlas's grid of 1 mm), the agreement of
tissue edges and the least Jacobian. `--cases 2` takes the first two alone.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from glioquery.atlas import load_atlas
from glioquery.pipeline.patient import load_patient
from glioquery.pipeline.quality import assess_registration
from glioquery.pipeline.registration import register

KINDS = ("rigid", "affine", "syn")


def main() -> None:
    """Register, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, help="how many; default: all")
    parser.add_argument("--resolutions", type=float, nargs="*", default=[2.0, 1.0])
    arguments = parser.parse_args()
    atlas = load_atlas()
    found = sorted(arguments.folder.glob("*/*_t1.nii.gz"))[: arguments.cases]
    for resolution, kind in itertools.product(arguments.resolutions, KINDS):
        rows = []
        for t1 in found:
            seg = t1.with_name(t1.name.replace("_t1.", "_seg."))
            patient = load_patient(t1=t1, seg=seg, labels="brats2021")
            began = time.perf_counter()
            transform = register(patient, atlas, kind=kind, resolution_mm=resolution)
            seconds = time.perf_counter() - began
            q = assess_registration(patient, transform, atlas=atlas)
            rows.append((seconds, q.brain_dice, q.edge_agreement, q.jacobian_min))
        seconds, dice, edges, jacobian = np.array(rows).T
        print(
            f"{kind:6} {resolution:g} mm: {np.median(seconds):6.1f} s, brain Dice "
            f"{', '.join(f'{d:.3f}' for d in dice)} (mean {dice.mean():.3f}), edges "
            f"{edges.mean():.2f}, least Jacobian {jacobian.min():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
