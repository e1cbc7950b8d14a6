"""Several scans of one patient: the growth in real days in the result of an inversion."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import nibabel as nib
import numpy as np
import pytest
from generating import SMALL, make_indexed

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.commands.patient import _growth_in_days
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.inversion import inputs, several_scans
from glioquery.pipeline.inversion.several_scans import follow_scans
from glioquery.pipeline.names import forecast_label, is_map_name
from glioquery.pipeline.pictures.movie import PATIENT_FRAMES
from glioquery.pipeline.pictures.planes import tumour_planes
from glioquery.pipeline.report import outlook_section
from glioquery.pipeline.report.outlook_section import describe_outlook
from glioquery.pipeline.results import outputs
from glioquery.pipeline.results.json_values import plain
from glioquery.pipeline.results.outputs import write_forecast
from glioquery.pipeline.scans.joint_fit import JointFit
from glioquery.pipeline.scans.joint_outlines import JointTarget
from glioquery.pipeline.scans.later_scans import FollowUp, LaterScan
from glioquery.pipeline.scans.patient_outlook import Check, map_day
from glioquery.pipeline.scans.placed_treatments import PlacedTreatment
from glioquery.pipeline.scans.runs_of_pairs import ScoredGrowth
from glioquery.pipeline.scans.scan_days import NamedScans, ScanFiles
from glioquery.query.dice import dice_of
from glioquery.solver import Accuracy, TumorMasks, on_grid, simulate
from glioquery.solver.listed_treatments import ListedTreatment

QUICK = Accuracy.for_error(0.05)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return make_indexed(tmp_path_factory.mktemp("scans") / "db", 2, SMALL)


def seen_twice(database, scale=1.0):
    """A stored growth in a head that is larger than the atlas's, seen twice.

    The growth so far, its scans in the patient, and a fit that knows the growth.
    """
    growth = database.growth_parameters(0)
    later = replace(growth, days=1.1 * growth.days)
    larger = np.diag([scale, scale, scale, 1.0])
    grid = Grid(database.grid.shape, larger @ database.grid.affine)
    masks = [
        on_grid(database.tissue, simulate(database.tissue, one, accuracy=QUICK).final.u).outlines()
        for one in (growth, later)
    ]
    drawn = [TumorMasks(one.core, one.whole, grid) for one in masks]
    day = later.days - growth.days
    scan = LaterScan(drawn[1], day, 0.5, ("a" * 64, "b" * 64), ("a notice",))
    drug = ListedTreatment("drug", 1.5 * day, {"rate": 1e-4, "half_life_days": 10.0})
    follow_up = FollowUp(0.0, (scan,), (day,), (PlacedTreatment(drug),))

    def known(database, index, scans, *, treatments, extra_starts):
        joint = JointTarget(
            tuple(scans), database.tissue, database.model, database.thresholds, tuple(treatments)
        )
        spread = np.diag([0.1, 0.1, 0.1, 0.01, 0.05, 0.01]) ** 2
        dice = ((1.0, 1.0),) * len(scans)
        return JointFit(joint, growth, dice, spread, QUICK, ScoredGrowth(growth, 4.0), 1)

    found = SimpleNamespace(
        database=database,
        transform=AtlasTransform.linear(larger),
        masks=masks[0],
        findings=SimpleNamespace(refinement=None),
        patient=SimpleNamespace(
            grid=grid, outlines=drawn[0], brain_with_tumour=database.atlas.brain | drawn[0].whole
        ),
        grown_in_patient=None,
    )
    return found, follow_up, drawn, known


@pytest.fixture(scope="module")
def followed(database):
    """What is found of a growth that was seen twice: on the atlas and in the own anatomy."""
    found, follow_up, masks, known = seen_twice(database)
    growth = database.growth_parameters(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(several_scans, "fit_scans", known)
        outlook = follow_scans(found, follow_up)
        # In the patient's own anatomy, which here is the atlas's.
        found.grown_in_patient = SimpleNamespace(
            tissue=database.tissue,
            target=SimpleNamespace(masks=masks[0]),
            refinement=SimpleNamespace(arrivals=((growth, 2.0),)),
        )
        starts = []

        def gone_on(joint, growths, *, accuracy):
            starts.append(growths)
            at_atlas = known(
                database, None, joint.scans, treatments=joint.treatments, extra_starts=()
            )
            return replace(at_atlas, joint=joint)

        patch.setattr(several_scans, "fit_jointly", gone_on)
        return outlook, masks, follow_scans(found, follow_up), starts


def test_scans_come_to_the_atlas_and_the_forecast_to_the_patient(followed):
    outlook, (first, second), _, _ = followed
    told = outlook.outlook
    assert [scan.after_days for scan in told.scans] == pytest.approx(
        [0, outlook.follow_up.later[0].day]
    )
    assert told.scans[0].whole_ml.value == pytest.approx(first.whole.sum() * 0.008)
    assert told.scans[1].whole_ml.value == pytest.approx(second.whole.sum() * 0.008)
    (density,) = outlook.maps
    grown = (density.u >= 0.2).sum() * 0.008
    assert grown == pytest.approx(told.forecast[0].whole_ml.value, rel=0.02)
    assert grown > second.whole.sum() * 0.008
    assert outlook.check is None
    (drug,) = told.fit.joint.treatments
    assert drug.day == 1.5 * outlook.follow_up.later[0].day


def test_volumes_are_those_of_the_patient_whatever_the_size_of_the_atlas(database, monkeypatch):
    found, follow_up, masks, known = seen_twice(database, scale=1.15)
    monkeypatch.setattr(several_scans, "fit_scans", known)
    outlook = follow_scans(found, follow_up)
    row = outlook.row()
    assert [scan["outlined_ml"] for scan in row["scans"]] == [one.whole_ml for one in masks]
    for scan in row["scans"]:
        assert scan["grown_ml"] == pytest.approx(scan["outlined_ml"], rel=0.02)
    told, on_atlas = row["forecast"][0]["whole_ml"], outlook.outlook.forecast[0].whole_ml
    (density,) = outlook.maps
    assert told["value"] == density.outlines().whole_ml
    assert told["value"] == pytest.approx(1.15**3 * on_atlas.value, rel=0.02)
    # An interval is the volume times factors, which do not change.
    for end, before in (("low", on_atlas.low), ("high", on_atlas.high)):
        assert told[end] / told["value"] == pytest.approx(before / on_atlas.value)


FIRST_DAY = 738946
CHECK = Check(54, 9.0, 8.0, 0.5, 0.6)


def no_growth(*_, **__):
    raise NoGrowthError("no growth passes through the volumes of all scans")


def shrunk(*_, **__):
    raise InputError("the whole tumour shrinks")


@pytest.fixture
def outlook_of_three(monkeypatch):
    """The outlook of three scans, on the atlas or in the own anatomy; parts of it are replaced."""
    days = (FIRST_DAY, FIRST_DAY + 4, FIRST_DAY + 54)
    scans = [SimpleNamespace(day=day, masks=None, whole_ml=9.0) for day in days]
    whole = SimpleNamespace(value=8.0)
    forecast = SimpleNamespace(density=SimpleNamespace(outlines=lambda _: None))

    def look(fit, days):
        return SimpleNamespace(fit=fit, scans=(), forecast=[forecast] * len(days))

    def outlook(*, own=None, **replaced):
        growth = SimpleNamespace(
            database=SimpleNamespace(tissue=None, thresholds=None), masks=None,
            grown_in_patient=own, transform=SimpleNamespace(to_atlas=None, to_patient="to atlas"),
            patient=SimpleNamespace(outlines=SimpleNamespace(whole_ml=9.0)),
        )  # fmt: skip
        usual = {
            "_follow": lambda *_: SimpleNamespace(scans=scans, tissue=None),
            "_fit": lambda *_: "on the atlas",
            "_go_on": lambda *_: "in the patient",
            "look_ahead": look,
            "_in_patient": lambda *_: (SimpleNamespace(whole_ml=whole), None),
            "dice_of_masks": lambda *_: (0.5, 0.6),
        }
        for name, fake in (usual | replaced).items():
            monkeypatch.setattr(several_scans, name, fake)
        return follow_scans(growth, FollowUp(FIRST_DAY, ()))

    return outlook


OWN_ANATOMY = SimpleNamespace(target=SimpleNamespace(masks=None), tissue=None)


@pytest.mark.parametrize("own", [None, OWN_ANATOMY])
def test_the_check_of_the_last_scan_counts_its_day_from_the_first(outlook_of_three, own):
    found = outlook_of_three(own=own)
    assert found.check == CHECK and found.failures == ()
    assert found.in_patient == (own is not None)
    assert found.along is SAME_WORLD if own else found.along == "to atlas"


@pytest.mark.parametrize("fail", [no_growth, shrunk])
@pytest.mark.parametrize("own", [None, OWN_ANATOMY])
def test_a_check_that_fails_leaves_the_outlook(outlook_of_three, fail, own):
    def of_all_scans_alone(*given):
        n_scans = next(one for one in given if isinstance(one, int))
        return "of all scans" if n_scans == 3 else fail()

    found = outlook_of_three(own=own, _fit=of_all_scans_alone, _go_on=of_all_scans_alone)
    assert found.outlook.fit == "of all scans" and found.check is None
    assert found.in_patient == (own is not None)
    (notice,) = found.failures
    assert notice.startswith("The last scan does not check the forecast, because the earlier ones")


@pytest.mark.parametrize("fail", [no_growth, shrunk])
def test_without_a_growth_in_the_own_anatomy_that_on_the_atlas_stands(outlook_of_three, fail):
    found = outlook_of_three(own=OWN_ANATOMY, _go_on=fail)
    assert found.outlook.fit == "on the atlas" and found.check == CHECK
    assert not found.in_patient and found.along == "to atlas"
    (notice,) = found.failures
    assert notice.startswith("The growth in real days is that on the atlas, because there is none")


def test_what_was_not_possible_is_among_the_notices(followed):
    outlook, *_ = followed
    told = replace(outlook, failures=("It was not possible.",))
    assert told.notices == ["It was not possible.", *outlook.notices]


def test_in_the_own_anatomy_the_joint_fit_goes_on_there(followed):
    on_atlas, _, in_patient, starts = followed
    assert in_patient.in_patient and not on_atlas.in_patient
    assert in_patient.row()["own_anatomy"] is True
    ((joint_growth, single),) = starts
    growth = on_atlas.outlook.fit.growth
    assert joint_growth.days == growth.days and single == growth
    np.testing.assert_allclose(joint_growth.origin_mm, growth.origin_mm, atol=2.0)
    (drug,) = in_patient.outlook.fit.joint.treatments
    assert drug.day == 1.5 * in_patient.follow_up.later[0].day
    np.testing.assert_array_equal(in_patient.maps[0].u, on_atlas.maps[0].u)


def test_its_row_is_as_the_schema_says(followed):
    outlook, *_ = followed
    schema = json.loads(
        Path(outputs.__file__).with_name("result.schema.json").read_text(encoding="utf-8")
    )
    judge = jsonschema.Draft202012Validator(
        schema["properties"]["outlook"] | {"$defs": schema["$defs"]}
    )
    row = plain(outlook.row())
    assert [f"{e.json_path}: {e.message}" for e in judge.iter_errors(row)] == []
    assert not judge.is_valid(row | {"new": 1})
    assert row["rates"]["rho"]["value"] == row["growth"]["rho"]
    assert [scan["agreement"] for scan in row["scans"]] == [None, 0.5]


def test_a_map_is_written_for_each_day_that_is_forecast(followed, tmp_path):
    outlook, *_ = followed
    write_forecast(tmp_path, outlook)
    (path,) = tmp_path.iterdir()
    assert (
        path.name
        == "sub-patient_space-T1w_desc-"
        + forecast_label(outlook.outlook.forecast[0].after_days)
        + "_density.nii.gz"
    )
    assert is_map_name(path.name)
    np.testing.assert_array_equal(nib.load(path).get_fdata(dtype=np.float32), outlook.maps[0].u)


def test_a_growth_that_misses_a_scan_is_among_the_notices(followed):
    """A later segmentation of another place still gave forecasts that were called determined."""
    outlook = followed[0]
    assert not any("is not like the tumour" in notice for notice in outlook.notices)
    fit = replace(outlook.outlook.fit, dice=((0.9, 0.9), (0.0, 0.08)))
    missed = replace(outlook, outlook=replace(outlook.outlook, fit=fit))
    (told,) = (notice for notice in missed.notices if "is not like the tumour" in notice)
    assert f"of day {outlook.follow_up.later[0].day:g}: a mean Dice of 0.0" in told


def test_the_page_says_what_was_found(followed, monkeypatch):
    outlook, (first, _), *_ = followed
    shown = []
    monkeypatch.setattr(
        outlook_section, "draw_days", lambda _, days: shown.extend(days) or b"picture"
    )
    frames, ways = [], []

    def draw_movie(_, days, along):
        frames.extend(days)
        ways.append(along)
        return b"movie"

    monkeypatch.setattr(outlook_section, "draw_patient_movie", draw_movie)
    brain = first.whole | (outlook.maps[0].u > 0)
    patient = SimpleNamespace(grid=first.grid, masks=first, brain=brain, brain_with_tumour=brain)
    failures = []
    section = describe_outlook(outlook, patient, failures)
    assert failures == [] and list(section.pictures.values()) == [b"movie", b"picture"]
    assert ways == [outlook.along]
    forecast = outlook.outlook.forecast[0]
    (_, at_first), (_, ahead) = shown
    assert ahead is outlook.maps[0]
    plane = tumour_planes(patient)[0]
    grown = map_day(
        outlook.outlook, outlook.outlook.scans[0], first.grid, along=outlook.along, within=brain
    )  # of all scans, not the growth of the first one alone
    expected = plane.sample(grown.u, grown.grid) >= 0.2
    seen = plane.sample(at_first.u, at_first.grid) >= 0.2
    assert dice_of(seen, expected) > 0.98 > dice_of(plane.sample(ahead.u, ahead.grid) >= 0.2, seen)
    assert frames[-1][0] == f"day {forecast.after_days:.0f}" and len(frames) == PATIENT_FRAMES
    np.testing.assert_array_equal(frames[-1][1].u, forecast.density.u)
    assert any("drug on day" in sentence for sentence in section.sentences)
    rates, days = section.tables
    assert len(rates.rows) == 6 and len(days.rows) == 3
    assert [row[1] is None for row in days.rows] == [False, False, True]
    for row in (*rates.rows, *days.rows):
        assert not any("e+" in cell for cell in row if cell is not None), row
    assert all(re.fullmatch(r"\d+(\.\d)?", row[0]) for row in days.rows)


def test_the_segmentations_of_all_scans_are_read_in_one_way(monkeypatch):
    given = []

    def load(*_, **options):
        given.append(options["keep_islands"])
        return SimpleNamespace(notices=())

    monkeypatch.setattr(inputs, "load_patient", load)
    monkeypatch.setattr(inputs, "load_follow_up", load)
    files = [ScanFiles(Path("t1.nii"), Path("seg.nii"), day) for day in (0.0, 90.0)]
    scans = NamedScans(files[0], (files[1],), (), ())
    inputs.load_inputs(
        tissue=None, scans=scans, seg="seg.nii", labels="brats2021", keep_islands=True
    )
    assert given == [True, True]


def test_the_terminal_shows_the_growth_in_real_days(followed):
    outlook = followed[0]
    found = _growth_in_days(SimpleNamespace(outlook=outlook), as_json=False)
    rho = outlook.outlook.rates["rho"]
    shown = re.fullmatch(r"(\S+) 1/day \((\S+) to (\S+)\)", found["growth in real days"]["rho"])
    ends = [float(number) for number in shown.groups()]
    assert ends == pytest.approx([rho.value, rho.low, rho.high], rel=1e-3)
    assert len(found["forecast"]) == len(outlook.forecast) > 0
    assert all(" ml (" in told for told in found["forecast"].values())
    as_json = _growth_in_days(SimpleNamespace(outlook=outlook), as_json=True)
    assert as_json["rates"]["rho"]["value"] == rho.value
    assert _growth_in_days(SimpleNamespace(outlook=None), as_json=False) == {}
