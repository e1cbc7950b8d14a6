"""Every command of the how-to pages runs, with one small database and one virtual patient.

Commands stand in `RUN_AS` where they run in another way than they are typed, and in `NOT_RUN` with
the reason where they do not run.
"""

import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from dicom_series import write_series
from scipy import ndimage
from test_pages import PAGES, ROOT, environment, run_line, shown_lines, text_of, write_labels

from glioquery import Database
from glioquery.atlas.brain import FOLDER, block_mean
from glioquery.pipeline.dicom_export import Structure, make_structure_set, read_study
from glioquery.pipeline.images import resample_masks, write_nifti
from glioquery.solver import TumorMasks

HOW_TO = [page for page in PAGES if page.startswith("docs/how-to/")]

PLOTTED = "ratio = [5, 10, 20]"
"""Line of the study that a page generates and plots."""

RUN_AS = {
    "--n 50000": "--n 8",  # hours
    "--n N": "--n 18",  # all points of the page's sweep
    "calibrate DB": "calibrate DB --n 9",  # an hour
    "trial OUT --first 1060 --patients 16": "trial TRIAL --first 1060 --patients 1 --arms a",
    "invert --": "invert DB --",  # the database of all pages, which is small
    "cohort cases.csv -o OUT": "cohort DB cases.csv -o COHORT",
    "OUT participant --labels": "MADE participant --database DB --labels",
    "OUT group --labels": "MADE group --database DB --labels",
    "--synthetic 100": "--synthetic 2",
    "generate DB --n 18": "generate SWEEP --n 18",
    'open_database("DB").to_xarray': 'open_database("SWEEP").to_xarray',
    "gq.invert(patient)": 'gq.invert(patient, gq.open_database("DB"))',
    "gq.invert(patient, follow_up": 'gq.invert(patient, gq.open_database("DB"), follow_up',
    "/path/to/atlas": str(FOLDER),
    "describe GLIOMAS-50K": "describe DB",  # what `fetch` would have fetched
    "index GLIOMAS-50K": "index DB",
    'open_database("GLIOMAS-50K")': 'open_database("DB")',
}
"""What a text is replaced by."""

NOT_RUN = {
    "death: float = parameter(": "lines of a class; tests/dbgen/test_own_parameters.py has a whole",
    "GLIOQUERY_ATLAS=": "a variable before a command; test_an_atlas_is_named_by_a_variable",
    "dbgen/default_database --n 6500": "hours; `glioquery verify` checks what it made",
    "VENTRICLES.nii.gz": "another database; tests/dbgen/store/test_stored_ventricles.py has one",
    "PushedVentricles.of(": "as above",
    "antsApplyTransforms": "no such program here; test_transform.py applies the files with antspyx",
    "glioquery fetch": "another server; tests/dbgen/sharing has its own",
}


def as_run(text):
    for typed, run in RUN_AS.items():
        text = text.replace(typed, run)
    return text


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def python_of(page):
    """What a page shows in Python, whole programs alone."""
    return [block for block in blocks(page, "python") if not any(no in block for no in NOT_RUN)]


def studies_of(page):
    """Study files that a page shows."""
    indented = re.findall(r"(?:^    .*\n)+", text_of(page), re.MULTILINE)
    return [
        *(re.sub("^    ", "", block, flags=re.M) for block in indented if "sampler =" in block),
        *(block for block in blocks(page, "toml") if "sampler =" in block),
    ]


def write_tensors(path, grid):
    """Water's tensors in white matter as FSL writes them, xx, xy, xz, yy, yz, zz in mm^2/s."""
    tensors = np.broadcast_to([1.2e-3, 0, 0, 6e-4, 0, 6e-4], (*grid.shape, 6))
    image = nib.Nifti1Image(tensors.astype(np.float32), grid.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


@pytest.fixture(scope="module")
def folder(atlas, tmp_path_factory):
    """Where the commands run: a database of 8 tumours, and the files of a patient who has one."""
    here = tmp_path_factory.mktemp("how-to")
    run_line("glioquery generate DB --n 8 --store outlines", here)
    run_line("glioquery index DB", here)
    database = Database.open(here / "DB")
    masks, t1 = database.outlines(2), block_mean(atlas.t1)
    for name in ("T1", "FLAIR"):
        write_nifti(here / f"{name}.nii.gz", t1, atlas.grid)
    write_nifti(here / "BRAIN.nii.gz", (t1 > 0).astype(np.uint8), atlas.grid)
    write_labels(here / "SEG.nii.gz", masks)
    write_labels(here / "LATER.nii.gz", database.outlines(3), labels=(2, 3))
    shutil.copy(here / "T1.nii.gz", here / "LATER_T1.nii.gz")
    larger = [ndimage.binary_dilation(mask) & atlas.brain for mask in (masks.core, masks.whole)]
    write_labels(here / "LATER_SEG.nii.gz", TumorMasks(*larger, atlas.grid))
    (here / "P-01").mkdir()
    shutil.copy(here / "T1.nii.gz", here / "P-01" / "t1.nii.gz")
    shutil.copy(here / "SEG.nii.gz", here / "P-01" / "seg.nii.gz")
    shutil.copytree(here / "P-01", here / "P-02")
    [table] = re.findall(r"(?:^    .*,.*\n)+", text_of("docs/how-to/invert-a-cohort.md"), re.M)
    (here / "cases.csv").write_text(re.sub("^    ", "", table, flags=re.M))
    for label in ("01", "02"):
        anatomy = here / "DATASET" / f"sub-{label}" / "anat"
        anatomy.mkdir(parents=True)
        shutil.copy(here / "T1.nii.gz", anatomy / f"sub-{label}_T1w.nii.gz")
        shutil.copy(here / "SEG.nii.gz", anatomy / f"sub-{label}_desc-tumor_dseg.nii.gz")
    (here / "DATASET" / "dataset_description.json").write_text("{}")
    exam = here / "IN" / "Patient-0"
    exam.mkdir(parents=True)
    for name in ("wm", "gm", "csf"):
        write_nifti(exam / f"0-{name}.nii.gz", getattr(atlas, name), atlas.grid)
    write_labels(exam / "0-tumorseg.nii.gz", masks, labels=(2, 3))
    write_tensors(here / "dti.nii.gz", atlas.grid)
    write_series(here / "SERIES", np.round(t1 / t1.max() * 4000).astype(np.uint16), atlas.grid)
    study = read_study(here / "SERIES", "T1")
    drawn = resample_masks(masks, study.grid)
    edema = drawn.whole & ~drawn.core
    structures = [
        Structure("GTV", drawn.core, "GTV", (255, 0, 0)),
        Structure("Edema", edema, "lesion", (0, 255, 0)),
    ]
    make_structure_set(structures, study).save_as(here / "RS.dcm", enforce_file_format=True)
    return here


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO)
def test_all_that_a_page_shows_runs(folder, page):
    for number, study in enumerate(sorted(studies_of(page), key=lambda study: PLOTTED in study)):
        (folder / "study.toml").write_text(study)  # the last one is generated
        run_line(f"glioquery generate ASKED-{number} --n 2 --space study.toml --dry-run", folder)
    for line in shown_lines(page):
        if not any(no in line for no in NOT_RUN):
            run_line(as_run(line), folder)
    for program in python_of(page):
        done = subprocess.run(
            [sys.executable, "-c", as_run(program)],
            cwd=folder, capture_output=True, text=True, env=environment(MPLBACKEND="agg"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_atlas_is_named_by_a_variable(folder):
    line = "glioquery atlas --picture atlas.png"
    assert f"GLIOQUERY_ATLAS=/path/to/atlas {line}" in text_of("docs/how-to/use-another-atlas.md")
    run_line(line, folder, GLIOQUERY_ATLAS=str(FOLDER))


def test_what_the_pages_show_is_found():
    assert sum(len(shown_lines(page)) for page in HOW_TO) >= 14
    assert sum(len(python_of(page)) for page in HOW_TO) == 8
    assert len(studies_of("docs/how-to/write-a-study.md")) == 3
    for page in HOW_TO:
        for program in python_of(page):
            compile(program, page, "exec")


def test_what_is_replaced_or_left_out_stands_on_a_page():
    text = "".join(text_of(page) for page in HOW_TO).replace("\n", " ")
    for typed in NOT_RUN:
        assert typed in text
    for typed, run in RUN_AS.items():
        assert typed in text
        text = text.replace(typed, run)


def test_the_commands_of_every_page_have_a_test():
    with_lines = {page for page in PAGES if shown_lines(page)}
    tutorials = {page for page in with_lines if page.startswith("docs/tutorials/")}
    assert with_lines - set(HOW_TO) - tutorials == {"README.md", "docs/cluster.md"}  # test_pages
    tested = (ROOT / "tests" / "test_tutorials.py").read_text(encoding="utf-8")
    assert all(f'"{page.rpartition("/")[2]}"' in tested for page in tutorials)
