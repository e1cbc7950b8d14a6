"""Travel times against exact formulas and against paths through a graph of voxels."""

import itertools

import numpy as np
import pytest
from scipy import optimize
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from glioquery.errors import InputError
from glioquery.pipeline.travel import travel_time
from glioquery.pipeline.travel.eikonal import FAR, solve_eikonal

ISOTROPIC = (1.0, 1.0, 1.0)
THICK = (1.0, 1.0, 4.0)


def centres_mm(shape, spacing_mm=ISOTROPIC):
    """Distance of voxel centres from the middle of the array, (nx, ny, nz, 3)."""
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


def from_point(point_mm, speed, spacing_mm=ISOTROPIC, radius_mm=3.0):
    """Times from a point, those within a radius given: errors are the solver's alone."""
    away = np.linalg.norm(centres_mm(speed.shape, spacing_mm) - point_mm, axis=-1)
    slowness = (1 / np.where(speed > 0, speed, 1)).astype(np.float32)
    start = np.where(away <= radius_mm, away * slowness, FAR).astype(np.float32)
    return solve_eikonal(start, slowness, speed > 0, spacing_mm)


@pytest.fixture(scope="module")
def tissue():
    """A ball of tissue of two speeds with a hole, on voxels of 1 x 1 x 2 mm, and an outline."""
    spacing = (1.0, 1.0, 2.0)
    x, y, z = np.moveaxis(centres_mm((27, 22, 14), spacing), -1, 0)
    speed = np.where(np.sin(x / 2) + np.cos(y / 3) > 0.3, 1.0, 0.4)
    speed[(np.abs(x - 3) < 1.5) & (y > -5)] = 0
    speed[x**2 + y**2 + z**2 > 13**2] = 0
    outline = (x + 5) ** 2 + y**2 + z**2 < 3.5**2
    return outline, speed, spacing


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("spacing", [ISOTROPIC, THICK])
def test_a_plane_lies_half_a_voxel_from_the_centres_beside_it(axis, spacing):
    places = np.arange(12).reshape([-1 if a == axis else 1 for a in range(3)])
    places = np.broadcast_to(places, (12, 12, 12))
    found = travel_time(places < 5, np.full(places.shape, 0.5), spacing)
    assert found == pytest.approx((places - 4.5) * spacing[axis] / 0.5, abs=2e-3)


@pytest.mark.parametrize(("inside", "outside"), [(1, 0.2), (0.2, 1), (0.447, 0.2)])
@pytest.mark.parametrize("spacing", [ISOTROPIC, (4.0, 1.0, 1.0)])
def test_each_side_of_a_plane_has_its_own_speed(spacing, inside, outside):
    x = np.indices((24, 6, 6))[0]
    times = travel_time(x < 10, np.where(x < 10, inside, outside), spacing)
    expected = (x - 9.5) * spacing[0] / np.where(x < 10, inside, outside)
    np.testing.assert_allclose(times, expected, rtol=1e-5)


def test_a_diagonal_plane_lies_between_its_voxels():
    x, y = np.indices((12, 12, 12))[:2]
    found = travel_time(x + y < 12, np.ones(x.shape), ISOTROPIC)
    exact = (x + y - 11.5) / np.sqrt(2)
    middle = (slice(3, 9), slice(3, 9))  # no path from there to the plane leaves the array
    assert found[middle] == pytest.approx(exact[middle], abs=0.02)


@pytest.mark.parametrize(
    ("spacing", "error_mm"), [(ISOTROPIC, 0.6), ((0.5, 0.5, 0.5), 0.32), (THICK, 1.9)]
)
def test_times_from_a_ball_are_distances_to_within_a_voxels_half(spacing, error_mm):
    shape = [int(36 / h) for h in spacing]
    away = np.linalg.norm(centres_mm(shape, spacing) - (0.2, -0.3, 0.4), axis=-1)
    found = travel_time(away < 12, np.ones(away.shape), spacing)
    error = found - (away - 12)
    assert np.abs(error).max() < error_mm and abs(error.mean()) < error_mm / 2.5
    assert found.dtype == np.float32


@pytest.mark.parametrize(("spacing", "error_mm"), [(ISOTROPIC, 0.075), (THICK, 0.85)])
def test_the_solver_is_exact_to_a_fraction_of_a_voxel_in_one_medium(spacing, error_mm):
    assert error_in_one_medium(spacing) < error_mm


def test_the_solver_is_of_second_order():
    assert error_in_one_medium((2.0, 2.0, 2.0)) / error_in_one_medium(ISOTROPIC) == pytest.approx(
        4, rel=0.1
    )


def error_in_one_medium(spacing):
    """Largest error, in mm, of times around a ball of 8 mm of given ones."""
    shape = [int(60 / h) for h in spacing]
    away = np.linalg.norm(centres_mm(shape, spacing), axis=-1)
    found = from_point(np.zeros(3), np.ones(shape), spacing, radius_mm=8)
    return np.abs(found - away).max()


@pytest.mark.parametrize(("near", "far"), [(1.0, 0.4), (0.4, 1.0)])
def test_a_front_is_refracted_between_two_media(near, far):
    # Snell: the path through the point of the interface that makes the whole quickest.
    fine = (0.5, 0.5, 0.5)
    place = centres_mm((80, 66, 5), fine)
    source = np.array([-12.0, -8.0, 0.0])
    found = from_point(source, np.where(place[..., 0] < 0, near, far), fine)
    for target in ((51, 41, 2), (61, 17, 2), (71, 61, 2)):
        x, y, _ = place[target]

        def time(crossing, x=x, y=y):
            first = np.hypot(source[0], crossing - source[1])
            return first / near + np.hypot(x, y - crossing) / far

        exact = optimize.minimize_scalar(time, bounds=(-20, 20), method="bounded").fun
        assert found[target] == pytest.approx(exact, abs=0.13)


def test_a_front_goes_around_what_it_cannot_enter():
    place = centres_mm((82, 82, 1), (0.5, 0.5, 0.5))
    wall = (np.abs(place[..., 0]) < 0.5) & (place[..., 1] < 5.5)
    source, target = np.array([-10.0, -8.0, 0.0]), (64, 20, 0)
    found = from_point(source, np.where(wall, 0.0, 1.0), (0.5, 0.5, 0.5))
    corners = np.array([[-0.5, 5.5, 0.0], [0.5, 5.5, 0.0]])
    way = np.diff([source, *corners, place[target]], axis=0)
    around = np.linalg.norm(way, axis=1).sum()
    assert 0 <= found[target] - around < 0.65  # it turns around centres, not around corners
    assert np.isinf(found[wall]).all()


def graph_time(outline, speed, spacing_mm):
    """The quickest way along edges to the 26 neighbours, from the outline's voxels."""
    numbers = np.arange(speed.size).reshape(speed.shape)
    rows, columns, costs = [], [], []
    for step in itertools.product((-1, 0, 1), repeat=3):
        here, there = (
            tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(side, speed.shape, strict=True))
            for side in (step, [-s for s in step])
        )
        may = (speed[here] > 0) & (speed[there] > 0) & (step != (0, 0, 0))
        length = np.linalg.norm(np.multiply(step, spacing_mm))
        rows.append(numbers[here][may]), columns.append(numbers[there][may])
        costs.append(length / 2 * (1 / speed[here][may] + 1 / speed[there][may]))
    data = (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns)))
    graph = csr_array(data, shape=(speed.size,) * 2)
    return dijkstra(graph, indices=numbers[outline], min_only=True).reshape(speed.shape)


def test_times_in_uneven_tissue_are_those_of_paths_along_voxels(tissue):
    outline, speed, spacing = tissue
    found, paths = travel_time(outline, speed, spacing), graph_time(outline, speed, spacing)
    outside = ~outline & (speed > 0)
    assert np.array_equal(np.isfinite(found[outside]), np.isfinite(paths[outside]))
    reached = outside & np.isfinite(paths)
    # A path along voxels begins at their centres, not at the surface, is longer in most directions,
    # and slips through where two voxels touch in a corner.
    assert (found[reached] <= paths[reached] + 2).all()
    assert (found[reached] >= 0.9 * paths[reached] - 2.5).all()
    assert np.corrcoef(found[reached], paths[reached])[0, 1] > 0.99


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flipped", [(), (0, 2)])
def test_times_do_not_depend_on_how_an_array_lies(tissue, axes, flipped, order):
    outline, speed, spacing = tissue

    def turned(a):
        return np.asarray(np.flip(np.transpose(a, axes), flipped), order=order)

    found = travel_time(turned(outline), turned(speed), tuple(spacing[a] for a in axes))
    assert found == pytest.approx(turned(travel_time(outline, speed, spacing)), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_where_two_fronts_meet_at_one_time_no_side_comes_first(seed):
    speed = np.random.default_rng(seed).choice([0, 0.2, 1, 1], size=(10, 10, 10))
    speed = np.kron(speed, np.ones((3, 3, 3)))  # many paths of one length
    outline = np.zeros(speed.shape, bool)
    outline[9:15, 9:15, 9:15] = True
    speed[outline] = 1
    times = travel_time(outline, speed, ISOTROPIC)
    for axes in [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]:
        found = travel_time(np.flip(outline, axes), np.flip(speed, axes), ISOTROPIC)
        np.testing.assert_allclose(np.flip(found, axes), times, atol=1e-3)


def test_two_calls_give_the_same_bytes(tissue):
    assert travel_time(*tissue).tobytes() == travel_time(*tissue).tobytes()


def test_within_its_reach_a_front_is_what_it_is_without_an_end(tissue):
    whole, part = travel_time(*tissue), travel_time(*tissue, reach_mm=8.0)
    far = np.isfinite(whole) & (whole > 8.01)
    assert far.any() and np.isinf(part[far]).all()
    near = whole < 7.99
    assert part[near] == pytest.approx(whole[near], abs=1e-3)


def test_an_island_and_what_is_closed_are_never_reached():
    speed = np.ones((20, 12, 12))
    speed[10:12] = 0
    outline = np.zeros(speed.shape, bool)
    outline[3:6, 3:6, 3:6] = True
    found = travel_time(outline, speed, ISOTROPIC)
    assert np.isinf(found[10:]).all() and np.isfinite(found[:10]).all()
    assert (found[outline] < 0).all() and (found[:10][~outline[:10]] > 0).all()


def test_an_outline_that_fills_the_brain_has_an_inside_alone():
    places = centres_mm((25, 25, 25))
    brain = np.linalg.norm(places, axis=-1) < 10
    found = travel_time(brain, brain.astype(float), ISOTROPIC)
    assert np.isinf(found[~brain]).all() and (found[brain] < 0).all()
    corners = np.maximum(np.abs(places[~brain]) - 0.5, 0)  # the nearest of each voxel outside
    nearest = np.linalg.norm(corners, axis=-1).min()
    assert found[12, 12, 12] == pytest.approx(-nearest, abs=0.05)


def test_a_part_of_an_outline_whose_way_out_is_closed_is_as_deep_as_the_deepest_voxel():
    speed = np.ones((30, 12, 12))
    outline = np.zeros(speed.shape, bool)
    outline[3:10, 3:10, 3:10] = True
    outline[18:23, 4:9, 4:9] = True
    speed[16:25, 2:11, 2:11] = 0
    speed[18:23, 4:9, 4:9] = 1  # which nothing leaves
    found = travel_time(outline, speed, ISOTROPIC)
    closed = found[18:23, 4:9, 4:9]
    assert np.ptp(closed) == 0 and closed.min() == found[3:10, 3:10, 3:10].min() < -3


def test_an_outline_that_lies_apart_from_all_other_tissue_has_an_inside():
    """A brain mask that leaves out the tumour and a rim made it one; every voxel had time 0."""
    speed = np.ones((30, 12, 12))
    outline = np.zeros(speed.shape, bool)
    outline[4:9, 4:9, 4:9] = True
    speed[2:11, 2:11, 2:11] = 0
    speed[outline] = 1
    found = travel_time(outline, speed, ISOTROPIC)
    assert (found[outline] < 0).all() and -2.5 <= found[6, 6, 6] < -2
    assert np.isinf(found[~outline]).all()


def test_one_voxel_is_an_outline():
    outline = np.zeros((30, 31, 32), bool)
    outline[0, 15, 31] = True  # in the array's edge
    found = travel_time(outline, np.ones(outline.shape), ISOTROPIC)
    assert found[1, 15, 31] == pytest.approx(0.5, abs=1e-3)
    assert found[29, 15, 31] == pytest.approx(28.5, abs=0.15)


def test_where_no_speed_is_above_zero_nothing_is_reached():
    outline = np.zeros((5, 5, 5), bool)
    outline[2] = True
    assert np.isinf(travel_time(outline, np.zeros(outline.shape), ISOTROPIC)).all()


@pytest.mark.parametrize(
    ("outline", "speed", "spacing", "told"),
    [
        (np.zeros((4, 4, 4)), np.ones((4, 4, 4)), ISOTROPIC, "empty"),
        (np.ones((4, 4, 4)), np.ones((4, 4, 4)), ISOTROPIC, "no voxel outside"),
        (np.eye(4)[None], np.ones((1, 4, 5)), ISOTROPIC, "one shape"),
        (np.eye(4)[None], -np.ones((1, 4, 4)), ISOTROPIC, "at least 0"),
        (np.eye(4)[None], np.full((1, 4, 4), np.nan), ISOTROPIC, "finite"),
        (np.eye(4)[None], np.ones((1, 4, 4)), (1, 1, 0), "positive"),
    ],
)
def test_what_has_no_travel_time_is_refused(outline, speed, spacing, told):
    with pytest.raises(InputError, match=told):
        travel_time(outline.astype(bool), speed, spacing)
