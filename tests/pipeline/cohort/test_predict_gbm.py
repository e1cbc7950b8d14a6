"""The benchmark's container contract, on files."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from glioquery.atlas import SIMULATION_GRID
from glioquery.atlas.brain import block_mean
from glioquery.dbgen import ParameterSpace, Plan, Range, generate
from glioquery.errors import InputError
from glioquery.pipeline.cohort.exams import find_exams
from glioquery.pipeline.cohort.predict_gbm import predict_exam, read_exam, tissue_t1
from glioquery.pipeline.commands import cli
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.query import build_index
from glioquery.query.index.outlines import INDEX_FOLDER


@pytest.fixture
def given(tmp_path, atlas):
    """The atlas's own tissue with a ball for a tumour, as the benchmark hands a patient over."""
    folder = tmp_path / "in" / "Patient-00000"
    folder.mkdir(parents=True)
    grid = atlas.grid
    x, y, z = (grid.axis_mm(a).reshape([-1 if b == a else 1 for b in range(3)]) for a in range(3))
    # Where the database of the slow test has a tumour.
    r = np.sqrt((x + 140) ** 2 + (y - 100) ** 2 + (z - 120) ** 2)
    labels = np.where(r < 6, 1, np.where(r < 9, 3, np.where(r < 15, 2, 0))).astype(np.uint8)
    for name in ("wm", "gm", "csf"):
        write_nifti(folder / f"00000-{name}.nii.gz", getattr(atlas, name), grid)
    write_nifti(folder / "00000-tumorseg.nii.gz", labels, grid)
    return folder


def test_tissue_maps_make_a_t1_like_the_atlas(given, atlas):
    made = tissue_t1(read_exam(given), atlas)
    there = block_mean(atlas.t1)
    assert np.corrcoef(made[atlas.brain], there[atlas.brain])[0, 1] > 0.8
    assert made[~read_exam(given).brain].max() == 0
    tissues = {name: getattr(atlas, name) > 0.9 for name in ("wm", "gm", "csf")}
    wm, gm, csf = (made[mask].mean() for mask in tissues.values())
    assert wm > gm > csf > 0.1 * wm


def test_the_affine_of_the_tissue_maps_holds_and_the_segmentations_is_written(given):
    seg = given / "00000-tumorseg.nii.gz"
    image = nib.load(seg)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), np.eye(4)), seg)
    exam = read_exam(given)
    assert exam.identifier == "00000" and exam.t1c is None
    assert exam.grid == SIMULATION_GRID
    np.testing.assert_array_equal(exam.written_grid.affine, np.eye(4))


def test_what_does_not_keep_the_contract_is_refused(given, tmp_path, atlas):
    with pytest.raises(InputError, match="no folder Patient-<id>"):
        find_exams(tmp_path)
    csf = given / "00000-csf.nii.gz"
    content = csf.read_bytes()
    csf.unlink()
    with pytest.raises(InputError, match=r"csf .*00000-csf.nii.gz: no such file"):
        read_exam(given)
    write_nifti(csf, atlas.csf * 255, atlas.grid)
    with pytest.raises(InputError, match="expected probabilities in"):
        read_exam(given)
    csf.write_bytes(content)
    write_nifti(given / "00000-t1c.nii.gz", atlas.t1, atlas.t1_grid)
    with pytest.raises(InputError, match="t1c of Patient-00000: expected the shape"):
        read_exam(given)


def test_ids_are_safe_as_names_before_any_work(given, capsys, monkeypatch):
    monkeypatch.setattr("glioquery.pipeline.cohort.predict_gbm.predict_exam", None)
    for name in ("a b", "-x", ".", "é", "x" * 65):
        (given.parent / f"Patient-{name}").mkdir()
    with pytest.raises(InputError) as refused:
        find_exams(given.parent)
    assert str(refused.value).count("is not safe as a name") == 5
    with pytest.raises(SystemExit) as end:
        cli.main(["predict-gbm", "--input", str(given.parent), "--output", str(given / "out")])
    assert end.value.code == 2
    assert "the id 'a b' is not safe as a name" in capsys.readouterr().err


def test_labels_of_later_years_are_core_and_of_any_type(given, atlas, tmp_path, monkeypatch):
    """A cavity, label 4, counts as the benchmark's evaluation counts it."""
    seg = given / "00000-tumorseg.nii.gz"
    image = nib.load(seg)
    labels = np.asarray(image.dataobj).astype(np.int64)
    labels[labels == 1] = 4
    nib.save(nib.Nifti1Image(labels, image.affine, dtype=np.int64), seg)

    def see(patient, database, options, **_):
        np.testing.assert_array_equal(patient.masks.core, (labels == 3) | (labels == 4))
        np.testing.assert_array_equal(patient.masks.whole, labels > 0)
        raise LookupError("seen")

    monkeypatch.setattr("glioquery.pipeline.cohort.predict_gbm.find_growth", see)
    with pytest.raises(LookupError, match="seen"):
        predict_exam(SimpleNamespace(atlas=atlas), read_exam(given), tmp_path / "out")


def test_what_is_odd_of_a_patient_is_told(given, tmp_path, monkeypatch, capsys):
    seg = given / "00000-tumorseg.nii.gz"
    image = nib.load(seg)
    exchanged = np.choose(np.asarray(image.dataobj), [0, 2, 1, 1]).astype(np.uint8)
    nib.save(nib.Nifti1Image(exchanged, image.affine), seg)

    def see(patient, database, options, **_):
        raise InputError("seen")

    monkeypatch.setattr("glioquery.pipeline.cohort.predict_gbm.find_growth", see)
    command = ["predict-gbm", "--input", str(given.parent), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    said = " ".join(capsys.readouterr().err.split())
    assert end.value.code == 1 and "Patient-00000 failed: seen" in said
    assert "notice: In the segmentation, core surrounds 100% of the tumour" in said


def test_what_a_header_leaves_open_is_told(given, tmp_path, monkeypatch, capsys):
    """The maps were read without a word, and the notice that left and right may be exchanged."""
    wm = given / "00000-wm.nii.gz"
    image = nib.load(wm)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, wm)
    assert any("declares no orientation" in notice for notice in read_exam(given).notices)

    def see(patient, database, options, **_):
        raise InputError("seen")

    monkeypatch.setattr("glioquery.pipeline.cohort.predict_gbm.find_growth", see)
    command = ["predict-gbm", "--input", str(given.parent), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        cli.main(command)
    said = " ".join(capsys.readouterr().err.split())
    assert "notice: Patient-00000: The wm" in said and "declares no orientation" in said


def test_a_patient_that_fails_has_no_map_of_a_former_run(given, tmp_path, capsys):
    """The benchmark scores what lies in the folder."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "00000.nii.gz").write_bytes(b"former")
    (out / "00001.nii.gz").write_bytes(b"another patient's")
    (given / "00000-csf.nii.gz").unlink()
    with pytest.raises(SystemExit) as end:
        cli.main(["predict-gbm", "--input", str(given.parent), "--output", str(out)])
    assert end.value.code == 1 and "Patient-00000 failed" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["00001.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("has_t1c", [False, True], ids=["tissue maps", "t1c"])
def test_the_container_ranks_every_voxel_of_the_brain(ray, given, tmp_path, atlas, capsys, has_t1c):
    plan = Plan(ParameterSpace(whole_ml=Range(5, 15), snapshots_per_run=2), seed=7)
    database = generate(tmp_path / "db", 6, plan=plan)
    build_index(database, database.path / INDEX_FOLDER)
    if has_t1c:
        write_nifti(given / "00000-t1c.nii.gz", block_mean(atlas.t1), atlas.grid)
    (given.parent / "Patient-00001").mkdir()  # stops no other
    with pytest.raises(SystemExit) as end:
        cli.main(
            ["predict-gbm", "--database", str(database.path), "--input", str(given.parent),
             "--output", str(tmp_path / "out"), "--details", str(tmp_path / "details"), "--json"]
        )  # fmt: skip
    assert end.value.code == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["maps"] == {"00000": str(tmp_path / "out" / "00000.nii.gz")}
    assert list(facts["failed"]) == ["Patient-00001"]
    assert "no such file" in facts["failed"]["Patient-00001"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["00000.nii.gz"]
    image, seg = (
        nib.load(tmp_path / "out" / "00000.nii.gz"),
        nib.load(given / "00000-tumorseg.nii.gz"),
    )
    np.testing.assert_array_equal(image.affine, seg.affine)
    ranking, exam = np.asarray(image.dataobj), read_exam(given)
    inside = ranking[exam.brain]
    assert inside.min() > 0 and inside.max() <= 1
    assert len(np.unique(inside)) == inside.size  # any volume can be cut out to the voxel
    assert ranking[~exam.brain].max() == 0
    # The ranking is the density's, where there is one, and the tumour ranks above the rest.
    details = tmp_path / "details" / "00000"
    u = np.asarray(nib.load(details / "sub-patient_space-T1w_density.nii.gz").dataobj)
    seen = exam.brain & (u >= 1e-6)
    order = np.argsort(ranking[seen])
    assert (np.diff(u[seen][order]) >= 0).all()
    assert json.loads((details / "result.json").read_text())["quality"]["brain_dice"] > 0.95
