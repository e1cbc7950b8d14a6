"""A growth that agrees with outlines: what stays, what follows, what no convention changes."""

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.pipeline.agreement import Front, agree, equation_residual
from glioquery.pipeline.agreement.front import logit
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.images.resampling import resample_image, resample_masks
from glioquery.pipeline.travel import Terrain
from glioquery.query import dice_of_masks
from glioquery.solver import GrowthParameters, Tissue, TumorDensity, TumorMasks, simulate

N = 40
GRID = Grid((N, N, N), np.diag([2.0, 2.0, 2.0, 1.0]))
BRAIN = ndimage.binary_erosion(np.ones(GRID.shape, bool), iterations=2)
EVEN = np.ones(GRID.shape, np.float32)


@pytest.fixture(scope="module")
def sphere():
    """A growth from the middle of white matter, and the width of its front."""
    tissue = Tissue(
        domain=BRAIN,
        wm=BRAIN.astype(np.float32),
        gm=np.zeros(GRID.shape, np.float32),
        grid=GRID,
    )
    growth = GrowthParameters(origin_mm=(39.0, 39.0, 39.0), dw=0.06, rho=0.01, days=900)
    return simulate(tissue, growth).density, growth.lambda_mm


def beside_the_surface(first, size_mm, days):
    """A growth from beside the brain's surface, which lies before voxel `first` of axis x."""
    grid = Grid((N, N, N), np.diag([size_mm, size_mm, size_mm, 1.0]))
    brain = np.zeros(grid.shape, bool)
    brain[first:-2, 2:-2, 2:-2] = True
    white = brain.astype(np.float32)
    tissue = Tissue(domain=brain, wm=white, gm=0 * white, grid=grid)
    origin = tuple(grid.to_world([first + 1, N // 2, N // 2]).tolist())
    growth = GrowthParameters(origin_mm=origin, dw=0.05 * size_mm, rho=0.05, days=days)
    density = simulate(tissue, growth).density
    there = Terrain(density.outlines(), brain, white)
    return density, agree(density, there, lambda_mm=growth.lambda_mm).density


def terrain(masks, brain, speed):
    return Terrain(masks, brain, np.where(brain, speed, np.float32(0)))


@pytest.fixture(scope="module")
def followed(sphere):
    """Outlines 4 mm outside of the growth's, and the map that agrees with them."""
    growth, lambda_mm = sphere
    masks = shifted(growth.outlines(), 4.0)
    return masks, agreed(growth, masks, lambda_mm).density.u


@pytest.fixture(scope="module")
def uneven(sphere):
    """Outlines with a lump in tissue of two speeds, and the map that agrees with them."""
    growth, lambda_mm = sphere
    x, y, z = np.indices(GRID.shape)
    masks = shifted(growth.outlines(), 3.0)
    lump = (x - 26) ** 2 + (y - 18) ** 2 + (z - 22) ** 2 < 16
    masks = TumorMasks(masks.core | lump, masks.whole | lump, GRID)
    speed = np.where(x + y > 45, 0.5, 1).astype(np.float32)
    return masks, speed, agreed(growth, masks, lambda_mm, speed=speed).density.u


def agreed(growth, masks, lambda_mm, brain=BRAIN, speed=EVEN):
    return agree(growth, terrain(masks, brain, speed), lambda_mm=lambda_mm)


def shifted(masks, by_mm):
    """Outlines moved out (or in) along their normals."""

    def moved(mask):
        away, depth = (ndimage.distance_transform_edt(m, (2, 2, 2)) for m in (~mask, mask))
        return (away - depth <= by_mm) & BRAIN

    return TumorMasks(moved(masks.core), moved(masks.whole), masks.grid)


def test_a_growth_whose_outlines_are_the_patients_stays_as_it_is(sphere):
    growth, lambda_mm = sphere
    found = agreed(growth, growth.outlines(), lambda_mm).density
    assert np.abs(found.u - growth.u)[growth.u > 0.01].mean() < 0.01
    assert found.u.sum() == pytest.approx(growth.u.sum(), rel=0.01)
    # An outline is known to half a voxel, here to 1 mm of a front that falls by 0.06 a mm.
    assert np.abs(found.u - growth.u).max() < 0.04


def test_a_growth_does_not_fall_towards_the_brains_surface():
    growth, found = beside_the_surface(5, 2.0, 300)
    core, surface = growth.outlines().core, (5, N // 2, N // 2)
    assert core[surface] and growth.u[surface] > 0.98
    assert found.u[surface] == pytest.approx(growth.u[surface], abs=0.02)
    assert np.sqrt(np.mean((found.u - growth.u)[core] ** 2)) < 0.02
    assert found.u.sum() == pytest.approx(growth.u.sum(), rel=0.02)


@pytest.mark.parametrize("first", [6, 7])  # merged voxels end at the brain's surface, or not
def test_it_does_not_matter_which_voxels_are_merged_at_the_brains_surface(first):
    growth, found = beside_the_surface(first, 1.0, 300)
    assert np.abs(found.u - growth.u)[growth.u > 0.01].mean() < 0.02


def test_the_map_follows_outlines_that_the_growth_misses(sphere):
    growth, lambda_mm = sphere
    truth = TumorDensity(np.roll(growth.u, (3, 2), (0, 1)), GRID)  # 6 and 4 mm away
    masks = truth.outlines()
    found = agreed(growth, masks, lambda_mm).density
    before, after = (sum(dice_of_masks(masks, d.outlines())) for d in (growth, found))
    assert before < 1.5 < 1.94 < after
    # Beyond the outlines too, where nothing was shown, it is the moved growth.
    unseen = (truth.u >= 1e-2) & ~masks.whole
    agreed_logit, grown_logit, true_logit = (
        logit(np.clip(d.u[unseen], 1e-6, 1 - 1e-6)) for d in (found, growth, truth)
    )
    error, error_of_growth = (np.abs(z - true_logit).mean() for z in (agreed_logit, grown_logit))
    assert error < 0.6 * error_of_growth


def test_the_core_is_followed_where_oedema_widens_the_whole(sphere):
    growth, lambda_mm = sphere
    masks = growth.outlines()
    x = np.indices(GRID.shape)[0]
    wide = masks.whole | (shifted(masks, 8.0).whole & (x > N / 2))
    found = agreed(growth, TumorMasks(masks.core, wide, GRID), lambda_mm).density.outlines()
    assert dice_of_masks(masks, found)[0] > 0.95
    added = np.count_nonzero(wide & ~masks.whole)
    assert 0 < np.count_nonzero(found.whole & ~masks.whole) < 0.7 * added


def test_a_whole_outline_is_not_believed_any_distance(sphere):
    growth, lambda_mm = sphere
    masks = growth.outlines()
    x = np.indices(GRID.shape)[0]
    slow = np.float32(0.4) * EVEN  # so that the bound, a time, lies inside this small brain

    def voxels(by_mm):
        wide = masks.whole | (shifted(masks, by_mm).whole & (x > N / 2))
        outlines = TumorMasks(masks.core, wide, GRID)
        found = agreed(growth, outlines, lambda_mm / 0.4, speed=slow).density.outlines()
        return np.count_nonzero(found.whole), np.count_nonzero(wide)

    (own, drawn_own), (near, drawn_near) = voxels(0.0), voxels(4.0)
    assert near - own > 0.2 * (drawn_near - drawn_own)
    # Time of the outlines' distance beyond that of the isolines: 12.5 mm, less than the bound.
    (nearer, drawn_nearer) = voxels(5.0)
    (nearly, drawn_nearly) = voxels(7.0)
    assert nearly - nearer > 0.2 * (drawn_nearly - drawn_nearer)
    (wide, drawn_wide), (wider, drawn_wider) = voxels(10.0), voxels(16.0)
    assert abs(wider - wide) < 0.1 * (drawn_wider - drawn_wide)


@pytest.mark.parametrize("axis", range(3))
def test_a_mirrored_patient_gets_the_mirrored_map(sphere, uneven, axis):
    growth, lambda_mm = sphere
    masks, speed, found = uneven
    mirrored = agreed(
        TumorDensity(np.flip(growth.u, axis), GRID),
        TumorMasks(np.flip(masks.core, axis), np.flip(masks.whole, axis), GRID),
        lambda_mm,
        np.flip(BRAIN, axis),
        np.flip(speed, axis),
    ).density.u
    np.testing.assert_allclose(np.flip(mirrored, axis), found, atol=1e-4)


def test_arrays_in_any_order_of_memory_give_one_map(sphere, followed):
    growth, lambda_mm = sphere
    masks, found = followed
    fortran = TumorMasks(np.asfortranarray(masks.core), np.asfortranarray(masks.whole), GRID)
    again = agreed(TumorDensity(np.asfortranarray(growth.u), GRID), fortran, lambda_mm).density.u
    np.testing.assert_array_equal(again, found)


def test_thick_slices_give_the_map_of_thin_ones(sphere, followed):
    growth, lambda_mm = sphere
    masks, thin = followed
    grid = Grid((N, N, N // 2), np.diag([2.0, 2.0, 4.0, 1.0]))

    def thick(values):
        return values.reshape(N, N, N // 2, 2).mean(axis=3)

    found = agree(
        TumorDensity(thick(growth.u), grid),
        terrain(
            TumorMasks(thick(masks.core) >= 0.5, thick(masks.whole) >= 0.5, grid),
            thick(BRAIN) >= 0.5,
            thick(EVEN),
        ),
        lambda_mm=lambda_mm,
    ).density.u
    seen = thick(growth.u) > 0.01
    assert np.abs(found - thick(thin))[seen].mean() < 0.02


def test_fine_voxels_are_put_together(sphere, followed):
    growth, lambda_mm = sphere
    masks, coarse = followed
    # The same patient on a scale of 1 to 5: voxels of 0.4 mm, a front five times as thin.
    grid = Grid(GRID.shape, np.diag([0.4, 0.4, 0.4, 1.0]))
    found = agree(
        TumorDensity(growth.u, grid),
        terrain(TumorMasks(masks.core, masks.whole, grid), BRAIN, EVEN),
        lambda_mm=lambda_mm / 5,
    )
    assert found.density.u.shape == GRID.shape
    seen = growth.u > 0.01
    assert np.abs(found.density.u - coarse)[seen].mean() < 0.05


@pytest.mark.parametrize("spacing", [(1.3, 1.2, 2.6), (3.0, 3.0, 3.0)])
def test_what_agrees_on_one_grid_agrees_on_another(sphere, spacing):
    growth, lambda_mm = sphere
    x = np.indices(GRID.shape)[0]
    brain = BRAIN & (x < 24)  # its surface lies where there are cells
    masks = shifted(growth.outlines(), 3.0)
    masks = TumorMasks(masks.core & brain, masks.whole & brain, GRID)
    speed = np.where(x > 18, 0.5, 1).astype(np.float32)
    grid = Grid(tuple(int(80 / s) for s in spacing), np.diag([*spacing, 1.0]))
    there = Terrain(
        resample_masks(masks, grid),
        resample_image(Scan(brain.astype(np.float32), GRID), grid).values >= 0.5,
        np.zeros(grid.shape, np.float32),
    )
    found = agree(growth, terrain(masks, brain, speed), lambda_mm=lambda_mm)
    carried = found.carried_to(there).density
    assert not carried.u[~there.brain].any()
    assert dice_of_masks(there.outlines, carried.outlines())[0] > 0.95
    # As many cells in all: none bleed away at the brain's surface.
    ml = carried.u.sum() * grid.voxel_ml
    assert ml == pytest.approx(found.density.u.sum() * GRID.voxel_ml, rel=0.02)


def test_the_core_is_held_on_thick_slices_too(sphere):
    growth, lambda_mm = sphere
    masks = growth.outlines()
    found = agreed(growth, masks, lambda_mm)
    grid = Grid((N, N, 13), np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 6, 2.5], [0, 0, 0, 1.0]]))
    there = Terrain(
        resample_masks(masks, grid),
        np.ones(grid.shape, bool),
        np.ones(grid.shape, np.float32),
    )
    carried = found.carried_to(there).density.outlines().core
    assert there.outlines.core.any()
    assert carried[there.outlines.core].all()


def test_one_voxel_is_a_core(sphere):
    growth, lambda_mm = sphere
    core = np.zeros(GRID.shape, bool)
    core[22, 19, 19] = True
    whole = growth.outlines().whole
    found = agreed(growth, TumorMasks(core, whole, GRID), lambda_mm).density
    assert np.unravel_index(found.u.argmax(), GRID.shape) == (22, 19, 19)


def test_without_a_core_the_whole_outline_is_followed(sphere):
    growth, lambda_mm = sphere
    whole = shifted(growth.outlines(), 5.0).whole
    masks = TumorMasks(np.zeros_like(whole), whole, GRID)
    found = agreed(growth, masks, lambda_mm).density
    assert dice_of_masks(masks, found.outlines())[1] > 0.97


def test_each_of_several_cores_is_followed(sphere):
    growth, lambda_mm = sphere
    x, y, z = np.indices(GRID.shape)
    balls = [(x - c) ** 2 + (y - 19) ** 2 + (z - 19) ** 2 for c in (12, 27)]
    core = (balls[0] < 9) | (balls[1] < 16)
    whole = (balls[0] < 36) | (balls[1] < 49)
    found = agreed(growth, TumorMasks(core, whole, GRID), lambda_mm).density.outlines()
    assert ndimage.label(found.core)[1] == 2
    assert dice_of_masks(TumorMasks(core, whole, GRID), found)[0] > 0.95


def test_nothing_grows_outside_the_brain_and_behind_what_no_front_passes(sphere):
    growth, lambda_mm = sphere
    masks = growth.outlines()
    x = np.indices(GRID.shape)[0]
    brain = BRAIN & (x != 30)  # a wall
    found = agreed(growth, masks, lambda_mm, brain).density.u
    assert not found[~brain].any()
    assert found[29, 20, 20] > 1e-3
    assert not found[31:].any()


def test_a_tumour_apart_from_the_brain_has_its_own_cells_alone(sphere):
    """It ended with a traceback, after the whole inversion."""
    growth, lambda_mm = sphere
    masks = growth.outlines()
    rim = ndimage.binary_dilation(masks.whole, iterations=3) & ~masks.whole
    found = agreed(growth, masks, lambda_mm, BRAIN & ~rim).density
    assert dice_of_masks(masks, found.outlines())[0] > 0.95
    assert found.u[masks.whole].min() > 0.05 and not found.u[~masks.whole].any()


@pytest.mark.parametrize("has_core", [True, False])
def test_an_outline_that_merged_voxels_lose_is_followed_on_the_fine_ones(sphere, has_core):
    """The density was empty, and no plan could be drawn."""
    growth, lambda_mm = sphere
    grid = Grid(GRID.shape, np.diag([0.4, 0.4, 0.4, 1.0]))
    one = np.zeros(GRID.shape, bool)
    one[20, 20, 20] = True
    whole = growth.outlines().whole if has_core else one
    masks = TumorMasks(one & has_core, whole, grid)
    found = agree(
        TumorDensity(growth.u, grid), terrain(masks, BRAIN, EVEN), lambda_mm=lambda_mm / 5
    )
    assert found.density.u[20, 20, 20] >= (0.6 if has_core else 0.2)


def test_a_core_is_followed_where_the_whole_outline_fills_the_brain(sphere):
    """The front was shifted by half of what lies between the isolines."""
    growth, lambda_mm = sphere
    masks = growth.outlines()
    filled = TumorMasks(masks.core, np.ones_like(BRAIN), GRID)
    everywhere = np.ones_like(BRAIN)
    found = agreed(growth, filled, lambda_mm, everywhere).density
    seen = (growth.u > 0.01) & BRAIN
    # The growth's own share hides a part of it; beyond the core's correction nothing else does.
    assert np.abs(found.u - growth.u)[seen].mean() < 0.015


def test_a_growth_without_cells_has_no_share(sphere):
    """Where the growth ends, its own logit says nothing: the front that was placed counts."""
    growth, lambda_mm = sphere
    x = np.indices(GRID.shape)[0]
    cut = TumorDensity(np.where(x < 24, growth.u, np.float32(0)), GRID)  # the front's other half
    masks = growth.outlines()
    found = agreed(cut, masks, lambda_mm).density.u
    mirrored = found[-2:0:-1]  # about the origin
    there = (x[1:-1] > 26) & (growth.u[1:-1] > 1e-3) & (growth.u[1:-1] < 0.1)
    ratio = found[1:-1][there] / mirrored[there]
    assert np.median(ratio) == pytest.approx(1, abs=0.3)


def test_outlines_at_the_edge_of_the_brain_are_met(sphere):
    growth, lambda_mm = sphere
    x = np.indices(GRID.shape)[0]
    brain = BRAIN & (x < 21)
    masks = TumorMasks(
        *(m & brain for m in (growth.outlines().core, growth.outlines().whole)), GRID
    )
    found = agreed(growth, masks, lambda_mm, brain).density
    assert min(dice_of_masks(masks, found.outlines())) > 0.97


def test_a_growth_that_reaches_no_threshold_lends_its_front_all_the_same(sphere):
    growth, lambda_mm = sphere
    masks = growth.outlines()
    faint = TumorDensity(0.4 * growth.u, GRID)
    found = agreed(faint, masks, lambda_mm).density
    assert min(dice_of_masks(masks, found.outlines())) > 0.85
    none = TumorDensity(np.zeros_like(growth.u), GRID)
    found = agreed(none, masks, lambda_mm).density
    assert dice_of_masks(masks, found.outlines())[0] > 0.97


def test_the_same_is_found_twice(sphere, followed):
    growth, lambda_mm = sphere
    masks, first = followed
    np.testing.assert_array_equal(agreed(growth, masks, lambda_mm).density.u, first)


def test_a_front_is_read_off_its_voxels():
    times = np.linspace(-10, 30, 4000)
    u = 1 / (1 + np.exp(times / 2))
    front = Front.of_growth(times, u, 2.0)
    at = np.array([-20.0, -5.0, 0.0, 7.0, 40.0])
    np.testing.assert_allclose(front.at(at), -at / 2, atol=0.3)
    assert front.time_of(0.2) == pytest.approx(-2 * float(logit(0.2)), abs=0.1)
    assert front.from_time(3.0).at(np.array([0.0])) == pytest.approx(-1.5, abs=0.1)
    assert front.at(np.array([np.inf]))[0] == -np.inf


def test_a_front_always_falls():
    rng = np.random.default_rng(0)
    times = rng.uniform(-5, 20, 3000)
    u = np.clip(1 / (1 + np.exp(times / 2)) + rng.normal(0, 0.2, times.shape), 0, 1)
    front = Front.of_growth(times, u, 2.0)
    assert (np.diff(front.at(np.linspace(-30, 60, 500))) <= 0).all()
    assert front.time_of(0.6) <= front.time_of(0.2)


def test_a_growth_obeys_its_equation_and_a_drawing_does_not(sphere):
    growth, lambda_mm = sphere
    speed = EVEN * BRAIN
    drawing = TumorDensity(
        (0.5 * growth.outlines().core + 0.3 * growth.outlines().whole).astype(np.float32), GRID
    )
    assert equation_residual(growth, speed, lambda_mm) < 0.3
    assert equation_residual(drawing, speed, lambda_mm) > 0.8
    assert np.isnan(equation_residual(TumorDensity(np.zeros_like(growth.u), GRID), speed, 1.0))


@pytest.mark.parametrize("shape", ["flat", "sulci"])
def test_a_growth_obeys_its_equation_beside_a_surface_too(sphere, shape):
    """Nothing leaves through a surface, so that no slope across it counts."""
    brain = BRAIN.copy()
    if shape == "flat":
        brain[:18] = False
    else:
        brain[::8, :, 17:] = brain[1::8, :, 17:] = False
    white = brain.astype(np.float32)
    tissue = Tissue(domain=brain, wm=white, gm=0 * white, grid=GRID)
    origin = tuple(GRID.to_world([20, 20, 20] if shape == "flat" else [20, 20, 12]).tolist())
    growth = GrowthParameters(origin_mm=origin, dw=0.06, rho=0.01, days=900)
    density = simulate(tissue, growth).density
    in_the_middle = equation_residual(*[sphere[0], EVEN * BRAIN, sphere[1]])
    assert equation_residual(density, white, growth.lambda_mm) < in_the_middle + 0.1


def test_a_wide_front_does_not_end_before_its_cells_do():
    """60 mm of white matter are 27 mm of grey matter."""
    x, y, z = np.indices(GRID.shape)
    speed = np.float32(1 / np.sqrt(5))
    time = (np.sqrt((x - 20) ** 2 + (y - 20) ** 2 + (z - 20) ** 2) * 2 - 8) / speed
    growth = TumorDensity(np.where(BRAIN, 1 / (1 + np.exp(time / 15)), 0).astype(np.float32), GRID)
    found = agreed(growth, growth.outlines(), 15.0, speed=speed * EVEN).density.u
    shell = BRAIN & (time > 60) & (time < 70)
    assert shell.sum() > 1000
    np.testing.assert_allclose(found[shell], growth.u[shell], rtol=0.3)  # times are smoothed
