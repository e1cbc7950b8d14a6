"""Outlines that lie in the atlas's brain, in part, or elsewhere."""

import json

import numpy as np
import pytest
from command_line import run
from generating import make_indexed

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.dbgen import ParameterSpace, Plan, Range
from glioquery.errors import InputError
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.inversion import growth
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.registration import placement
from glioquery.pipeline.registration.placement import (
    judge_placement,
    require_overlap,
    share_in_brain,
)
from glioquery.pipeline.registration.restart import Registered
from glioquery.query import Match
from glioquery.solver import TumorMasks

MNI = Grid(
    (46, 55, 46),
    np.array([[-4, 0, 0, 90], [0, 4, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1.0]]),
)
"""A grid in MNI's world, whose origin is at the anterior commissure."""

OUTWARD = np.array([30.0, 0, 0])
"""From the right surface of the brain into the air, mm."""


def ball(grid, centre_mm, radius_mm):
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    distance = np.linalg.norm(points - centre_mm, axis=-1)
    return TumorMasks(distance < radius_mm / 2, distance < radius_mm, grid)


def partly_away(masks):
    """Outlines with eight thousand voxels in a corner of the grid."""
    whole = masks.whole.copy()
    whole[:20, :20, :20] = True
    return TumorMasks(masks.core, whole, masks.grid)


def as_labels(masks):
    return np.where(masks.core, 4, 2 * masks.whole).astype(np.uint8)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Four tumours around one place, indexed."""
    space = ParameterSpace(
        whole_ml=Range(5, 15), snapshots_per_run=2, origin_mm=((-90.0, 120.0, 90.0),)
    )
    folder = tmp_path_factory.mktemp("placement") / "db"
    return make_indexed(folder, 4, Plan(space, seed=3), store="outlines")


@pytest.fixture(scope="module")
def surface(atlas):
    """A point of the brain's surface, on the x axis through its middle, mm."""
    y, z = 64, 62
    x = int(np.flatnonzero(atlas.brain[:, y, z])[-1])
    return SIMULATION_GRID.to_world([x, y, z])


def test_the_share_is_that_of_voxels_in_the_brain(atlas, surface, monkeypatch):
    masks = ball(SIMULATION_GRID, surface, 20)
    expected = (masks.whole & atlas.brain).sum() / masks.whole.sum()
    assert 0.2 < expected < 0.75
    assert share_in_brain(masks, atlas) == expected
    monkeypatch.setattr(placement, "MOST_POINTS", 500)  # an eighth of them
    assert share_in_brain(masks, atlas) == pytest.approx(expected, abs=0.05)
    assert share_in_brain(ball(SIMULATION_GRID, (500, 0, 0), 20), atlas) == 0  # empty


def test_a_small_share_is_told_and_none_refused(atlas, surface):
    inside = surface - OUTWARD
    placed = judge_placement(ball(SIMULATION_GRID, inside, 20), atlas, name="it", remedy="move it")
    assert placed.share > 0.9 and placed.notice is None
    placed = judge_placement(ball(SIMULATION_GRID, surface, 20), atlas, name="it", remedy="move it")
    assert placed.notice == (
        f"it: only {placed.share:.0%} of the whole outline lies in the atlas's brain (expected at "
        "least 75%); move it."
    )
    away = surface + OUTWARD
    with pytest.raises(InputError, match=r"it: no voxel of the outlines lies in the .*; move it"):
        judge_placement(ball(SIMULATION_GRID, away, 20), atlas, name="it", remedy="move it")


def test_matches_without_a_common_voxel_are_no_answer():
    none, some = Match(0, 0.0, 0.0, 0.0), Match(1, 0.1, 0.0, 0.1)
    masks = ball(SIMULATION_GRID, np.zeros(3), 20)
    require_overlap([none, some], masks, name="it", remedy="move it")
    with pytest.raises(InputError, match=r"it: no stored tumour .*; move it, or search a larger"):
        require_overlap([none, none], masks, name="it", remedy="move it")


def test_two_empty_cores_are_no_common_voxel():
    masks = ball(SIMULATION_GRID, np.zeros(3), 20)
    coreless = TumorMasks(np.zeros_like(masks.core), masks.whole, masks.grid)
    agreeing = Match(0, 1.0, dice_core=1.0, dice_whole=0.0)  # with empty_score=1
    with pytest.raises(InputError, match="not even by a voxel"):
        require_overlap([agreeing], coreless, name="it", remedy="move it")
    require_overlap([agreeing], masks, name="it", remedy="move it")


@pytest.mark.parametrize(
    ("grid", "centre_mm", "options", "told"),
    [
        (MNI, (-30, 25, 30), (), "no voxel of the outlines lies in the atlas's brain"),
        (SIMULATION_GRID, (-90, 200, 90), (), "no stored tumour overlaps"),
        (SIMULATION_GRID, (-90, 200, 90), ("--measure", "l2"), "no stored tumour overlaps"),
    ],
)
def test_a_query_without_an_answer_is_refused(
    capsys, database, tmp_path, grid, centre_mm, options, told
):
    refuse_query(capsys, database, tmp_path, grid, centre_mm, options, told)


def test_a_query_of_a_strategy_without_an_answer_is_refused(capsys, ray, database, tmp_path):
    options, told = ("--strategy", "naive"), "no stored tumour overlaps"
    refuse_query(capsys, database, tmp_path, SIMULATION_GRID, (-90, 200, 90), options, told)


def refuse_query(capsys, database, tmp_path, grid, centre_mm, options, told):
    masks = ball(grid, centre_mm, 15)
    write_nifti(tmp_path / "seg.nii.gz", as_labels(masks), grid)
    query = ("query", database.path, "--seg", tmp_path / "seg.nii.gz", "--labels", "brats2021")
    code, out, err = run(capsys, *query, *options, "--json")
    assert (code, out) == (2, "") and told in err.splitlines()[-1]
    assert "register them to SRI24" in err.splitlines()[-1]


def test_a_query_tells_the_share_and_a_small_one_loudly(capsys, atlas, database, tmp_path):
    def asked(masks):
        write_nifti(tmp_path / "seg.nii.gz", as_labels(masks), masks.grid)
        query = ("query", database.path, "--seg", tmp_path / "seg.nii.gz", "--labels", "brats2021")
        code, out, err = run(capsys, *query, "--json")
        assert code == 0, err
        return json.loads(out)["share_in_brain"], err

    stored = database.outlines(0)
    share, said = asked(stored)
    assert share == share_in_brain(stored, atlas) > 0.9
    assert f"{share:.0%} of the whole outline lies" in said and "notice" not in said
    share, said = asked(partly_away(stored))
    assert share < 0.75
    assert f"notice: segmentation {tmp_path / 'seg.nii.gz'}: only {share:.0%}" in said


def test_a_bad_segmentation_is_refused_before_an_index_is_made(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path / "cache"))
    write_nifti(tmp_path / "seg.nii.gz", as_labels(ball(MNI, (-30, 25, 30), 15)), MNI)
    query = ("query", "--seg", tmp_path / "seg.nii.gz", "--labels", "brats2021")
    assert run(capsys, *query)[0] == 2
    assert not (tmp_path / "cache" / "databases").exists()


def test_real_cases_of_an_evaluation_are_judged_alike(capsys, database, tmp_path):
    folder = tmp_path / "cases"
    folder.mkdir()
    evaluate = (
        "evaluate", database.path, "-o", tmp_path / "out", "--synthetic", 0, "--cases", folder,
        "--case-files", "*.nii.gz", "--labels", "brats2021", "--strategies", "direct", "--json",
    )  # fmt: skip

    def add(name, masks):
        write_nifti(folder / f"{name}.nii.gz", as_labels(masks), masks.grid)

    add("a", partly_away(database.outlines(0)))
    code, out, err = run(capsys, *evaluate)
    assert code == 0, err
    assert f"notice: segmentation {folder / 'a.nii.gz'}: only" in err
    add("b", ball(SIMULATION_GRID, (-90, 200, 90), 15))
    code, out, err = run(capsys, *evaluate)
    assert (code, out) == (2, "")
    assert f"{folder / 'b.nii.gz'}: no stored tumour overlaps" in err.splitlines()[-1]
    add("b", ball(MNI, (-30, 25, 30), 15))
    code, out, err = run(capsys, *evaluate)
    assert (code, out) == (2, "")
    assert f"{folder / 'b.nii.gz'}: no voxel of the outlines lies" in err.splitlines()[-1]


def test_an_inversion_whose_outline_lands_elsewhere_is_refused(
    database, virtual, known, surface, monkeypatch
):
    """Registrations that go wrong: one out of the brain, one away from all that is stored."""
    lesion = np.array([-85.0, 125, 85])
    for target, told in (
        (surface + OUTWARD, "the registered outline: no voxel of the outlines lies in"),
        (np.array([-90.0, 200, 90]), "the registered outline: no stored tumour overlaps"),
    ):
        shift = np.eye(4)
        shift[:3, 3] = known.patient_from_atlas(lesion[None])[0] - target
        transform = AtlasTransform.linear(shift)

        def land(patient, atlas, grid, transform=transform, **_):
            masks = transform.masks_to_atlas(patient.outlines, grid)
            return Registered(transform, masks, quality=None, restarted=False)

        monkeypatch.setattr(growth, "register_and_assess", land)
        with pytest.raises(InputError, match=told):
            invert(virtual, database)


def test_outlines_too_small_for_the_grid_are_called_so(atlas):
    nothing = np.zeros(SIMULATION_GRID.shape, bool)
    with pytest.raises(InputError, match=r"a: nothing of the outlines is left .* too small"):
        judge_placement(TumorMasks(nothing, nothing, SIMULATION_GRID), atlas, name="a", remedy="b")
