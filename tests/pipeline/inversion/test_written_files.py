"""The files of an inversion: maps, tables, result and report."""

import gzip
import hashlib
import html
import json
import re
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from markupsafe import escape
from odd_names import ODD
from patient_files import ANOTHER_ROLE, SECRET
from report_pages import without_meanings

from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.images.resampling import resample_image
from glioquery.pipeline.names import is_map_name
from glioquery.pipeline.results import outputs
from glioquery.pipeline.results.json_values import plain
from glioquery.pipeline.results.outputs import write_inversion
from glioquery.pipeline.results.result_folder import find_faults
from glioquery.query import dice_of_masks, search
from glioquery.query.index.opening import open_index
from glioquery.solver import TumorDensity


def test_output_lies_on_exactly_the_patients_grid(inverted, truth):
    *_, out, _ = inverted
    image = nib.load(truth.t1)
    for name in ("density", "desc-match_dseg"):
        written = nib.load(out / f"sub-patient_space-T1w_{name}.nii.gz")
        assert written.shape == image.shape
        np.testing.assert_array_equal(written.affine, image.affine)
    assert nib.load(out / "sub-patient_space-T1w_density.nii.gz").get_data_dtype() == np.float32


@pytest.mark.parametrize(
    "broken",
    [
        "glioquery.pipeline.pictures.panels.new_figure",
        "glioquery.pipeline.report.page.png_address",
        "nilearn.plotting.view_img",
    ],
)
def test_pictures_that_fail_cost_no_result(inverted, tmp_path, monkeypatch, request, broken):
    _, _, inversion, _, _ = inverted
    if not broken.endswith("new_figure"):  # what works need not be drawn
        request.getfixturevalue("undrawn")
    if not broken.endswith("view_img"):
        request.getfixturevalue("unviewed")

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
        assert len(new) == (6 if broken.endswith("new_figure") else 1)
        assert all(notice in (tmp_path / "report.html").read_text() for notice in new)


def test_result_says_where_everything_came_from(inverted, truth):
    database, _, _, out, steps = inverted
    result = json.loads((out / "result.json").read_text())
    provenance = result["provenance"]
    assert provenance["inputs_sha256"]["t1"] == hashlib.sha256(truth.t1.read_bytes()).hexdigest()
    assert provenance["database"]["checksum"] == database.checksum
    assert provenance["thresholds"] == {"core": 0.6, "whole": 0.2}
    meant = {"name": "brats2021", "core": [1, 4], "whole": [1, 2, 4], "no_tumour": []}
    assert provenance["labels"] == provenance["recurrence_labels"] == meant
    assert provenance["brain"] == {"way": "mask", "tool": None, "version": None}
    assert provenance["versions"]["glioquery"] and provenance["registration"]["seed"] == 1
    assert set(provenance["inputs_sha256"]) == {"t1", "seg", "brain_mask", *ANOTHER_ROLE}
    assert provenance["options"]["densities"] == [0.1, 0.35] and provenance["options"]["k"] == 4
    assert result["tissue"]["source"] == "segmented in the T1"
    assert (
        f"tissue is segmented in the T1, contrast {result['tissue']['contrast']:.1f}"
        in (out / "report.html").read_text()
    )
    assert set(result["timings_s"]) == set(steps)
    assert result["quality"]["brain_dice"] > 0.95


def test_result_has_the_fields_of_its_schema_and_no_others(inverted):
    *_, out, _ = inverted
    schema = json.loads(
        Path(outputs.__file__).with_name("result.schema.json").read_text(encoding="utf-8")
    )
    judge = jsonschema.Draft202012Validator(schema)
    judge.check_schema(schema)
    result = json.loads((out / "result.json").read_text())
    assert [f"{e.json_path}: {e.message}" for e in judge.iter_errors(result)] == []
    assert not judge.is_valid(result | {"new": 1})
    del result["best"]["rank"]
    assert not judge.is_valid(result)


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
        "sub-patient_space-SRI24_desc-growth_density": ("estimate", 5),
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


def read(out, name, space="T1w"):
    return np.asarray(nib.load(out / f"sub-patient_space-{space}_{name}.nii.gz").dataobj)


def test_planning_volumes_on_disk_have_one_size_and_their_numbers(inverted):
    _, patient, inversion, out, _ = inverted
    standard = read(out, "label-CTV_desc-standard_mask").astype(bool)
    model = read(out, "label-CTV_desc-model_mask").astype(bool)
    ranking = read(out, "desc-ranking_density")
    geodesic = read(out, "label-CTV_desc-geodesic_mask").astype(bool)
    core = patient.masks.core
    assert standard.sum() == model.sum() == geodesic.sum()
    for volume in (standard, model, geodesic):
        assert (volume >= core).all()
    assert ranking[model & ~core].min() > ranking[~model].max()
    row = json.loads((out / "result.json").read_text())["planning"]
    ml = patient.grid.voxel_ml
    assert row["standard_ml"] == pytest.approx(standard.sum() * ml)
    alone = standard & ~model & ~geodesic
    assert row["standard_only_ml"] == pytest.approx(alone.sum() * ml)
    difference = read(out, "label-CTV_desc-difference_dseg")
    np.testing.assert_array_equal(difference, 1 * standard + 2 * model + 4 * geodesic)
    np.testing.assert_array_equal(
        read(out, "desc-isodensity_dseg"),
        sum((inversion.density.u >= level).astype(np.uint8) for level in (0.1, 0.35)),
    )


def test_the_chosen_densities_are_those_of_the_report(inverted):
    _, _, inversion, out, _ = inverted
    assert inversion.shown_levels == (0.1, 0.2, 0.35, 0.6)
    page = without_meanings((out / "report.html").read_text())
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
    assert on_seg == on_t1 and len(on_seg) == 13
    for path in out.glob("*space-seg*"):
        image = nib.load(path)
        assert image.shape == own.shape
        np.testing.assert_allclose(image.affine, own.affine, atol=1e-4)
    growth = read(out, "desc-growth_density", space="seg")
    shown = Scan(inversion.maps.growth.u, inversion.maps.grid)
    expected = resample_image(shown, moved).values

    def apart(other):
        return np.abs(growth - other)[expected > 0.01].mean()

    for axis in range(3):  # it lies there to a fraction of a voxel
        assert apart(expected) < 0.5 * min(apart(np.roll(expected, n, axis)) for n in (-1, 1))
    there = TumorDensity(read(out, "density", space="seg"), moved).outlines()
    assert dice_of_masks(patient.drawn, there)[0] > 0.95  # the map follows what was drawn there
    standard, model = (
        read(out, f"label-CTV_desc-{name}_mask", space="seg") > 0 for name in ("standard", "model")
    )
    assert standard.sum() == model.sum() and standard[patient.drawn.core].mean() > 0.99
    ml = standard.sum() * own.voxel_ml
    assert ml == pytest.approx(inversion.planning.row()["standard_ml"], rel=0.05)


def test_the_ensemble_is_that_of_the_matches_and_widens_what_is_expected(inverted):
    database, _, inversion, out, _ = inverted
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
    np.testing.assert_allclose(inversion.uncertainty.maps.mean, expected.u, atol=1e-5)
    np.testing.assert_allclose(read(out, "desc-mean_density"), inversion.expected.mean, atol=1e-6)
    seen = inversion.density.u > 0.01
    assert np.corrcoef(inversion.expected.mean[seen], inversion.density.u[seen])[0, 1] > 0.98
    some, more = (read(out, f"desc-exceeds{n}permille_probseg") for n in (100, 350))
    assert (some >= more - 1e-6).all() and more.min() >= 0 and some.max() <= 1
