"""Whether two results hold the same maps, bit by bit.

    python tests/benchmark/same_maps.py BEFORE AFTER

Both are folders of results, at any depth. Maps are compared by the SHA-256 of their values and
affines, not of their compressed files. Ends with 1 where a map differs, and says by how much, or is
missing in one of them.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import nibabel as nib
import numpy as np


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of values and affine of each NIfTI file, by its name under the folder."""
    found = {}
    for path in sorted(folder.rglob("*.nii.gz")):
        image = nib.load(path)
        values = np.ascontiguousarray(np.asanyarray(image.dataobj))
        digest = hashlib.sha256(values.tobytes() + image.affine.tobytes())
        found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def difference(a: Path, b: Path) -> str:
    """The largest difference of two maps, and the share of voxels that differ."""
    x, y = (np.asarray(nib.load(path).dataobj, np.float64) for path in (a, b))
    if x.shape != y.shape:
        return f"shape {x.shape} became {y.shape}"
    if (x == y).all():
        return "in type or affine alone"
    return f"at most {np.abs(x - y).max():.3g}, in {(x != y).mean():.2%} of the voxels"


def main(before: Path, after: Path) -> int:
    """Compare two folders; the number of maps that are not the same."""
    ours, theirs = checksums(before), checksums(after)
    for folder, found in ((before, ours), (after, theirs)):
        if not found:
            raise SystemExit(f"{folder} holds no map: name a folder of results")
    n_different = 0
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) == theirs.get(name):
            print(f"same       {name}  {ours[name][:16]}")
            continue
        n_different += 1
        if name in ours and name in theirs:
            print(f"different  {name}  {difference(before / name, after / name)}")
        else:
            print(f"missing    {name}  in {after if name in ours else before}")
    print(f"{len(ours.keys() | theirs.keys())} maps, {n_different} not the same")
    return n_different


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    sys.exit(main(arguments.before, arguments.after) > 0)
