"""The solver's accuracy, measured: docs/verification.md tells the figures found here.

`pytest -s` prints the figures of each test.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convergence import slope
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from scipy.optimize import minimize_scalar

from glioquery.atlas import Grid
from glioquery.dbgen.study.space import ParameterSpace
from glioquery.solver import (
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Tissue,
    on_grid,
    simulate,
)
from glioquery.solver.laplacian import Laplacian
from glioquery.solver.stepper import strang_step
from glioquery.solver.supertime import (
    MAX_STAGES,
    SAFETY,
    STEP_OVERHEAD,
    coefficients,
    diffuse,
    longest_step,
    stages_for,
    thrifty_step,
)
from glioquery.solver.window import DiffusionOperator, Window

STAGE_NUMBERS = range(4, MAX_STAGES + 1, 3)
"""Those that `stages_for` chooses from."""


@pytest.fixture
def float64():
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        yield


# The RKL2 method by itself: its polynomial R(z), where z is the step times an eigenvalue.


def polynomial(n_stages):
    """R(z), from the table that the solver computes with."""
    table = coefficients(n_stages)
    z = Polynomial([0.0, 1.0])
    before, previous = Polynomial([0.0]), table[0, 2] * z  # the increments Y_j - Y_0
    for mu, nu, mu_step, gamma_step in table[1:n_stages]:
        following = mu * previous + nu * before + mu_step * z * (1 + previous) + gamma_step * z
        before, previous = previous, following
    return 1 + previous


def amplification(n_stages, z):
    """R(z) at many z: by the recursion, since a polynomial of high degree loses all digits."""
    table = coefficients(n_stages)
    before, previous = np.zeros_like(z), table[0, 2] * z
    for mu, nu, mu_step, gamma_step in table[1:n_stages]:
        following = mu * previous + nu * before + (mu_step * (1 + previous) + gamma_step) * z
        before, previous = previous, following
    return 1 + previous


@pytest.mark.parametrize("n_stages", STAGE_NUMBERS)
def test_rkl2_is_consistent_to_second_order(n_stages):
    r = polynomial(n_stages)
    assert r.degree() == n_stages
    np.testing.assert_allclose(r.coef[:3], [1, 1, 1 / 2], rtol=1e-11)
    assert not math.isclose(r.coef[3], 1 / 6, rel_tol=0.05)  # the order is two, not three


@pytest.mark.parametrize("n_stages", STAGE_NUMBERS)
def test_rkl2_is_stable_up_to_its_limit_and_no_further(n_stages):
    limit = (n_stages**2 + n_stages - 2) / 2  # (s^2 + s - 2) / 4 explicit limits of z = 2
    share = (1 - np.cos(np.linspace(0, np.pi, 20001))) / 2
    assert np.abs(amplification(n_stages, -limit * share)).max() <= 1 + 1e-12
    assert abs(amplification(n_stages, np.array(-1.05 * limit))) > 1.2
    # The share that is used leaves no wave undamped.
    used = -SAFETY * limit * share
    left = np.abs(amplification(n_stages, used[used < -1])).max()
    print(f"\n{n_stages} stages leave at most {left:.3f} of a wave")
    assert left < 0.75


@pytest.mark.parametrize("n_stages", STAGE_NUMBERS)
def test_diffuse_multiplies_an_eigenvector_by_the_polynomial(float64, n_stages):
    weight = 0.7  # two voxels and one link: eigenvalues 0 and -2 w
    two = Laplacian((jnp.array([0.0, weight, 0.0, 0.0]),), (1,), (2, 1, 1))
    flat = two.flatten(np.array([1.0, -1.0]).reshape(2, 1, 1))
    for z in (-SAFETY * (n_stages**2 + n_stages - 2) / 2, -1.0, -0.01):
        step = jnp.array(-z / (2 * weight))
        increment, _ = diffuse(flat, two, step, jnp.array(coefficients(n_stages)), n_stages)
        expected = float(amplification(n_stages, np.array(z))) - 1
        np.testing.assert_allclose(increment, [expected, -expected], rtol=1e-10)


@pytest.mark.parametrize("limit", [0.3, 7.0])
def test_the_number_of_stages_is_the_fewest_that_are_stable(limit):
    def reach(n_stages):
        return SAFETY * limit * (n_stages**2 + n_stages - 2) / 4

    assert longest_step(limit) == pytest.approx(reach(MAX_STAGES))
    for n_stages in STAGE_NUMBERS:
        assert stages_for(reach(n_stages) * (1 - 1e-9), limit) == n_stages
        if n_stages < MAX_STAGES:
            assert stages_for(reach(n_stages) * (1 + 1e-6), limit) == n_stages + 3
    assert stages_for(0, limit) == 4
    with pytest.raises(ValueError, match=f"64 stages, more than {MAX_STAGES}"):
        stages_for(1.001 * longest_step(limit), limit)


@given(step=st.floats(0.01, 800), limit=st.floats(0.01, 10))
def test_a_thrifty_step_is_stable_and_advances_more_for_its_cost(step, limit):
    def worth(step):
        return step / (stages_for(step, limit) + STEP_OVERHEAD)

    thrifty = thrifty_step(step * limit, limit)
    assert 0 < thrifty <= step * limit
    assert worth(thrifty) >= worth(step * limit) * (1 - 1e-12)
    assert stages_for(step * limit, limit) - stages_for(thrifty, limit) in (0, 3)


def test_the_explicit_limit_rests_on_a_bound_of_the_largest_eigenvalue(tissue):
    operator = DiffusionOperator(tissue, FisherKolmogorov())
    laplacian = operator.on(Window((0, 0, 0), operator.box_shape))
    apply = jax.jit(lambda flat: laplacian.with_interior(flat, laplacian(flat)))
    checkered = (-1.0) ** np.indices(operator.box_shape).sum(axis=0)
    flat = laplacian.flatten(jnp.asarray(checkered, jnp.float32))
    for _ in range(200):
        flat = apply(flat)
        flat /= jnp.linalg.norm(flat)
    largest = float(jnp.linalg.norm(apply(flat)))
    print(f"\nlargest eigenvalue / bound: {largest / operator.largest_eigenvalue:.4f}")
    assert 0.9 * operator.largest_eigenvalue < largest <= operator.largest_eigenvalue
    explicit_limit = 2 / operator.largest_eigenvalue
    assert explicit_limit == pytest.approx(2.0**2 / 6, rel=0.01)  # h^2 / (6 D), in white matter


# Manufactured solutions: u = MEAN + cos(FREQUENCY t) C(x) on a box with closed walls.

MEAN, AMPLITUDE, FREQUENCY, DURATION = 0.5, 0.3, 3.0, 0.8
SIDES_MM = np.array([1.0, 1.2, 0.9])
WAVES_OF_U, WAVES_OF_D = np.array([1, 2, 1]), np.array([1, 1, 2])


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights", "mode", "spread", "dw", "rho", "start"],
    meta_fields=["offsets", "shape"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class ForcedLaplacian(Laplacian):
    """L u + s(x, t) / dw, told the time by a voxel of its own.

    With time among its unknowns, dt/dt = 1, a forced equation becomes one without explicit time,
    which a Runge-Kutta method solves alike: t runs through the times of its stages. So the source
    acts inside the stages of `diffuse` and `strang_step` as they are: not a line of theirs differs.
    They apply a linear operator to increments of the state; here this must yield f(Y_0 + Z) -
    f(Y_0), and a second voxel, 1 in states and so 0 in increments, tells which of both is meant.
    """

    mode: Any  # C
    spread: Any  # div(D grad C)
    dw: Any
    rho: Any
    start: Any  # time at the beginning of the step

    def __call__(self, flat):
        one, t = flat[self.guard + self.size - 2], flat[self.guard + self.size - 1]
        source = self.source(t + (1 - one) * self.start) - (1 - one) * self.source(self.start)
        return (super().__call__(flat) + source / self.dw).at[-1].set(one / self.dw)

    def source(self, t):
        """s = du/dt - div(D grad u) - rho u (1 - u)."""
        u = MEAN + jnp.cos(FREQUENCY * t) * self.mode
        rate = -FREQUENCY * jnp.sin(FREQUENCY * t) * self.mode
        s = rate - jnp.cos(FREQUENCY * t) * self.spread - self.rho * u * (1 - u)
        return jnp.where(self.mode != 0, s, 0.0)


@dataclasses.dataclass(frozen=True)
class TimedFisherKolmogorov(FisherKolmogorov):
    """The model with two voxels that do not grow: those of `ForcedLaplacian`."""

    last_index: int = 0

    def react(self, fields, rho, days):
        (grown,) = super().react(fields, rho, days)
        kept = slice(self.last_index - 1, self.last_index + 1)
        return (grown.at[kept].set(fields[0][kept]),)


def product_of_waves(n_waves, shape):
    """Product of cos(pi n x / side) at the voxel centres, with gradient and Laplacian."""
    k = np.pi * n_waves / SIDES_MM
    x = [(np.arange(n) + 0.5) * side / n for n, side in zip(shape, SIDES_MM, strict=True)]
    factors = [np.stack([np.cos(w * c), -w * np.sin(w * c)]) for w, c in zip(k, x, strict=True)]

    def along(*derivative):
        a, b, c = (f[d] for f, d in zip(factors, derivative, strict=True))
        return a[:, None, None] * b[:, None] * c

    value = along(0, 0, 0)
    return value, [along(1, 0, 0), along(0, 1, 0), along(0, 0, 1)], -(k @ k) * value


class Manufactured:
    """A problem whose solution is known, on a grid, for the solver's own step.

    Where `exact_in_space`, the source is made with the discrete operator: what is left is the error
    of time.
    """

    def __init__(self, n, dw, rho, *, exact_in_space, face_mean="harmonic"):
        self.dw, self.rho = dw, rho
        shape = (4 * n, 5 * n, 4 * n)
        c, gradient_of_c, laplacian_of_c = product_of_waves(WAVES_OF_U, shape)
        d, gradient_of_d, _ = product_of_waves(WAVES_OF_D, shape)
        wm = 0.5 + 0.35 * d  # D = dw (wm + (1 - wm) / 10)
        self.mode = self.with_slab(AMPLITUDE * c)
        slopes = sum(0.9 * 0.35 * a * b for a, b in zip(gradient_of_d, gradient_of_c, strict=True))
        spread = self.with_slab(AMPLITUDE * dw * ((0.1 + 0.9 * wm) * laplacian_of_c + slopes))
        self.inside = self.with_slab(np.ones(shape, bool))
        domain = self.inside.copy()
        domain[-1, -1, -1] = True  # the clock, linked to nothing
        wm = self.with_slab(wm)
        spacing = SIDES_MM / shape
        tissue = Tissue(
            wm, np.where(domain, 1 - wm, 0), domain, Grid(domain.shape, np.diag([*spacing, 1.0]))
        )
        operator = DiffusionOperator(tissue, FisherKolmogorov(face_mean=face_mean), np.float64)
        plain = operator.on(Window((0, 0, 0), tissue.box_shape))
        if exact_in_space:
            spread = dw * np.asarray(plain(plain.flatten(self.mode))).reshape(domain.shape)
        self.laplacian = ForcedLaplacian(
            plain.weights,
            plain.offsets,
            plain.shape,
            *(jnp.asarray(v) for v in (self.mode.ravel(), spread.ravel(), dw, rho, 0.0)),
        )
        self.model = TimedFisherKolmogorov(last_index=plain.guard + plain.size - 1)
        self.explicit_limit = 2 / (dw * operator.largest_eigenvalue)

    @staticmethod
    def with_slab(values):
        """Two more layers of voxels along x, the second of which holds the clock."""
        return np.pad(values, ((0, 2), (0, 0), (0, 0)))

    def solution(self, t):
        u = np.where(self.inside, MEAN + np.cos(FREQUENCY * t) * self.mode, 0)
        u[-1, -1, -2:] = 1, t
        return u

    def error(self, n_steps, *, reacts, n_stages):
        """Root mean square error at the end."""
        step = DURATION / n_steps
        assert stages_for(step, self.explicit_limit) <= n_stages
        flat = self.laplacian.flatten(self.solution(0.0))
        table = jnp.asarray(coefficients(n_stages))
        for i in range(n_steps):
            laplacian = dataclasses.replace(self.laplacian, start=jnp.asarray(i * step))
            if reacts:
                (flat,), _, edge_and_clipped = strang_step(
                    self.model,
                    laplacian,
                    (flat,),
                    jnp.array([self.dw, self.rho, step]),
                    table,
                    n_stages,
                    jnp.array([0.6, 0.2]),
                    jnp.zeros(6),
                )
                assert edge_and_clipped[1] < 1e-12
            else:
                flat = diffused(flat, laplacian, jnp.asarray(self.dw * step), table, n_stages)
        u = np.asarray(self.laplacian.interior(flat)).reshape(self.mode.shape)
        assert u.dtype == np.float64
        assert u[-1, -1, -1] == pytest.approx(DURATION, rel=1e-12)
        return np.sqrt(((u - self.solution(DURATION))[self.inside] ** 2).mean())


@jax.jit
def diffused(flat, laplacian, step, table, n_stages):
    increment, _ = diffuse(flat, laplacian, step, table, n_stages)
    return laplacian.with_interior(flat, laplacian.interior(flat) + increment)


@pytest.mark.parametrize("reacts", [False, True])
@pytest.mark.parametrize("n_stages", [4, 10, 31])
def test_order_in_time(float64, reacts, n_stages):
    problem = Manufactured(3, dw=0.1, rho=2.0 if reacts else 0.0, exact_in_space=True)
    n_steps = np.array([20, 30, 45, 68, 100])
    errors = [problem.error(int(n), reacts=reacts, n_stages=n_stages) for n in n_steps]
    assert abs(slope(1 / n_steps, errors) - 2) < 0.1


@pytest.mark.parametrize("reacts", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("face_mean", ["harmonic", "arithmetic"])
def test_order_in_space(float64, reacts, face_mean):
    rho = 2.0 if reacts else 0.0
    sizes = np.array([2, 3, 4, 5])
    errors = [
        Manufactured(int(n), 0.1, rho, exact_in_space=False, face_mean=face_mean).error(
            180, reacts=reacts, n_stages=4
        )
        for n in sizes
    ]
    assert abs(slope(1 / sizes, errors) - 2) < 0.1


# Fronts on a long bar.


def lattice_front(d, rho, h):
    """Speed and decay rate of the pulled front on a lattice of spacing h, at late times."""

    def speed(k):
        return (2 * d * (math.cosh(k * h) - 1) / h**2 + rho) / k

    flat = math.sqrt(rho / d)
    found = minimize_scalar(
        speed, bounds=(0.01 * flat, 1.01 * flat), method="bounded", options={"xatol": 1e-10}
    )
    return found.fun, found.x


def where_half(u, h):
    """Distance along a profile at which it falls through one half."""
    i = int(np.flatnonzero(u >= 0.5)[-1])
    return h * (i + (u[i] - 0.5) / (u[i] - u[i + 1]))


@pytest.mark.parametrize(
    ("voxels", "axis"),
    [
        (0.25, 0),
        pytest.param(0.5, 1, marks=pytest.mark.slow),
        (1, 0),
        pytest.param(2, 0, marks=pytest.mark.slow),
        pytest.param(4, 1, marks=pytest.mark.slow),
        pytest.param(6, 2, marks=pytest.mark.slow),
        (8, 0),
    ],
)
def test_speed_of_a_front(voxels, axis):
    """Measured from rho t = 40 to 60, at the default accuracy.

    A pulled front runs at v = v* - 3 / (2 k* t) (Bramson 1983; Ebert and van Saarloos 2000), v* the
    least of the speeds v(k) of the tails exp(-k x), k* where it is least. In the continuum v* is
    2 sqrt(D rho), k* is sqrt(rho / D), and v = v* (1 - 3 / (4 rho t)).
    """
    h, rho = 2.0, 0.1
    dw = rho * (voxels * h) ** 2
    speed, decay = lattice_front(dw, rho, h)
    continuum = 2 * math.sqrt(dw * rho)
    print(f"\nlambda {voxels:g} voxels: lattice / continuum {speed / continuum:.3f}")
    if voxels >= 4:
        speed, decay = continuum, math.sqrt(rho / dw)
    begin, end = 40 / rho, 60 / rho
    shape = [3, 3, 3]
    shape[axis] = 1000  # room for the fastest of them: a box of one size is compiled once
    assert shape[axis] > speed * end / h + 10
    zeros = np.zeros(shape)
    tissue = Tissue.from_probabilities(zeros + 1, zeros, zeros, Grid(shape, np.diag([h, h, h, 1])))
    p = GrowthParameters((h, h, h), dw, rho, end)
    run = simulate(tissue, p, snapshot_days=(begin,))
    assert run.status is Status.DONE
    others = tuple(a for a in range(3) if a != axis)
    first, last = (where_half(s.u.mean(axis=others), h) for s in (*run.snapshots, run.final))
    found = (last - first) / (end - begin)
    expected = speed - 1.5 / decay * math.log(end / begin) / (end - begin)  # mean over the time
    print(f"lambda {voxels:g} voxels: {found:.4f} mm/day, {found / expected - 1:+.2%}")
    assert found == pytest.approx(expected, rel=0.015)


# The atlas, over the whole default parameter space.


def check_bounds(tissue, atlas, parameters):
    days = parameters.days
    run = simulate(tissue, parameters, snapshot_days=(days / 50, days / 8, days / 2))
    assert run.status in (Status.DONE, Status.TISSUE_FULL)
    csf = atlas.csf >= atlas.wm + atlas.gm
    for snapshot in (*run.snapshots, run.final):
        u = on_grid(tissue, snapshot.u).u
        assert u.min() >= 0 and u.max() <= 1
        assert not u[~tissue.domain].any() and not u[csf].any()
        assert u.any()
    assert run.clipped <= 1e-6
    return run.clipped


def default_range(name):
    bounds = getattr(ParameterSpace(), name)
    return st.floats(bounds.low, bounds.high)


@settings(max_examples=5)  # a slow test draws 60
@given(
    dw=default_range("dw"),
    rho=default_range("rho"),
    days=default_range("days"),
    voxel=st.integers(0, 10**9),
    shift=st.tuples(*[st.floats(-0.49, 0.49)] * 3),
)
def test_density_on_the_atlas_stays_between_0_and_1_and_out_of_csf(
    tissue, atlas, dw, rho, days, voxel, shift
):
    voxel = tissue.voxels[voxel % len(tissue.voxels)]
    origin = tissue.grid.to_world(voxel + np.array(shift))
    check_bounds(tissue, atlas, GrowthParameters(tuple(origin), dw, rho, days))


@pytest.mark.slow
def test_bounds_of_60_draws(tissue, atlas):
    rng = np.random.default_rng(0)
    space = ParameterSpace()
    clipped = []
    for _ in range(60):
        voxel = tissue.voxels[rng.integers(len(tissue.voxels))]
        origin = tissue.grid.to_world(voxel + rng.uniform(-0.49, 0.49, 3))
        dw, rho, days = (r.draw(rng) for r in (space.dw, space.rho, space.days))
        parameters = GrowthParameters(tuple(origin), dw, rho, days)
        clipped.append(check_bounds(tissue, atlas, parameters))
    print(f"\nlargest share of the mass clipped: {max(clipped):.1e}")
