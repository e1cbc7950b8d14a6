"""Shapes whose features are known, and the ranking by them."""

import numpy as np
import pytest
import SimpleITK

from glioquery.query.strategies import open_strategy, prepare_strategy, radiomics
from glioquery.query.strategies.shape import (
    FEATURES,
    centre_of_mass,
    largest_diameter,
    shape_features,
)


def ellipsoid(shape, radii):
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    middle = [(n - 1) / 2 for n in shape]
    return sum(((x - m) / r) ** 2 for x, m, r in zip(axes, middle, radii, strict=True)) <= 1


def features_of(mask, spacing_mm=(2.0, 2.0, 2.0)):
    return dict(zip(FEATURES, shape_features(mask, spacing_mm), strict=True))


def test_features_of_an_ellipsoid():
    found = features_of(ellipsoid((61, 41, 31), (24, 16, 12)))
    assert found["volume_mm3"] == pytest.approx(8 * 4 / 3 * np.pi * 24 * 16 * 12, rel=0.01)
    # A filled ellipsoid of semi-axis a has the moment a^2 / 5 along it.
    for name, radius in (("major_axis_mm", 48), ("middle_axis_mm", 32), ("least_axis_mm", 24)):
        assert found[name] == pytest.approx(4 * radius / np.sqrt(5), rel=0.01)
    assert found["elongation"] == pytest.approx(24 / 16, rel=0.01)
    assert found["flatness"] == pytest.approx(16 / 12, rel=0.01)
    assert found["largest_diameter_mm"] == 2 * 48


def test_a_ball_is_the_most_spherical():
    ball = features_of(ellipsoid((41, 41, 41), (18, 18, 18)))
    assert ball["surface_mm2"] == pytest.approx(4 * np.pi * 36**2, rel=0.03)
    assert ball["sphericity"] == pytest.approx(1, rel=0.03)
    assert features_of(ellipsoid((61, 41, 31), (28, 9, 9)))["sphericity"] < 0.9


def test_the_axes_of_the_array_have_their_own_spacing():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:8, 4, 4] = True
    assert features_of(mask, (1.0, 2.0, 3.0))["largest_diameter_mm"] == 5
    assert features_of(mask.transpose(2, 1, 0), (1.0, 2.0, 3.0))["largest_diameter_mm"] == 15
    assert features_of(mask, (1.0, 2.0, 3.0))["volume_mm3"] == 36
    assert centre_of_mass(mask, (1.0, 2.0, 3.0)).tolist() == [4.5, 8, 12]


def test_shapes_without_extent_have_finite_features():
    mask = np.zeros((6, 6, 6), bool)
    assert shape_features(mask, (2.0, 2.0, 2.0)).tolist() == [0] * 9
    assert np.isnan(centre_of_mass(mask, (2.0, 2.0, 2.0))).all()
    for part in ((1, 2, 3), (1, slice(1, 5), 3), (slice(0, 4), slice(1, 6), 0)):
        mask[part] = True
        assert np.isfinite(shape_features(mask, (2.0, 2.0, 2.0))).all()


@pytest.mark.parametrize("seed", range(12))
def test_largest_diameter_is_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 14, 3)) < rng.choice([0.02, 0.3, 0.9])
    mask[tuple(rng.integers(mask.shape))] = True
    image = SimpleITK.GetImageFromArray(np.pad(mask, 1).astype(np.uint8).transpose(2, 1, 0))
    image.SetSpacing((1.5, 2.0, 0.7))
    statistics = SimpleITK.LabelShapeStatisticsImageFilter()
    statistics.ComputeFeretDiameterOn()
    statistics.Execute(image)
    expected = statistics.GetFeretDiameter(1)
    assert largest_diameter(mask, (1.5, 2.0, 0.7)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["radiomics", "radiomics-standardised"])
def test_least_distance_among_those_nearest_by_centre(
    name, ray, monkeypatch, source, shared_index, queries
):
    monkeypatch.setattr(radiomics, "NEAREST", 20)
    monkeypatch.setattr(radiomics, "SAMPLES_A_TASK", 30)
    prepare_strategy(shared_index, name)
    strategy = open_strategy(shared_index, name)
    spacing_mm = source.grid.spacing_mm

    def describe(core, whole):
        return np.array([shape_features(mask, spacing_mm) for mask in (core, whole)])

    pairs = list(zip(source.core, source.whole, strict=True))
    table = np.array([describe(*pair) for pair in pairs])
    centres = np.array([centre_of_mass(whole, spacing_mm) for _, whole in pairs])
    if name.endswith("standardised"):
        table, scale = table / table.std(axis=0), table.std(axis=0)
    else:
        scale = 1
    for masks in queries[:-1]:
        away = np.linalg.norm(centres - centre_of_mass(masks.whole, spacing_mm), axis=1)
        near = np.argsort(np.nan_to_num(away, nan=np.inf), kind="stable")[:20]
        difference = table - describe(masks.core, masks.whole) / scale
        distances = np.linalg.norm(difference, axis=2).sum(axis=1)
        found = strategy.rank(masks, 25)
        assert sorted(found) == sorted(near)
        np.testing.assert_allclose(distances[found], np.sort(distances[near]), atol=1e-9)
    assert len(strategy.rank(queries[-1], 5)) == 5  # nothing is near nothing: ids decide


def test_voxels_in_a_plane_or_on_a_line_have_no_ratio_of_what_is_zero():
    """Rounding leaves a moment of 1e-14 there, and a ratio of 1e7 would rule every distance."""
    x, y, z = np.indices((20, 20, 20))
    plane = shape_features(x + y == 14, (2.0, 2.0, 2.0))
    line = shape_features((x == y) & (y == z), (1.0, 1.0, 1.0))
    flatness, elongation = FEATURES.index("flatness"), FEATURES.index("elongation")
    assert plane[flatness] == 0 and 1 <= plane[elongation] < 2
    assert line[flatness] == 0 and line[elongation] == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.zeros((12, 12, 12), bool)
        mask[tuple(rng.integers(0, 12, (3, 3)))] = True
        assert shape_features(mask, (2.0, 2.0, 2.0))[flatness] == 0
