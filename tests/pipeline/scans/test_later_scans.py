"""Later scans of a patient, as their files lie and as they are laid on the first."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_nifti import write_raw
from scipy.ndimage import distance_transform_edt

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.arguments.dated_scans import read_scans
from glioquery.pipeline.images.labels import label_convention
from glioquery.pipeline.images.nifti import Scan, read_nifti, write_nifti
from glioquery.pipeline.patient.patient import Patient
from glioquery.pipeline.scans import later_scans
from glioquery.pipeline.scans.later_scans import load_follow_up
from glioquery.pipeline.scans.placed_treatments import read_map
from glioquery.pipeline.scans.scan_days import (
    ScanFiles,
    checked_forecast,
    parse_ahead,
    parse_day,
    require_days,
    say_day,
)
from glioquery.pipeline.scans.treatment_file import read_treatments
from glioquery.solver import TumorMasks
from glioquery.solver.listed_treatments import ListedTreatment

BRATS = label_convention("brats2021")


@pytest.fixture(scope="module")
def patient(brain_2mm, segmentation):
    whole, core = segmentation > 0, segmentation == 4
    return Patient(brain_2mm, "t1", TumorMasks(core, whole, brain_2mm.grid), None, None, {}, ())


@pytest.fixture
def moved(tmp_path, brain_2mm, segmentation):
    """The same head a day later, 7 mm to the right, with the motion that lays it back."""
    motion = np.eye(4)
    motion[0, 3] = 7.0
    grid = Grid(brain_2mm.grid.shape, np.linalg.inv(motion) @ brain_2mm.grid.affine)
    write_nifti(tmp_path / "t1.nii", brain_2mm.values, grid)
    write_nifti(tmp_path / "seg.nii", segmentation, grid)
    return ScanFiles(tmp_path / "t1.nii", tmp_path / "seg.nii", 40.0), motion


@pytest.mark.parametrize(("text", "day"), [("12", 12.0), ("-3.5", -3.5), ("2024-03-01", 738946.0)])
def test_a_day_is_a_number_or_a_date(text, day):
    assert parse_day(text) == day


@pytest.mark.parametrize("text", ["12", "-3.5", "36525", "2024-03-01", "1969-12-31"])
def test_a_message_says_a_day_as_it_was_given(text):
    assert say_day(parse_day(text)) == text


def test_dates_are_dates_in_messages(tmp_path):
    day = parse_day("2024-03-01")
    with pytest.raises(InputError, match="two scans are of day 2024-03-01"):
        require_days([day, day])
    with pytest.raises(InputError, match="which is of day 2024-03-01; got 2024-02-29"):
        checked_forecast([day - 1], day)
    path = tmp_path / "treatments.toml"
    path.write_text(
        '[[treatment]]\nkind = "drug"\nday = 2024-03-01\nrate = 0.1\nhalf_life_days = 9\n'
    )
    with pytest.raises(InputError, match=r"day 2024-03-01 is not after .*, of day 2024-03-02"):
        read_treatments(path, [day + 1, day + 9])


def test_days_of_a_forecast_that_would_share_a_file_are_refused():
    assert parse_ahead("90.5,90.501") == (90.5, 90.501)
    with pytest.raises(InputError, match="at most three decimals"):
        parse_ahead("90,90.0004")
    with pytest.raises(InputError, match=r"0.001 days apart, got 90.0 and 90.0004"):
        checked_forecast([90.0004, 90.0], 40.0)
    with pytest.raises(InputError, match=r"0.001 days apart"):
        checked_forecast([90.0006, 90.0014], 40.0, 0.0)


def test_days_between_dates_are_those_of_the_calendar():
    assert parse_day("2024-03-01") - parse_day("2024-02-28") == 2  # of a leap year


@pytest.mark.parametrize("text", ["", "March", "2024-02-30", "nan", "inf"])
def test_what_is_no_day_is_refused(text):
    with pytest.raises(InputError, match="number of days, or a date as in 2024-03-01; got"):
        parse_day(text)


def test_a_date_beside_a_number_is_refused(moved):
    files, _ = moved
    scans = [f"{files.t1},{files.seg},{day}" for day in ("2024-03-01", "90")]
    with pytest.raises(InputError, match=r"got 90 and 2024-03-01, .*: give all days as dates"):
        read_scans(scans, {}, None, None)


def test_outlines_of_a_later_scan_come_into_the_world_of_the_first(patient, moved, monkeypatch):
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    found = load_follow_up(patient, 0.0, [files], convention=BRATS, forecast=[30.0])
    (scan,) = found.later
    np.testing.assert_allclose(scan.outlines.grid.affine, patient.grid.affine, atol=1e-6)
    assert (scan.outlines.whole == patient.masks.whole).all()
    assert scan.day == 40.0 and found.forecast == (30.0,)
    assert scan.agreement > 0.9  # the very same image
    assert set(found.checksums) == {"t1_2", "seg_2"}


@pytest.mark.parametrize("keep", [False, True])
def test_islands_of_a_later_scan_are_kept_as_those_of_the_first(patient, moved, monkeypatch, keep):
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    far = distance_transform_edt(~patient.masks.whole) * patient.brain
    labels = np.where(patient.masks.core, 4, np.where(patient.masks.whole, 2, 0)).astype(np.uint8)
    labels[np.unravel_index(np.argmax(far), far.shape)] = 2
    write_nifti(files.seg, labels, read_nifti(files.seg, "segmentation").grid)
    found = load_follow_up(patient, 0.0, [files], convention=BRATS, keep_islands=keep)
    assert found.later[0].outlines.whole.sum() == patient.masks.whole.sum() + keep


def test_a_later_segmentation_may_have_the_voxels_of_its_t1(patient, moved, monkeypatch):
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    labels = read_nifti(files.seg, "segmentation")
    write_nifti(files.seg, labels.values, Grid(labels.grid.shape, np.eye(4)))  # its header is lost
    with pytest.raises(InputError, match="header is lost"):
        load_follow_up(patient, 0.0, [files], convention=BRATS)
    same_voxels = replace(files, seg_grid="t1")
    (scan,) = load_follow_up(patient, 0.0, [same_voxels], convention=BRATS).later
    np.testing.assert_allclose(scan.outlines.grid.affine, patient.grid.affine, atol=1e-6)
    assert (scan.outlines.whole == patient.masks.whole).all()


def test_a_later_tumour_outside_the_brain_is_refused_or_told(patient, moved, monkeypatch):
    """Rolled by a third of the image, as by a header of another scan."""
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    labels = read_nifti(files.seg, "segmentation")

    def rolled(n):
        write_nifti(files.seg, np.roll(labels.values, n, axis=2), labels.grid)
        return load_follow_up(patient, 0.0, [files], convention=BRATS).notices

    shares = {}
    for n in range(0, 60, 4):
        whole = np.roll(patient.masks.whole, n, axis=2)
        shares[n] = (whole & patient.brain_with_tumour).sum() / whole.sum()
    partly = next(n for n, share in shares.items() if 0.55 < share < 0.75)
    outside = next(n for n, share in shares.items() if share < 0.45)
    assert rolled(0) == []
    (told,) = rolled(partly)
    assert told.startswith(
        f"Only {shares[partly]:.0%} of the tumour outlined in the scan of day 40"
    )
    with pytest.raises(
        InputError, match=r"of the tumour outlined in the scan of day 40 lies inside"
    ):
        rolled(outside)


def test_a_later_scan_of_somebody_else_is_refused(patient, moved, monkeypatch):
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    rng = np.random.default_rng(0)
    lit = patient.t1.values > 0
    noise = np.where(lit, rng.uniform(1, 2, lit.shape), 0).astype(np.float32)
    somebody = replace(patient, t1=Scan(noise, patient.grid))
    with pytest.raises(InputError, match=r"too little with it .*: give scans of one patient"):
        load_follow_up(somebody, 0.0, [files], convention=BRATS)


def test_a_tumour_that_shrinks_is_refused_before_anything_is_aligned(patient, moved, monkeypatch):
    files, _ = moved
    monkeypatch.setattr(later_scans, "align", None)
    with pytest.raises(InputError, match=r"shrinks by \d+% from day 40 to day 50"):
        larger = TumorMasks(patient.masks.core, patient.brain, patient.grid)
        shrunk = replace(patient, masks=larger)
        load_follow_up(
            shrunk, 40.0, [replace(files, day=50.0, t1=Path(files.t1))], convention=BRATS
        )


def listing(folder, text):
    path = folder / "treatments.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_mask_of_a_treatment_comes_into_the_world_of_the_first_scan(
    patient, moved, monkeypatch, tmp_path
):
    files, motion = moved
    monkeypatch.setattr(later_scans, "align", lambda moving, fixed: motion)
    grid = Grid(patient.grid.shape, np.linalg.inv(motion) @ patient.grid.affine)
    write_nifti(tmp_path / "cavity.nii", patient.masks.core, grid)
    path = listing(
        tmp_path,
        '[[treatment]]\nkind = "resection"\nday = 2024-03-02\nmask = "cavity.nii"\nscan = 2\n'
        '[[treatment]]\nkind = "drug"\nday = "2024-03-03"\nrate = 0.1\nhalf_life_days = 9\n',
    )
    days = [parse_day("2024-03-01"), parse_day("2024-04-10")]
    treatments = read_treatments(path, days)
    found = load_follow_up(
        patient,
        days[0],
        [replace(files, day=days[1])],
        convention=BRATS,
        treatments=treatments,
        treatment_file=path,
    )
    resection, drug = found.treatments
    np.testing.assert_allclose(resection.map.grid.affine, patient.grid.affine, atol=1e-6)
    assert set(found.checksums) == {"t1_2", "seg_2", "treatment_1", "treatments"}
    assert found.checksums["treatments"] == hashlib.sha256(path.read_bytes()).hexdigest()
    everywhere = np.ones(patient.grid.shape, bool)
    cavity = resection.after(days[0], lambda scan: scan.values, everywhere)
    assert cavity.day == 1 and (cavity.cavity == patient.masks.core).all()
    assert drug.after(days[0], None, None).day == 2
    assert drug.row(days[0]) == {
        "kind": "drug", "day": 2, "rate": 0.1, "half_life_days": 9, "map_sha256": None,
        "map_on_scan": None,
    }  # fmt: skip
    assert resection.row(days[0])["map_on_scan"] == 2
    with pytest.raises(InputError, match="marks no voxel of the tissue"):
        resection.after(days[0], lambda scan: 0.4 * scan.values, everywhere)
    with pytest.raises(InputError, match="marks no voxel of the tissue"):
        resection.after(days[0], lambda scan: scan.values, ~patient.masks.core)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("treatment = 3", r"expected tables \[\[treatment\]\], each"),
        ("day = ", "expected a TOML file with tables"),
        ('when = "now"', "alone, got 'when'"),
        ('when = "now"\n[[treatment]]\nkind = "drug"', "alone, got 'when'"),
        ('[[treatment]]\nkind = "drug"\nday = 2024-03-01\nrate = 1\nhalf_life_days = 1',
         "got 5 and 2024-03-01, over 100 years apart: give all days as dates, or all as numbers"),
        ('[[treatment]]\nkind = "drug"\nday = 5\nrate = 1\nhalf_life_days = 1',
         "a drug of day 5 is not after the first scan, of day 5"),
        ('[[treatment]]\nkind = "resection"\nday = 6\nmask = "nowhere.nii"', "no such file"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_used_is_refused(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_treatments(listing(tmp_path, text), [5.0, 40.0])


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path):
    text = '[[treatment]]\nkind = "drug"\nday = 6\nrate = 1\nhalf_life_days = 1'
    (listed,) = read_treatments(listing(tmp_path, f"\ufeff{text}"), [5.0, 40.0])
    assert listed.day == 6


def test_a_map_of_doses_below_zero_is_refused(tmp_path, brain_2mm):
    write_nifti(tmp_path / "dose.nii", brain_2mm.values - 1, brain_2mm.grid)
    path = listing(
        tmp_path,
        '[[treatment]]\nkind = "radiotherapy"\nday = 6\ndose_map = "dose.nii"\nalpha = 0.1',
    )
    (listed,) = read_treatments(path)
    with pytest.raises(InputError, match="in Gy, 0 or more everywhere"):
        read_map(listed)


@pytest.fixture
def framed(tmp_path, brain_2mm, patient):
    """A patient whose T1 declares two frames 24 mm apart, and a writer of cavities."""

    def write(name, values, shift, turned=0.0, **fields):
        """The sform shifted by one number of mm along x, the qform by another."""
        qform, sform = (
            brain_2mm.grid.affine + np.array([[0, 0, 0, mm]] + [[0] * 4] * 3)
            for mm in (turned, shift)
        )
        rows = {f"srow_{axis}": sform[i] for i, axis in enumerate("xyz")}
        return write_raw(tmp_path / name, values, qform, **rows, **fields)

    image = read_nifti(write("t1.nii", brain_2mm.values, 24.0), "T1")
    masks = TumorMasks(patient.masks.core, patient.masks.whole, image.grid)
    scan = Scan(image.values, image.grid)
    return replace(patient, t1=scan, masks=masks, frames=image.frames), write


def cavity_on(framed, **options):
    """The cavity of a resection on the T1 of the first scan, as its file says where it lies."""
    patient, write = framed
    path = write("cavity.nii", patient.masks.core.astype(np.float32), **options)
    listed = ListedTreatment("resection", 20.0, {}, map=path)
    return read_map(listed).on_image(patient.frames, "T1")


def test_a_cavity_in_the_other_frame_of_the_t1_gets_its_voxels(framed):
    """It was laid 24 mm away, without a word."""
    found = cavity_on(framed, shift=0.0)
    np.testing.assert_allclose(found.map.grid.affine, framed[0].t1.grid.affine, atol=1e-4)
    (told,) = found.notices
    assert "does not lie in the frame of the T1 that is in use" in told


def test_a_cavity_with_both_frames_of_the_t1_lies_on_it(framed):
    found = cavity_on(framed, shift=24.0)
    np.testing.assert_allclose(found.map.grid.affine, framed[0].t1.grid.affine, atol=1e-4)
    assert any("sform" in notice for notice in found.notices)  # of a header with two frames


def test_a_cavity_whose_header_leaves_its_place_open_is_refused(framed):
    with pytest.raises(InputError, match=r"cavity.nii: .* one alone can be the other file's"):
        cavity_on(framed, shift=9.0, turned=3.0)
    with pytest.raises(InputError, match=r"cavity.nii: .* header is lost"):
        cavity_on(framed, shift=24.0, sform_code=0, qform_code=0)
    patient, write = framed
    path = write("cavity.nii", patient.masks.core.astype(np.float32), 9.0)
    on_atlas = read_map(ListedTreatment("resection", 20.0, {}, map=path))
    with pytest.raises(InputError, match=r"cavity.nii: its header declares two frames"):
        on_atlas.in_atlas()


@pytest.mark.parametrize(
    "options",
    [{}, {"day": 40.0}, {"forecast": [-90]}, {"forecast": [1e300]}, {"forecast": [90, 90.0004]}],
)
def test_days_that_cannot_be_are_refused_before_a_file_is_read(patient, options):
    day = options.pop("day", 41.0 if not options else 30.0)
    later = [ScanFiles(Path("nowhere.nii"), Path("nowhere.nii"), 40.0)]
    with pytest.raises(
        InputError, match=r"earliest scan|two scans are of day|a forecast names|0.001 days"
    ):
        load_follow_up(patient, day, later, convention=BRATS, **options)


@pytest.mark.parametrize("inside", [0.5, 0.4999, 2.5])
def test_the_mask_of_a_resection_holds_whole_numbers(tmp_path, brain_2mm, inside):
    mask = np.where(brain_2mm.values > 0, np.float32(inside), np.float32(0))
    write_nifti(tmp_path / "cavity.nii", mask, brain_2mm.grid)
    listed = ListedTreatment("resection", 20.0, {}, map=tmp_path / "cavity.nii")
    with pytest.raises(InputError, match="0 outside the cavity and one other whole number"):
        read_map(listed)
