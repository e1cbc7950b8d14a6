"""The factors of a database's intervals: measured, kept, resumed, and none where none hold."""

import dataclasses
import json
import math
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from command_line import run
from generating import make_indexed

from glioquery.dbgen import Database, ParameterSpace, Plan, Range, merge
from glioquery.dbgen.machine.lock import hold
from glioquery.dbgen.store.embedded import embedded_database
from glioquery.errors import InputError
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.uncertainty.interval_factors import (
    FILE,
    LEVEL,
    METHOD,
    QUANTITIES,
    CalibrationError,
    reach_of,
    read_calibration,
    write_calibration,
)
from glioquery.pipeline.virtual import calibration
from glioquery.pipeline.virtual.calibration import (
    ROWS_FILE,
    Reading,
    calibrate,
    draw_unseen,
    find_factors,
    read_tumours,
)
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.query import dice_of_masks, outlines_of

SPACE = ParameterSpace(
    whole_ml=Range(5, 15), snapshots_per_run=2, origin_mm=((-90.0, 120.0, 90.0),)
)


def make(folder, n, *, seed=3, space=SPACE):
    return make_indexed(folder, n, Plan(space, seed=seed), store="outlines", shard_size=4)


@pytest.fixture(scope="module")
def uncalibrated(tmp_path_factory):
    """Four small tumours around one place, indexed."""
    return make(tmp_path_factory.mktemp("uncalibrated") / "db", 4)


@pytest.fixture
def database(uncalibrated, tmp_path):
    """A copy that a test may calibrate."""
    shutil.copytree(uncalibrated.path, tmp_path / "db")
    return Database.open(tmp_path / "db")


@pytest.fixture
def measured(monkeypatch):
    """Readings that cost nothing, and the numbers of the tumours that were measured."""
    asked = []

    def read(database, index, tissue, source, seed, i, free):
        asked.append((source, i))
        rng = np.random.default_rng([i, source == "matches"])
        k = 5 + len(free)
        return Reading(0.9, rng.random(k), 1 + rng.random(k))

    monkeypatch.setattr(calibration, "_read_tumour", read)
    return asked


def no_bar(task, unit):
    return nullcontext(lambda done, total: None)


def index_of(database):
    return outlines_of(database).open_index()


def test_a_factor_is_the_conformal_quantile_of_the_ratios():
    rng = np.random.default_rng(1)
    for n in (9, 19, 200):
        error, width = rng.random((n, 5)), 0.5 + rng.random((n, 5))
        found = find_factors([Reading(0.9, *row) for row in zip(error, width, strict=True)])
        held = (error / width <= found).sum(axis=0)
        assert (held == math.ceil(LEVEL * (n + 1))).all()


def test_a_database_is_calibrated_on_tumours_that_it_does_not_hold(database, tissue):
    truths = [draw_unseen(database, tissue, 5, i) for i in range(2)]
    stored = {database.growth_parameters(i) for i in database}
    assert not stored & {truth.parameters for truth in truths}
    for truth in truths:
        volume_ml = truth.masks.whole.sum() * truth.masks.grid.voxel_ml
        assert 5 <= volume_ml <= 15 and truth.parameters.origin_mm == (-90.0, 120.0, 90.0)
        noisy = disturb(truth.masks, tissue.domain, np.random.default_rng(0))
        assert 0.5 < dice_of_masks(noisy, truth.masks)[1] < 1
        assert not (noisy.whole & ~tissue.domain).any() and not (noisy.core & ~noisy.whole).any()
    readings = read_tumours(database, index_of(database), range(1), "matches", seed=5)
    assert len(readings) == 1
    # Every tumour begins at the one place of the space; how it grew is not known.
    assert all((reading.error[:3] < 1e-9).all() for reading in readings)
    assert all((reading.error[3:] > 0).all() for reading in readings)
    assert all((reading.spread >= [6, 6, 6, 0.4, 0.2]).all() for reading in readings)


def test_a_calibration_lies_beside_its_database(capsys, database, measured):
    code, out, err = run(capsys, "calibrate", database.path, "--n", 20, "--json")
    assert code == 0, err
    found = read_calibration(database)
    told = json.loads(out)
    assert told["calibration"] == str(database.path / FILE)
    assert told["factors"] == found.factors and told["tumours"] == found.n_tumours
    assert found.n_tumours == {"matches": 20, "refinement": 20}
    for source in ("matches", "refinement"):
        readings = read_tumours(database, None, range(20), source)
        expected = find_factors(readings)
        assert list(found.factors[source].values()) == pytest.approx(expected, abs=1e-4)
        reach = reach_of(database, source)
        assert reach.factors == found.factors[source] and reach.said.startswith("20 simulated")
    assert not (database.path / ROWS_FILE).exists()
    code, _, err = run(capsys, "calibrate", database.path, "--n", 20)
    assert code == 0 and "factor of    matches  refinement" in err


def test_a_calibration_that_was_ended_goes_on(database, measured):
    def ends_at(n):
        def count(done, total):
            if done == n:
                raise KeyboardInterrupt

        return lambda task, unit: nullcontext(count if "refinement" in task else lambda *_: None)

    index = index_of(database)
    with pytest.raises(KeyboardInterrupt):
        calibrate(database, index, n=12, bars=ends_at(7))
    reach = reach_of(database, "refinement")
    assert reach.factors is None and "before it reached refined growths" in reach.said
    assert reach_of(database, "matches").factors is not None  # the first kind is complete
    with (database.path / ROWS_FILE).open("a") as file:
        file.write('{"tumour": "refinement 7", "rea')  # killed while it wrote
    measured.clear()
    resumed = calibrate(database, index, n=12, bars=no_bar)
    assert measured == [("refinement", i) for i in range(7, 12)]
    assert calibrate(database, index, n=12, bars=no_bar) == resumed
    # A row without its end of line stays, and so do those after it.
    whole = read_calibration(database)
    with pytest.raises(KeyboardInterrupt):
        calibrate(database, index, n=20, bars=ends_at(3))
    assert read_calibration(database) == whole  # factors of both kinds are not replaced by one's
    rows = database.path / ROWS_FILE
    rows.write_text(rows.read_text().removesuffix("\n"))
    with pytest.raises(KeyboardInterrupt):
        calibrate(database, index, n=20, bars=ends_at(7))
    measured.clear()
    calibrate(database, index, n=20, bars=no_bar)
    assert measured == [("refinement", i) for i in range(7, 20)]
    # What was measured of another state of the database, or with another seed, is not gone on with.
    with pytest.raises(KeyboardInterrupt):
        calibrate(database, index, n=12, seed=8, bars=ends_at(7))
    measured.clear()
    calibrate(database, index, n=12, seed=9, bars=no_bar)
    assert len(measured) == 24


def test_a_quantity_that_the_study_fixes_has_factors_that_can_be_read(database, monkeypatch):
    """Every match begins at the one origin of the space, as the truth does."""
    real = calibration._read_tumour

    def read(database, index, tissue, source, *others):
        return real(database, index, tissue, "matches", *others)

    monkeypatch.setattr(calibration, "_read_tumour", read)
    written = calibrate(database, index_of(database), n=9, bars=no_bar)
    assert written.factors["matches"]["origin_x_mm"] == calibration.FACTOR_STEP
    assert read_calibration(database) == written
    assert reach_of(database, "matches").factors == written.factors["matches"]


def test_factors_are_rounded_up(database, measured):
    index = index_of(database)
    written = calibrate(database, index, n=12, bars=no_bar)
    found = find_factors(read_tumours(database, index, range(12), "matches"))
    for name, exact in zip(QUANTITIES, found, strict=True):
        assert exact <= written.factors["matches"][name] < exact + 1.1 * calibration.FACTOR_STEP


def test_one_process_calibrates_a_database(database, measured):
    index = index_of(database)
    with (
        hold(database.path / calibration.LOCK_FILE),
        pytest.raises(InputError, match=r"another process calibrates .*db, process \d+"),
    ):
        calibrate(database, index, n=12, bars=no_bar)
    assert measured == [] and not (database.path / ROWS_FILE).exists()
    calibrate(database, index, n=12, bars=no_bar)
    assert not (database.path / calibration.LOCK_FILE).exists()


def test_factors_hold_for_what_was_fitted_with_them_alone(database, measured):
    free = calibrate(database, index_of(database), n=12, fit=["ratio"], bars=no_bar)
    assert free.fitted == ("ratio",) and list(free.factors["matches"])[-1] == "ratio"
    assert read_calibration(database) == free
    assert reach_of(database, "refinement", ["ratio"]).factors == free.factors["refinement"]
    said = reach_of(database, "refinement").said
    assert said.endswith("fitted (ratio): make it with `glioquery calibrate DB`.")
    calibrate(database, index_of(database), n=12, bars=no_bar)
    said = reach_of(database, "refinement", ["ratio"]).said
    assert said.endswith("fitted (none): make it with `glioquery calibrate DB --fit ratio`.")
    said = reach_of(database, "refinement", ["rho"]).said  # fitted where a model has no symmetry
    assert said.endswith("fitted (none): make it with `glioquery calibrate DB`.")
    said = reach_of(database, "refinement", [], ["kind"]).said
    assert said.endswith("fitted (none): make it with `glioquery calibrate DB --fit kind`.")
    write_calibration(database, dataclasses.replace(read_calibration(database), tried=("kind",)))
    assert reach_of(database, "refinement", [], ["kind"]).factors is not None
    assert reach_of(database, "refinement").factors is None


def test_tumours_that_no_refinement_grows_are_left_out(database, monkeypatch, measured):
    real = calibration._read_tumour

    def read(database, index, tissue, source, seed, i, free):
        fails = source == "refinement" and i % 2
        return None if fails else real(database, index, tissue, source, seed, i, free)

    monkeypatch.setattr(calibration, "_read_tumour", read)
    found = calibrate(database, index_of(database), n=20, bars=no_bar)
    assert found.n_tumours == {"matches": 20, "refinement": 10}
    with pytest.raises(InputError, match="only 8 of 16 tumours could be refined, 9 are needed"):
        calibrate(database, index_of(database), n=16, seed=8, bars=no_bar)


def test_a_refinement_that_grows_nothing_gives_no_reading(database, tissue, monkeypatch):
    def hopeless(*_, **__):
        raise NoGrowthError("no start grows")

    monkeypatch.setattr(calibration, "refine", hopeless)
    assert read_tumours(database, index_of(database), [0], "refinement") == []


def test_what_cannot_be_calibrated_is_refused_at_once(capsys, database, measured, tmp_path):
    def refused(*arguments):
        code, out, err = run(capsys, "calibrate", *arguments)
        assert (code, out, measured) == (2, "", [])
        (line,) = err.splitlines()
        return line

    assert "takes 9 tumours or more, 200 by default, got 8" in refused(database.path, "--n", 8)
    assert "was drawn with seed 3: choose another" in refused(database.path, "--seed", 3)
    assert "from 0 to 2^32 - 1, got -1" in refused(database.path, "--seed", -1)
    sweep = ParameterSpace.from_dict(
        {
            "sampler": "grid", "dw": [0.2], "rho": [0.05], "days": [150.0],
            "origin_mm": [[-90.0, 120.0, 90.0]],
        }
    )  # fmt: skip
    made = make(tmp_path / "sweep", 1, space=sweep)
    assert "holds every point of its sweep" in refused(made.path)
    (database.path / ROWS_FILE).mkdir()
    line = refused(database.path, "--n", 9)
    assert "cannot be written (Is a directory): a calibration lies beside its database" in line


def test_a_merged_database_is_calibrated_in_the_spaces_of_its_parts(database, tissue, tmp_path):
    other = ParameterSpace(
        whole_ml=Range(5, 15), snapshots_per_run=2, origin_mm=((-150.0, 120.0, 90.0),)
    )
    merged = merge(tmp_path / "all", [database.path, make(tmp_path / "b", 4, space=other).path])
    expected, origins = {(-90.0, 120.0, 90.0), (-150.0, 120.0, 90.0)}, set()
    for i in range(8):
        origins.add(draw_unseen(merged, tissue, 5, i).parameters.origin_mm)
        if origins == expected:
            break
    assert origins == expected


def test_without_a_calibration_that_holds_there_is_a_sentence(database, measured):
    assert reach_of(database, "matches").said == (
        "This database was not calibrated: calibrate it once with `glioquery calibrate DB`."
    )
    calibrate(database, index_of(database), n=9, bars=no_bar)
    grown = make(database.path, 8)
    with pytest.raises(
        CalibrationError, match="to another state of this database: make it again with `glio"
    ):
        read_calibration(grown)
    calibrate(grown, index_of(grown), n=9, bars=no_bar)
    path, made = grown.path / FILE, json.loads((grown.path / FILE).read_text())
    for alter, told in (
        ({"method": METHOD - 1}, "another version of glioquery"),
        ({"schema": "pdf"}, "another version of glioquery"),
        ({"factors": {}}, "was altered"),
        ({"factors": {"matches": {"lambda_mm": 1.0}}}, "was altered"),
        ({"factors": {"matches": dict.fromkeys(QUANTITIES, -1)}}, "was altered"),
        ({"factors": None}, "was altered"),
        ({"seed": None}, "was altered"),
    ):
        path.write_text(json.dumps(made | alter))
        reach = reach_of(grown, "matches")
        assert reach.factors is None and told in reach.said and "glioquery calibrate" in reach.said
    for content in (b"", b"[]", b"\xff\xfe", b"{"):
        path.write_bytes(content)
        assert reach_of(grown, "matches").factors is None


def test_what_the_embedded_database_lacks_takes_one_of_ones_own():
    said = reach_of(embedded_database(), "refinement", ["ratio"]).said
    assert "make a database of your own, and calibrate it with" in said
    assert said.endswith("`glioquery calibrate DB --fit ratio`.")


def test_the_database_that_comes_along_comes_with_its_factors(database):
    embedded = embedded_database()
    found = read_calibration(embedded)
    assert found.n_tumours == {"matches": 200, "refinement": 200} and found.seed == 20_220
    assert found.factors["refinement"]["lambda_mm"] == 2.6
    said = reach_of(embedded, "own anatomy").said
    assert said == "200 simulated tumours refined on the atlas; none in an anatomy of their own"
    write_calibration(database, found)
    assert (database.path / FILE).read_text() == (embedded.path / FILE).read_text().replace(
        embedded.checksum, database.checksum
    )
