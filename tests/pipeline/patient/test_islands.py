"""Specks far from a tumour are left out and told; what may be tumour stays."""

import json

import nibabel as nib
import numpy as np
import pytest
from command_line import run
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_pages import without_meanings
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.dbgen import Database
from glioquery.pipeline.cohort.cohort import Case, describe_request, invert_case
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.islands import part_islands
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.prediction.planning import draw_standard
from glioquery.solver import TumorMasks

GRID = Grid((50, 50, 50), np.diag([3.0, 3.0, 3.0, 1]))
CENTRE = (75.0, 75.0, 75.0)


def ball(centre_mm, radius_mm, grid=GRID):
    at = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return ((at - centre_mm) ** 2).sum(-1) <= radius_mm**2


BRAIN = ball(CENTRE, 70)
TUMOUR = TumorMasks(ball((60, 75, 75), 13), ball((60, 75, 75), 24), GRID)


def standard_ml(masks):
    return draw_standard(masks, BRAIN)[1].sum() * GRID.voxel_ml


ALONE_ML = standard_ml(TUMOUR)


def with_specks(masks, core, whole):
    return TumorMasks(masks.core | core, masks.whole | core | whole, masks.grid)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@example(2**32 - 2, 14)  # a speck near one that touches the core
@example(86, 18)  # two voxels side by side, one of them near the core
@settings(max_examples=8)
def test_random_specks_hardly_change_the_standard_volume(seed, n):
    specks = np.zeros(GRID.shape, bool)
    voxels = np.argwhere(BRAIN)
    specks[tuple(np.random.default_rng(seed).choice(voxels, n).T)] = True
    masks, islands = part_islands(with_specks(TUMOUR, specks, False))
    assert islands.n_whole + islands.n_core > 0 or n < 20
    # Beyond the crumbs at the core's edge nothing is added, whatever lies elsewhere; those that
    # lie side by side are no islands if they are 0.1 ml together or one of them is near, and one
    # that touches the core is of it.
    solid = large(TUMOUR.core | specks)
    near = specks & (ndimage.distance_transform_edt(~solid, GRID.spacing_mm) <= 10.0)
    near = ndimage.binary_propagation(near, np.ones((3, 3, 3)), specks)
    assert standard_ml(masks) <= standard_ml(with_specks(TUMOUR, solid | near, False)) + 1e-9
    assert standard_ml(masks) >= ALONE_ML


def large(specks):
    labels, _ = ndimage.label(specks, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel()) * GRID.voxel_ml
    sizes[0] = 0
    return (sizes >= 0.1)[labels]


def test_sixty_false_voxels_and_three_specks_change_nothing():
    rng = np.random.default_rng(1)
    far = np.argwhere(BRAIN & (ndimage.distance_transform_edt(~TUMOUR.whole) * 3 > 12))
    specks = np.zeros(GRID.shape, bool)
    specks[tuple(rng.choice(far, 20).T)] = True
    dirty = with_specks(TUMOUR, specks, False)
    assert standard_ml(dirty) > 3 * ALONE_ML
    masks, islands = part_islands(dirty)
    assert standard_ml(masks) == ALONE_ML
    assert islands.n_whole >= 15 and islands.n_core == 0
    assert islands.whole_ml == pytest.approx((dirty.whole.sum() - TUMOUR.whole.sum()) * 0.027)
    assert islands.whole_ml == pytest.approx(islands.row()["whole"]["ml"])
    for said in ("0.1 ml", "2%", "10 mm", f"{islands.n_whole} of the whole tumour", "left out"):
        assert said in islands.notice
    kept, told = part_islands(dirty, keep=True)
    assert kept is dirty and not told.left_out and "kept, as --keep-islands asks" in told.notice


@pytest.mark.parametrize(
    ("centre", "radius_mm", "what"),
    [
        ((105, 75, 75), 4, "a second focus of 0.2 ml"),
        ((60, 75, 105), 1, "a crumb 6 mm from the outline"),
        ((60, 75, 99), 1, "a spur of the outline itself"),
    ],
)
def test_what_may_be_tumour_stays(centre, radius_mm, what):
    more = ball(centre, radius_mm)
    masks, islands = part_islands(with_specks(TUMOUR, False, more))
    assert (masks.whole == (TUMOUR.whole | more)).all(), what
    assert islands.notice is None and islands.whole_ml == 0


def test_specks_beside_a_second_focus_stay():
    """Near is what is near any larger component, not the largest alone."""
    second = ball((120, 75, 75), 6) | ball((120, 75, 88), 1)
    masks, islands = part_islands(with_specks(TUMOUR, second, False))
    assert (masks.core == (TUMOUR.core | second)).all() and islands.notice is None


def test_core_voxels_far_from_the_core_inside_the_oedema_are_its_islands():
    speck = ball((60, 96, 75), 1) | ball((39, 75, 75), 1)
    specks = ball((60, 96, 78), 1)
    masks, islands = part_islands(with_specks(TUMOUR, specks, False))
    assert (masks.core == (TUMOUR.core | specks)).all()  # 9 mm from the core
    wide = TumorMasks(ball((60, 75, 75), 9), TUMOUR.whole, GRID)
    masks, islands = part_islands(with_specks(wide, speck, False))
    assert (masks.core == wide.core).all() and (masks.whole == wide.whole).all()
    assert (islands.n_core, islands.n_whole) == (2, 0)
    assert islands.core_ml == pytest.approx(speck.sum() * 0.027)
    assert "2 of the core" in islands.notice


def test_the_pieces_of_a_small_tumour_stay():
    pieces = ball((45, 75, 75), 3) | ball((75, 75, 75), 1) | ball((105, 75, 75), 1)
    tiny = TumorMasks(np.zeros_like(pieces), pieces, GRID)
    masks, islands = part_islands(tiny)
    assert (masks.whole == pieces).all() and islands.notice is None


def test_distances_are_millimetres_and_those_of_thick_slices_two_slices():
    thick = Grid((60, 60, 12), np.diag([1.0, 1.0, 7.0, 1]))
    whole = np.zeros(thick.shape, bool)
    whole[20:50, 20:50, 3:6] = True
    apart = whole.copy()
    apart[30, 30, 7] = True  # 14 mm from the outline, over one empty slice
    none = np.zeros_like(whole)
    assert part_islands(TumorMasks(none, apart, thick))[1].n_whole == 0
    apart[8, 8, 5] = True  # 17 mm
    masks, islands = part_islands(TumorMasks(none, apart, thick))
    assert islands.n_whole == 1 and not masks.whole[8, 8, 5] and masks.whole[30, 30, 7]


@pytest.fixture
def specked(coarse, tmp_path):
    """The patient with a false voxel of core 40 mm away."""
    image = nib.load(coarse / "seg.nii")
    labels = np.asarray(image.dataobj).copy()
    x, y, z = np.argwhere(labels > 0).mean(axis=0).astype(int)
    brain = np.asarray(nib.load(coarse / "t1.nii").dataobj) > 0
    away = next(at for at in ((x, y - 13, z), (x, y + 13, z), (x + 13, y, z)) if brain[at])
    assert labels[away] == 0
    labels[away] = 4
    write_nifti(tmp_path / "seg.nii", labels, Grid(labels.shape, image.affine))
    return {"t1": coarse / "t1.nii", "seg": tmp_path / "seg.nii"}


@pytest.mark.usefixtures("quick")
def test_an_inversion_leaves_islands_out_and_tells(capsys, near, specked, coarse, tmp_path):
    out = tmp_path / "out"
    files = ("--t1", specked["t1"], "--seg", specked["seg"], "--labels", "brats2021")
    files += ("-o", out, "--no-refine")
    code, _, err = run(capsys, "invert", near.path, *files)
    assert code == 0 and "have islands: 1 of the whole tumour" in err
    found = json.loads((out / "result.json").read_text())
    assert found["islands"] == {
        "left_out": True,
        "limits": {"most_ml": 0.1, "most_share_of_largest": 0.02, "least_distance_mm": 10.0},
        "core": {"n": 0, "ml": 0.0},
        "whole": {"n": 1, "ml": pytest.approx(0.064)},
    }
    assert any("have islands" in notice for notice in found["notices"])
    page = without_meanings((out / "report.html").read_text())
    assert "1 islands of the outlined whole tumour, left out" in page
    assert run(capsys, "invert", near.path, *files, "--keep-islands")[0] == 0
    kept = json.loads((out / "result.json").read_text())
    assert not kept["islands"]["left_out"]
    assert kept["planning"]["standard_ml"] > found["planning"]["standard_ml"] + 5


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_cohort_keeps_islands_where_it_is_asked_to(near, specked, tmp_path):
    case, options = Case("a", specked, "brats2021"), InversionOptions(refine=False)
    asked = {
        keep: describe_request(case, near, options, keep_islands=keep) for keep in (False, True)
    }
    assert asked[False] != asked[True]
    folder, model = tmp_path / "out", type(near.model)
    failure = invert_case(near.path, model, case, folder, asked[True], options, keep_islands=True)
    assert failure is None
    assert not json.loads((folder / "result.json").read_text())["islands"]["left_out"]
    assert Database.open(near.path).path == near.path


def test_a_core_of_islands_alone_is_none(specked, tmp_path):
    image = nib.load(specked["seg"])
    labels = np.asarray(image.dataobj).copy()
    tumour, _ = ndimage.label(labels, np.ones((3, 3, 3)))
    largest = np.bincount(tumour.ravel())[1:].argmax() + 1
    labels[(tumour == largest)] = 2
    write_nifti(tmp_path / "other.nii", labels, Grid(labels.shape, image.affine))
    patient = load_patient(t1=specked["t1"], seg=tmp_path / "other.nii", labels="brats2021")
    assert not patient.masks.core.any()
    assert any("no core besides islands" in notice for notice in patient.notices)
