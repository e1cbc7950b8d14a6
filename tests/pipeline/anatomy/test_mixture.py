"""Tissue told apart by intensity: what is found of a mixture that is known."""

import numpy as np
import pytest

from glioquery.pipeline.anatomy.mixture import fit_mixture

MEANS = np.array([0.4, 0.9, 1.2])


def make(n=20_000, noise=0.03, coil=0.15, seed=0):
    """Intensities, what an atlas expects, places and true shares of half mixed voxels."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(0, 3, n), rng.random(n)
    other = np.clip(halves[0] + rng.integers(-1, 2, n), 0, 2)
    shares = np.zeros((3, n))
    np.add.at(shares, (halves[0], np.arange(n)), halves[1])
    np.add.at(shares, (other, np.arange(n)), 1 - halves[1])
    places = rng.uniform(-1, 1, (n, 3))
    sensitivity = 1 + coil * (places[:, 0] - places[:, 1] * places[:, 2])
    seen = MEANS @ shares * sensitivity + noise * rng.standard_normal(n)
    expected = np.clip(shares + 0.3 * rng.standard_normal((3, n)), 0.02, 1)
    return seen / np.median(seen), expected / expected.sum(axis=0), places, shares


def error(found, shares):
    return np.abs(found - shares).mean()


def test_means_and_coil_of_a_known_mixture_are_found():
    seen, expected, places, shares = make()
    mixture = fit_mixture(seen, expected, places)
    ratios = mixture.means / mixture.means[1]
    np.testing.assert_allclose(ratios, MEANS / MEANS[1], atol=0.03)
    assert mixture.is_of_t1 and mixture.contrast > 5
    found = mixture.shares(seen, expected, places)
    np.testing.assert_allclose(found.sum(axis=0), 1)
    assert error(found, shares) < 0.05 < 0.13 < error(expected, shares)
    level = fit_mixture(*make(coil=0)[:3])
    assert np.abs(level.coefficients).max() < 0.02
    assert mixture.coefficients.max() > 0.1


def test_noise_lowers_the_contrast():
    found = [fit_mixture(*make(noise=noise)[:3]).contrast for noise in (0.03, 0.1, 0.3)]
    assert found == sorted(found, reverse=True) and found[-1] < 3


@pytest.mark.parametrize("values", ["flat", "noise", "dark white matter"])
def test_what_is_no_t1_shows_no_contrast(values):
    seen, expected, places, _ = make()
    if values == "dark white matter":
        seen = 2 - seen
    else:
        seen = 1 + (values == "noise") * 0.1 * np.random.default_rng(1).standard_normal(len(seen))
    mixture = fit_mixture(seen, expected, places)
    assert np.isfinite(mixture.means).all() and mixture.contrast < 1
    assert np.isfinite(mixture.shares(seen, expected, places)).all()


def test_a_tissue_that_is_nowhere_is_no_fault():
    seen, expected, places, shares = make()
    none = shares[0] < 0.01
    expected[0] = 0
    mixture = fit_mixture(seen[none], expected[:, none], places[none])
    found = mixture.shares(seen[none], expected[:, none], places[none])
    assert error(found, shares[:, none]) < 0.05
