"""A virtual patient, end to end: registration, query, map, files; and the demo's promises."""

import csv
import dataclasses
import gzip
import hashlib
import html
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
from generating import SMALL, make_indexed
from markupsafe import escape
from odd_names import ODD

from glioquery.atlas import Grid, load_atlas
from glioquery.errors import InputError
from glioquery.pipeline.fit import answer
from glioquery.pipeline.fit.anatomy import TissueMaps
from glioquery.pipeline.fit.answer import AnswerSource, find_answer
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.pipeline.images.resampling import resample_image, resample_masks
from glioquery.pipeline.inversion.growth import doubts_of_core
from glioquery.pipeline.inversion.inversion import invert, map_growth
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.inversion.result import InversionStatus
from glioquery.pipeline.names import is_map_name
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.registration import placement
from glioquery.pipeline.results.json_values import plain
from glioquery.pipeline.results.outputs import write_inversion
from glioquery.pipeline.results.result_folder import find_faults
from glioquery.pipeline.steps import Steps
from glioquery.pipeline.virtual import virtual_patient
from glioquery.pipeline.virtual.demonstration import compare, demonstrate
from glioquery.pipeline.virtual.virtual_patient import make_virtual_patient
from glioquery.query import dice_of_masks, search
from glioquery.query.index.opening import open_index
from glioquery.solver import Tissue, TumorDensity, TumorMasks, simulate

SECRET = b"born 1961"

ANOTHER_ROLE = {"flair": "t1", "t1c": "t1", "recurrence": "seg"}
"""What stands in for a patient's further files."""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # voxels of 2 mm: the demo's test has those of 1 mm
        patch.setattr(virtual_patient, "SHAPE", (98, 112, 88))
        patch.setattr(virtual_patient, "VOXEL_MM", 2.0)
        made = make_virtual_patient(tmp_path_factory.mktemp("virtual"))
    for name, source in ANOTHER_ROLE.items():
        shutil.copy(getattr(made, source), made.t1.parent / f"{name}.nii.gz")
    mask = np.asarray(nib.load(made.t1).dataobj) > 0
    write_nifti(
        made.t1.parent / "brain_mask.nii.gz", mask, Grid(mask.shape, nib.load(made.t1).affine)
    )
    for path in made.t1.parent.glob("*.nii.gz"):
        image = nib.load(path)
        for field in ("descrip", "aux_file", "intent_name", "db_name"):
            image.header[field] = SECRET
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET))
        nib.save(image, path)
    return made


@pytest.fixture(scope="module")
def inverted(truth, tmp_path_factory):
    """A virtual patient against a database of six tumours, none of them alike."""
    folder = tmp_path_factory.mktemp("inversion") / ODD
    folder.mkdir()
    database = make_indexed(folder / "db", 6, SMALL)
    others = {name: truth.t1.parent / f"{name}.nii.gz" for name in (*ANOTHER_ROLE, "brain_mask")}
    patient = load_patient(t1=truth.t1, seg=truth.seg, labels="brats2021", **others)
    # As if the segmentation had voxels of its own and a world 5 degrees and 30 mm away.
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.09), -np.sin(0.09)], [np.sin(0.09), np.cos(0.09)]]
    turn[:3, 3] = [30, -10, 5]
    moved = Grid((70, 85, 45), patient.grid.affine @ np.diag([1.3, 1.2, 1.7, 1]))
    drawn = resample_masks(patient.masks, moved)
    own = Grid(moved.shape, turn @ moved.affine)
    patient = dataclasses.replace(patient, drawn=drawn, seg_grid=own)
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setattr(placement, "LEAST_SHARE", 1.01)  # so that its notice is given
        options = InversionOptions(k=4, densities=(0.35, 0.1), resolution_mm=4.0)
        inversion = invert(patient, database, options, step=steps.append)
        inversion = write_inversion(
            inversion, folder / "out", title=f"<b>case</b> {ODD}", step=steps.append
        )
    return database, patient, inversion, folder / "out", steps


def test_virtual_patient_is_what_it_says(truth):
    image, labels = nib.load(truth.t1), nib.load(truth.seg)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(image.affine, labels.affine)
    assert set(np.unique(labels.dataobj)) == {0, 1, 2, 4}
    assert 80 < (truth.density.u >= 0.2).sum() * truth.density.grid.voxel_ml < 150
    seg = np.asarray(labels.dataobj) > 0
    np.testing.assert_array_equal(seg, truth.density.u >= 0.2)


def test_output_lies_on_exactly_the_patients_grid(inverted, truth):
    *_, out, _ = inverted
    image = nib.load(truth.t1)
    for name in ("density", "desc-match_dseg"):
        written = nib.load(out / f"sub-patient_space-T1w_{name}.nii.gz")
        assert written.shape == image.shape
        np.testing.assert_array_equal(written.affine, image.affine)
    assert nib.load(out / "sub-patient_space-T1w_density.nii.gz").get_data_dtype() == np.float32


def test_the_map_is_the_matched_sample_and_the_table_its_ranking(inverted, tissue):
    database, _, inversion, out, _ = inverted
    with (out / "matches.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = []
    for i in range(len(database)):
        core, whole = dice_of_masks(inversion.masks, database.outlines(i))
        scores.append(core + whole)
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:4]
    assert [int(row["sample"]) for row in rows] == order
    assert [float(row["score"]) for row in rows] == [scores[i] for i in order]
    best = database.growth_parameters(order[0])
    assert float(rows[0]["origin_z_mm"]) == best.origin_mm[2]
    assert float(rows[0]["lambda_mm"]) == pytest.approx(best.lambda_mm)
    atlas_map = np.asarray(nib.load(out / "sub-patient_space-SRI24_density.nii.gz").dataobj)
    np.testing.assert_allclose(atlas_map, simulate(tissue, best).density.u, atol=5e-3)


def test_the_map_in_the_patient_is_the_map_on_the_atlas(inverted):
    _, _, inversion, _, _ = inverted
    back = inversion.transform.image_to_atlas(
        Scan(inversion.density.u, inversion.density.grid), inversion.density_atlas.grid
    ).values
    there = inversion.density_atlas.u
    visible = there > 0.05
    assert np.corrcoef(back[visible], there[visible])[0, 1] > 0.97


@pytest.mark.parametrize(
    "broken",
    [
        "glioquery.pipeline.pictures.panels.png_of",
        "glioquery.pipeline.report.page.png_address",
        "nilearn.plotting.view_img",
    ],
)
def test_pictures_that_fail_cost_no_result(inverted, tmp_path, monkeypatch, broken):
    _, _, inversion, _, _ = inverted

    def fail(*_, **__):
        raise RuntimeError("latex could not be found")

    monkeypatch.setattr(broken, fail)
    told = write_inversion(inversion, tmp_path, title="case")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["answer"] == json.loads(json.dumps(plain(inversion.row())))["answer"]
    new = list(told.notices[len(inversion.notices) :])
    assert result["notices"] == [*inversion.notices, *new]
    assert all(notice.endswith("is missing (latex could not be found).") for notice in new)
    if broken.endswith("png_address"):
        assert len(new) == 1 and not (tmp_path / "report.html").exists()
    else:
        # The map on three scans, the registration, volumes, probabilities; or the slices alone.
        assert len(new) == (6 if broken.endswith("png_of") else 1)
        assert all(notice in (tmp_path / "report.html").read_text() for notice in new)


def test_a_tumor_like_none_is_said_to_be_so(inverted):
    _, _, inversion, out, _ = inverted
    result = json.loads((out / "result.json").read_text())
    assert inversion.status is InversionStatus.NO_PLAUSIBLE_MATCH
    assert result["status"] == "no plausible match"
    assert "No plausible match" in (out / "report.html").read_text()
    assert (out / "sub-patient_space-T1w_density.nii.gz").exists()


def test_result_says_where_everything_came_from(inverted, truth):
    database, _, _, out, steps = inverted
    result = json.loads((out / "result.json").read_text())
    provenance = result["provenance"]
    assert provenance["inputs_sha256"]["t1"] == hashlib.sha256(truth.t1.read_bytes()).hexdigest()
    assert provenance["database"]["checksum"] == database.checksum
    assert provenance["thresholds"] == {"core": 0.6, "whole": 0.2}
    assert provenance["labels"] == {"name": "brats2021", "core": [1, 4], "whole": [1, 2, 4]}
    assert provenance["brain"] == {"way": "mask", "tool": None, "version": None}
    assert provenance["versions"]["glioquery"] and provenance["registration"]["seed"] == 1
    assert set(provenance["inputs_sha256"]) == {"t1", "seg", "brain_mask", *ANOTHER_ROLE}
    assert provenance["options"]["densities"] == [0.1, 0.35] and provenance["options"]["k"] == 4
    assert set(result["timings_s"]) == set(steps)
    assert result["quality"]["brain_dice"] > 0.95


def test_the_share_of_the_outline_in_the_brain_is_told(inverted):
    _, _, inversion, out, _ = inverted
    result = json.loads((out / "result.json").read_text())
    brain, whole = load_atlas().brain, inversion.masks.whole
    assert result["share_in_brain"] == (whole & brain).sum() / whole.sum() > 0.9
    assert any("the registered outline: only" in notice for notice in result["notices"])
    assert "the registered outline: only" in (out / "report.html").read_text()


def test_no_interval_is_claimed_of_a_database_that_was_not_calibrated(inverted):
    *_, out, _ = inverted
    told = json.loads((out / "result.json").read_text())["uncertainty"]
    assert told["intervals"] is None and told["calibration"] is None
    assert "`glioquery calibrate DB`" in told["no_intervals"]
    page = (out / "report.html").read_text()
    assert f"No intervals are claimed. {told['no_intervals']}" in page
    assert "90% interval" not in page


def test_report_is_one_page_with_the_title_escaped(inverted):
    *_, out, _ = inverted
    page = (out / "report.html").read_text()
    assert f"<h1>Tumour map: {escape(f'<b>case</b> {ODD}')}</h1>" in page
    assert "<b>case</b>" not in page
    assert page.count("data:image/png;base64,") >= 2
    assert not re.search("(src|href)=.?http", page)


def test_a_browser_opens_the_report_without_an_error(inverted, chromium):
    *_, out, _ = inverted
    done = chromium(out / "report.html", "--dump-dom")
    title = html.escape(f"<b>case</b> {ODD}", quote=False)
    assert f"<h1>Tumour map: {title}</h1>" in done.stdout
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_headers_say_what_a_map_holds_and_whose_world_it_is(inverted):
    *_, out, _ = inverted
    expected = {
        "sub-patient_space-T1w_density": ("estimate", 1),
        "sub-patient_space-SRI24_density": ("estimate", 5),
        "sub-patient_space-T1w_desc-match_dseg": ("label", 1),
    }
    maps = sorted(out.glob("*.nii.gz"))
    assert set(expected) <= {path.name.removesuffix(".nii.gz") for path in maps}
    for path in maps:
        header = nib.load(path).header
        # ITK-SNAP and 3D Slicer may read the qform, FSLeyes reads the sform: they are one.
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
        assert header["qform_code"] == header["sform_code"] > 0
        assert header.get_xyzt_units()[0] == "mm"
        intent, code = expected.get(path.name.removesuffix(".nii.gz"), (None, None))
        if intent:
            assert (header.get_intent()[0], int(header["sform_code"])) == (intent, code)


def test_no_free_text_of_the_inputs_headers_reaches_an_output(inverted, truth):
    *_, out, _ = inverted
    for name in ("t1", "seg", "brain_mask", *ANOTHER_ROLE):
        given = truth.t1.parent / f"{name}.nii.gz"
        assert SECRET in gzip.decompress(given.read_bytes())
    for path in (p for p in out.rglob("*") if p.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert SECRET not in content, path.name


def test_the_result_lists_its_files(inverted):
    *_, out, _ = inverted
    listed = json.loads((out / "result.json").read_text())["files"]
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(listed) == written - {"result.json"} and "transform/transform.json" in listed
    for name, entry in listed.items():
        content = (out / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert find_faults(out) == []
    assert {is_map_name(path.name) for path in out.glob("*.nii.gz")} == {True}


def test_no_file_is_left_half_written(inverted):
    *_, out, _ = inverted
    assert not [p for p in out.rglob("*") if p.name.startswith(".") or p.name.endswith(".part")]


def test_a_virtual_tumor_obeys_its_anatomy(truth):
    t1 = np.asarray(nib.load(truth.t1).dataobj)
    assert not truth.density.u[t1 == 0].max() > 0.9
    assert truth.parameters.lambda_mm > 2


def read(out, name, space="T1w"):
    return np.asarray(nib.load(out / f"sub-patient_space-{space}_{name}.nii.gz").dataobj)


def test_planning_volumes_on_disk_have_one_size_and_their_numbers(inverted):
    _, patient, inversion, out, _ = inverted
    standard = read(out, "label-CTV_desc-standard_mask").astype(bool)
    model = read(out, "label-CTV_desc-model_mask").astype(bool)
    ranking = read(out, "desc-ranking_density")
    assert standard.sum() == model.sum()
    assert (standard >= patient.masks.core).all()
    assert ranking[model].min() > ranking[~model].max()
    row = json.loads((out / "result.json").read_text())["planning"]
    ml = patient.grid.voxel_ml
    assert row["standard_ml"] == pytest.approx(standard.sum() * ml)
    assert row["standard_only_ml"] == pytest.approx((standard & ~model).sum() * ml)
    difference = read(out, "label-CTV_desc-difference_dseg")
    np.testing.assert_array_equal(difference, standard + 2 * model.astype(np.uint8))
    np.testing.assert_array_equal(
        read(out, "desc-isodensity_dseg"),
        sum((inversion.density.u >= level).astype(np.uint8) for level in (0.1, 0.35)),
    )


def test_the_chosen_densities_are_those_of_the_report(inverted):
    _, _, inversion, out, _ = inverted
    assert inversion.shown_levels == (0.1, 0.2, 0.35, 0.6)
    page = (out / "report.html").read_text()
    ml_a_voxel = inversion.density.grid.voxel_ml
    predicted = json.loads((out / "result.json").read_text())["predicted_ml"]
    assert list(predicted) == ["0.1", "0.2", "0.35", "0.6"]
    for level, ml in predicted.items():
        assert ml == pytest.approx((inversion.density.u >= np.float32(level)).sum() * ml_a_voxel)
        assert re.search(rf"at least {level}[^<]*</td><td class=\"n\">{ml:.1f}<", page)


def test_what_is_on_the_t1_is_on_the_segmentations_grid_as_well(inverted):
    _, patient, inversion, out, _ = inverted
    own, moved = patient.seg_grid, patient.drawn.grid
    on_t1 = {path.name.split("T1w_")[1] for path in out.glob("*space-T1w*")}
    on_seg = {path.name.split("seg_", 1)[1] for path in out.glob("*space-seg*")}
    assert on_seg == on_t1 and len(on_seg) == 11
    for path in out.glob("*space-seg*"):
        image = nib.load(path)
        assert image.shape == own.shape
        np.testing.assert_allclose(image.affine, own.affine, atol=1e-4)
    density = read(out, "density", space="seg")
    shown = Scan(inversion.density.u, inversion.density.grid)
    expected = resample_image(shown, moved).values

    def apart(other):
        return np.abs(density - other)[expected > 0.01].mean()

    for axis in range(3):  # it lies there to a fraction of a voxel
        assert apart(expected) < 0.5 * min(apart(np.roll(expected, n, axis)) for n in (-1, 1))
    standard, model = (
        read(out, f"label-CTV_desc-{name}_mask", space="seg") > 0 for name in ("standard", "model")
    )
    assert standard.sum() == model.sum() and standard[patient.drawn.core].mean() > 0.99
    ml = standard.sum() * own.voxel_ml
    assert ml == pytest.approx(inversion.planning.row()["standard_ml"], rel=0.05)


def test_ensemble_maps_are_those_of_the_matches_brought_to_the_patient(inverted):
    database, patient, inversion, out, _ = inverted
    # Of the best 15 that there are, however many are listed.
    assert len(inversion.matches) == 4 and len(inversion.uncertainty.members) == 6
    ranked = search(open_index(database), inversion.masks)
    scores = np.array([match.score for match in ranked])
    weights = np.exp((scores - scores.max()) / 0.1)
    weights /= weights.sum()
    densities = [database.density(match.sample).u for match in ranked]
    expected = TumorDensity(
        sum(np.float32(w) * u for w, u in zip(weights, densities, strict=True)), database.grid
    )
    tissue = Tissue.from_atlas(load_atlas()).domain
    mean = inversion.transform.density_to_patient(expected, patient.grid, tissue=tissue).u
    np.testing.assert_allclose(read(out, "desc-mean_density"), mean, atol=1e-5)
    some, more = (read(out, f"desc-exceeds{n}permille_probseg") for n in (100, 350))
    assert (some >= more - 1e-6).all() and more.min() >= 0 and some.max() <= 1


def test_coverage_of_the_patients_own_tumor_is_that_of_its_outlines(inverted):
    _, patient, inversion, out, _ = inverted
    rows = json.loads((out / "result.json").read_text())["recurrence"]
    assert [row["outline"] for row in rows] == ["core", "whole"]
    assert rows[0]["standard"] == 1.0
    model = inversion.planning.model
    for row, mask in zip(rows, (patient.masks.core, patient.masks.whole), strict=True):
        assert row["model"] == pytest.approx((mask & model).sum() / mask.sum())


def test_densities_that_are_none_are_refused():
    for densities in ((), (0.0,), (0.5, 1.0), (1e-8,), (0.1234567,)):
        with pytest.raises(InputError, match="densities are"):
            InversionOptions(densities=densities)
    assert InversionOptions(densities=[0.3, 0.01, 0.3]).densities == (0.01, 0.3)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"fit_thresholds": True}, "fit-thresholds goes on from a refinement"),
        ({"own_anatomy": True}, "own-anatomy goes on from a refinement"),
        ({"k": 0}, "at least 1 match"),
        ({"registration": "bent"}, "one of syn, affine"),
        ({"resolution_mm": 9.0}, "1 to 4 mm"),
        ({"seed": 0}, "positive integer"),
    ],
)
def test_options_are_checked_where_they_are_made(asked, told):
    with pytest.raises(InputError, match=told):
        InversionOptions(**asked)


def test_tissue_maps_without_a_refinement_are_refused(inverted):
    database, patient, *_ = inverted
    with pytest.raises(InputError, match="goes on from a refinement"):
        invert(patient, database, tissue=TissueMaps(*[patient.t1] * 3, checksums={}))


def test_a_growth_is_mapped_without_a_file(inverted):
    _, _, inversion, out, _ = inverted
    before = sorted(out.parent.rglob("*"))
    again = map_growth(inversion, Steps())
    assert sorted(out.parent.rglob("*")) == before
    np.testing.assert_array_equal(again.density.u, inversion.density.u)
    np.testing.assert_array_equal(again.maps.ensemble.sd, inversion.maps.ensemble.sd)


def test_a_core_smaller_than_any_stored_is_told(inverted):
    _, patient, *_ = inverted
    assert doubts_of_core(patient, 0.5) == []
    speck = np.zeros_like(patient.masks.core)
    speck.ravel()[np.flatnonzero(patient.masks.core)[:8]] = True
    masks = dataclasses.replace(patient.masks, core=speck)
    (doubt,) = doubts_of_core(dataclasses.replace(patient, masks=masks, drawn=None), 0.5)
    assert f"measures {8 * masks.grid.voxel_ml:.2g} ml" in doubt and "0.5 ml" in doubt
    none = dataclasses.replace(patient.masks, core=np.zeros_like(speck))
    (doubt,) = doubts_of_core(dataclasses.replace(patient, masks=none), 0.5)
    assert "too small for the voxels" in doubt


def test_where_no_start_grows_the_best_match_stands_and_it_is_said(inverted, monkeypatch):
    def hopeless(*_, **__):
        raise NoGrowthError("no start grows")

    monkeypatch.setattr(answer, "refine", hopeless)
    database, _, inversion, *_ = inverted
    found = find_answer(
        database, open_index(database), inversion.masks, inversion.matches,
        refined=True, thresholds_fitted=True,
    )  # fmt: skip
    assert found.answer.source is AnswerSource.MATCH and found.refinement is None
    assert found.notices == ("The refinement found nothing: no start grows.",)


@pytest.mark.slow
def test_the_answer_is_never_worse_than_the_best_match_and_keeps_the_best(inverted):
    database, _, inversion, *_ = inverted
    index = open_index(database)
    found = find_answer(
        database,
        index,
        inversion.masks,
        inversion.matches,
        refined=True,
        thresholds_fitted=True,
    )
    first = found.tried[0]
    assert first.score == inversion.matches[0].match.score
    assert found.answer.score == max(answer.score for answer in found.tried)
    assert found.answer.score > first.score + 0.3
    assert found.fitted.fit.score >= found.refinement.best.score
    outlines = found.answer.density.outlines()
    assert (found.answer.dice_core, found.answer.dice_whole) == dice_of_masks(
        inversion.masks, outlines
    )


def read_outlines(patient):
    labels = nib.load(patient / "seg.nii.gz")
    values = np.asarray(labels.dataobj)
    return TumorMasks(np.isin(values, (1, 4)), values > 0, Grid(values.shape, labels.affine))


@pytest.mark.slow
def test_demo_finds_what_it_hid(tmp_path):
    inversion, truth, agreement = demonstrate(tmp_path)
    assert inversion.status is InversionStatus.PLAUSIBLE
    assert inversion.answer.source is AnswerSource.OWN_ANATOMY
    assert agreement.dice_whole >= 0.9
    assert agreement.correlation > 0.94
    found = inversion.answer.growths[0]
    assert np.linalg.norm(np.subtract(found.origin_mm, truth.parameters.origin_mm)) < 5
    assert found.lambda_mm == pytest.approx(truth.parameters.lambda_mm, rel=0.15)
    assert found.rho_t == pytest.approx(truth.parameters.rho_t, rel=0.1)
    # What is written is what was judged: the map's own outlines overlap as the answer says.
    dice = sum(dice_of_masks(read_outlines(tmp_path / "patient"), inversion.density.outlines()))
    assert dice == pytest.approx(inversion.answer.score, abs=0.02)
    row = json.loads((tmp_path / "result" / "result.json").read_text())
    assert row["own_anatomy"]["kept"] and row["answer"]["space"] == "patient"
    atlas = nib.load(tmp_path / "result" / "sub-patient_space-SRI24_density.nii.gz")
    there = TumorDensity(np.asarray(atlas.dataobj), inversion.masks.grid).outlines()
    assert sum(dice_of_masks(inversion.masks, there)) == pytest.approx(dice, abs=0.1)
    assert agreement == compare(inversion.density, truth.density)
    assert inversion.quality.problems == []
