"""Help, the version and the refusal of bad input come without any library that takes its time."""

import json
import subprocess
import sys

import pytest

from glioquery.dbgen.store.embedded import embedded_database
from glioquery.query.index.opening import open_index

HEAVY = ("jax", "scipy", "xarray", "netCDF4", "nibabel", "matplotlib", "ray", "ants", "nilearn",
         "pandas", "PIL", "jinja2", "pydicom", "highdicom", "contourpy")  # fmt: skip

PROGRAM = """
import contextlib, io, json, sys
from glioquery.pipeline.commands.cli import main

answers = []
for arguments in json.loads(sys.argv[1]):
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    answers.append([code, out.getvalue(), heavy])
print(json.dumps(answers))
"""

INVERT = ("invert", "--t1", "scan.nii", "--seg", "scan.nii", "--labels", "brats2021", "-o", "out")
SIMULATE = ("simulate", "--dw", "0.3", "--rho", "0.05", "--days", "9", "-o", "u.nii.gz",
            "--origin", "-150", "100", "60")  # fmt: skip
SCANS = ("invert", "--labels", "brats2021", "-o", "out", "--scan", "scan.nii,scan.nii,0")
QUERY = ("query", "--seg", "scan.nii", "--labels", "brats2021")

REFUSED = [
    ("invert", "--t1", "nowhere.nii", "--seg", "scan.nii", "--labels", "brats2021", "-o", "out"),
    ("invert", "--seg", "scan.nii", "--labels", "brats2021", "-o", "out"),
    ("invert", "--t1", "scan.nii", "--seg", "scan.nii", "--labels", "brats1999", "-o", "out"),
    ("invert", "--t1", "text.nii", "--seg", "scan.nii", "--labels", "brats2021", "-o", "out"),
    ("invert", "nowhere", *INVERT[1:]),
    (*INVERT, "-k", "100000"),
    (*INVERT, "--registration", "bend"),
    (*INVERT, "--densities", "0.1,2"),
    (*INVERT, "--no-refine", "--own-anatomy"),
    (*INVERT, "--recurrence", "nowhere.nii"),
    (*INVERT, "--tissue", "scan.nii", "scan.nii", "scan.nii", "--tissue-from", "atlas"),
    (*INVERT, "--subject", "P 01"),
    (*INVERT, "--brain", "magic"),
    (*INVERT[:-1], "text.nii"),
    (*INVERT, "--dicom", "dicom"),
    (*INVERT, "--dicom", "out"),
    (*INVERT, "--anonymous"),
    (*INVERT, "--scan", "scan.nii,scan.nii,0"),
    (*INVERT, "--forecast", "90"),
    (*SCANS, "--scan", "scan.nii,scan.nii,2024-02-30"),
    (*SCANS, "--scan", "nowhere.nii,scan.nii,5"),
    (*SCANS, "--scan", "scan.nii,scan.nii,0"),
    (*SCANS, "--scan", "scan.nii,5"),
    (*SCANS, "--scan", "scan.nii,scan.nii,5", "--forecast", "0"),
    (*SCANS, "--scan", "scan.nii,scan.nii,5", "--treatments", "text.nii"),
    (*INVERT, "--treatments", "text.nii"),
    SCANS,
    (*INVERT, "--whole-structures", "GTV"),
    (*INVERT, "--core-structures", "GTV"),
    ("invert", "--t1", ".", "--seg", "scan.nii", "--labels", "brats2021", "-o", "out"),
    ("cohort", "nowhere.csv", "-o", "out"),
    ("cohort", "text.nii", "-o", "out"),
    ("cohort", "DB", "cases.csv", "more.csv", "-o", "out"),
    ("bids", "nowhere", "out", "participant", "--labels", "brats2021"),
    ("bids", ".", "out", "session"),
    ("predict-gbm", "--input", "nowhere", "--output", "out"),
    ("predict-gbm", "--input", ".", "--output", "out", "--tissue-from", "atlas"),
    (*SIMULATE, "--model", "cubic"),
    (*SIMULATE, "--set", "ratio"),
    (*SIMULATE, "--movie", "growth.avi"),
    ("simulate", "--dw", "nan", *SIMULATE[3:]),
    ("tensor-atlas", "nowhere.nii", "tensor.nii", "--tool", "fsl"),
    ("generate", "DB", "--space", "space.toml"),
    ("generate", "DB", "--n", "5", "--sampler", "magic"),
    ("generate", "DB", "--n", "5", "--model", "cubic"),
    ("merge", "DB", "nowhere", "nowhere"),
    ("describe", "nowhere"),
    ("verify", "nowhere"),
    ("index", "nowhere"),
    ("query", "nowhere", *QUERY[1:]),
    ("query", "--seg", "nowhere.nii", "--labels", "brats2021"),
    ("query", "--core", "scan.nii"),
    ("query", "--core", "scan.nii", "--whole", "scan.nii", "--labels", "brats2021"),
    ("query", "--core", "scan.nii", "--whole", "scan.nii", "--core-labels", "9"),
    (*QUERY, "--measure", "nothing"),
    (*QUERY, "--strategy", "nothing"),
    (*QUERY, "--strategy", "naive", "--address", "auto"),
    ("train", "--strategy", "nothing"),
    ("train", "nowhere"),
    ("train", "--seed", "4294967295"),
    ("evaluate", "nowhere", "-o", "out"),
    ("evaluate", "--synthetic", "0", "-o", "out"),
    ("evaluate", "--labels", "brats2021", "-o", "out"),
    ("evaluate", "--case-files", "*.nii", "-o", "out"),
    ("evaluate", "--synthetic", "0", "--cases", ".", "--seed", "5", "-o", "out"),
    ("calibrate", "nowhere"),
    ("trial", "out", "--patients", "0"),
    ("trial", "out", "--arms", "abd"),
    ("check", "nowhere"),
    ("nothing",),
    ("invert", "--nothing"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An image, as far as its first bytes go, a text and a study that is none."""
    folder = tmp_path_factory.mktemp("quick")
    open_index(embedded_database())  # built on its first use, by what is heavy
    header = bytearray(352)
    header[:4], header[344:348] = (348).to_bytes(4, "little"), b"n+1\0"
    (folder / "scan.nii").write_bytes(header + bytes(1000))
    (folder / "text.nii").write_text("no image")
    (folder / "space.toml").write_text("dw = 'wide'\n")
    return folder


def answers(folder, *asked):
    """Exit code, stdout and heavy modules after each command, in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked), json.dumps(HEAVY)],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout), done.stderr


def test_help_and_version_import_nothing_heavy(folder):
    told, _ = answers(folder, ["--help"], ["--version"], ["invert", "--help"], ["query", "--help"])
    for (code, out, heavy), expected in zip(
        told, ("predict-gbm", "glioquery ", "--seg-grid", "--rerank"), strict=True
    ):
        assert (code, heavy) == (0, []) and expected in out


def test_bad_input_is_refused_before_anything_heavy_is_imported(folder):
    told, err = answers(folder, *REFUSED)
    for arguments, (code, out, heavy) in zip(REFUSED, told, strict=True):
        assert (code, out, heavy) == (2, "", []), (arguments, err)
    assert not (folder / "out").exists() and not (folder / "DB").exists()
