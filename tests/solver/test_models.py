"""The models behind one protocol: their equations, their names, and one written here."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from glioquery.atlas import Grid
from glioquery.dbgen import Database, ParameterSpace, Plan, Range, generate, verify
from glioquery.errors import InputError
from glioquery.query import build_index, find_measure, search
from glioquery.solver import (
    TIME_SCALING,
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Tissue,
    simulate,
)
from glioquery.solver.declarations import Combination, own_parameters, parameter
from glioquery.solver.laplacian import face_weights
from glioquery.solver.models import (
    FisherKolmogorovMassEffect,
    FisherKolmogorovTensor,
    FisherKolmogorovTwoFoci,
    ProliferativeNecrotic,
    TensorField,
    describe_model,
    find_model,
    model_names,
    parse_settings,
    registry,
    swelling_of,
)

BUILT_IN = [
    FisherKolmogorov,
    FisherKolmogorovMassEffect,
    FisherKolmogorovTensor,
    FisherKolmogorovTwoFoci,
    ProliferativeNecrotic,
]


@dataclass(frozen=True)
class Gompertz:
    """du/dt = div(D grad u) - rho u ln u: cells that divide the slower the denser they are."""

    ratio: float = 10.0

    symmetry: ClassVar = TIME_SCALING
    name: ClassVar[str] = "gompertz"
    equation: ClassVar[str] = "du/dt = div(D grad u) - rho u ln u, D = dw (p_w + p_g / ratio)"

    def links(self, tissue):
        diffusivity = (tissue.wm + tissue.gm / self.ratio)[tissue.box]
        x, y, z = face_weights(diffusivity, tissue.domain[tissue.box], tissue.grid.spacing_mm)
        return {(1, 0, 0): x, (0, 1, 0): y, (0, 0, 1): z}

    def initial(self, seed):
        return (seed,)

    def diffusivities(self, dw):
        return (dw,)

    def react(self, fields, rho, days):
        # ln u decays exponentially. The rate is unbounded at u = 0: below 1e-6 nothing divides.
        (u,) = fields
        return (jnp.where(u > 1e-6, jnp.maximum(u, 1e-6) ** jnp.exp(-rho * days), u),)

    def density(self, fields):
        return fields[0]


def patchy_tissue(shape=(20, 22, 18)):
    x, y, z = np.indices(shape)
    wm = 0.5 + 0.5 * np.sin(x / 3.0) * np.cos(y / 4.0 + z / 5.0)
    csf = (np.cos(x / 2.0) * np.cos(z / 2.5) > 0.85).astype(float)
    return Tissue.from_probabilities(
        wm * (1 - csf), (1 - wm) * (1 - csf), csf, Grid(shape, np.diag([2.0, 2, 2, 1]))
    )


def centre(tissue):
    return tuple(tissue.grid.to_world(tissue.voxels[len(tissue.voxels) // 2]))


def exact_reaction(model, rho, days, p, n, deficit):
    def slope(_, y):
        p, n, s = y
        starving = 1 / (1 + math.exp(model.steepness * (s - model.threshold)))
        died = model.necrosis * rho * starving * p
        return [rho * s * p * (1 - p - n) - died, died, -model.consumption * rho * s * p]

    p, n, s = solve_ivp(slope, (0, days), [p, n, 1 - deficit], rtol=1e-11, atol=1e-13).y[:, -1]
    return np.array([p, n, 1 - s])


def test_the_reaction_of_two_populations_is_of_second_order():
    starts = [(0.3, 0.0, 0.3), (0.6, 0.2, 0.55), (0.05, 0.0, 0.0), (0.5, 0.4, 0.45)]
    fields = np.array(starts).T
    exact = np.array([exact_reaction(ProliferativeNecrotic(), 0.1, 8.0, *s) for s in starts]).T
    errors, counts = [], (8, 16, 32, 64)
    with jax.enable_x64(True):
        for n in counts:
            state = ProliferativeNecrotic(substeps=n).react(tuple(map(jnp.array, fields)), 0.1, 8.0)
            errors.append(np.abs(np.array(state) - exact).max())
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert 1.95 < order < 2.05, (order, errors)
    assert errors[-1] < 1e-5


react = jax.jit(lambda model, *state: model.react(*state), static_argnums=0)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    growth=st.floats(0, 3),
    consumption=st.sampled_from([0.0, 0.25, 1.25]),
)
def test_populations_and_nutrient_stay_in_their_bounds(seed, growth, consumption):
    model = ProliferativeNecrotic(consumption=consumption)
    rng = np.random.default_rng(seed)
    p, share, deficit = np.clip(rng.uniform(-0.2, 1.2, (3, 2000)), 0, 1).astype(np.float32)
    fields = tuple(jnp.asarray(v) for v in (p, share * (1 - p), deficit))
    p2, n2, deficit2 = map(np.array, react(model, fields, jnp.float32(growth), jnp.float32(1)))
    assert p2.min() >= 0 and n2.min() >= 0 and (p2 + n2).max() <= 1 + 3e-7
    assert (deficit2 >= deficit - 1e-6).all() and deficit2.max() <= 1
    assert (p2 + n2 >= p + share * (1 - p) - 1e-6).all()  # debris stays
    u = np.array(model.density(fields))
    assert u.min() >= 0 and u.max() <= 1


def test_without_starvation_and_consumption_it_is_fisher_kolmogorov():
    tissue = patchy_tissue()
    p = GrowthParameters(centre(tissue), 0.4, 0.1, 60)
    model = ProliferativeNecrotic(necrosis=0, consumption=0, nutrient_diffusion=0)
    u = simulate(tissue, p, model=model).final.u
    same = simulate(tissue, p).final.u
    assert np.linalg.norm(u - same) <= 1e-5 * np.linalg.norm(same)


@pytest.mark.slow
def test_a_large_tumor_starves_inside_and_divides_at_its_rim():
    n = 31
    ones = np.ones((n, n, n))
    tissue = Tissue.from_probabilities(
        ones, 0 * ones, 0 * ones, Grid((n, n, n), np.diag([2.0, 2, 2, 1]))
    )

    @dataclass(frozen=True)
    class Showing(ProliferativeNecrotic):
        index: int = 0

        def density(self, fields):
            return fields[self.index]

    p = GrowthParameters((30.0, 30.0, 30.0), 0.2, 0.1, 120)
    u = simulate(tissue, p, model=ProliferativeNecrotic()).final.u[n // 2, n // 2, n // 2 :]
    proliferating, deficit = (
        simulate(tissue, p, model=Showing(index=i)).final.u[n // 2, n // 2, n // 2 :]
        for i in (0, 2)
    )
    necrotic = u - proliferating
    rim = proliferating.argmax()
    assert necrotic[0] > 0.8 > 0.1 > proliferating[0]
    assert rim > 2 and proliferating[rim] > 0.4 and necrotic[rim + 2] < 0.1
    assert deficit[0] > 0.45 and (np.diff(deficit) <= 1e-6).all()
    assert u[0] >= 0.6  # a core is seen


def test_time_error_of_the_whole_is_of_second_order():
    tissue = patchy_tissue()
    p = GrowthParameters(centre(tissue), 0.4, 0.1, 70)
    model = ProliferativeNecrotic(steepness=20)
    exact = simulate(tissue, p, model=model, accuracy=Accuracy(0.8, 0.8).refined(24)).final.u
    steps, errors = [], []
    for factor in (1.5, 2, 3, 4):
        u = simulate(tissue, p, model=model, accuracy=Accuracy(0.8, 0.8).refined(factor)).final.u
        steps.append(1 / factor)
        errors.append(np.linalg.norm(u - exact))
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 1.7 < order < 2.5, (order, errors)


@pytest.mark.parametrize("model", [m() for m in (*BUILT_IN, Gompertz)], ids=lambda m: m.name)
def test_every_model_keeps_the_promises_a_database_relies_on(model):
    tissue = patchy_tissue()
    p = GrowthParameters(centre(tissue), 0.5, 0.1, 50)
    run = simulate(tissue, p, model=model)
    u = run.density.u
    assert run.status is Status.DONE and u.min() >= 0 and u.max() <= 1
    reach = tissue.domain | tissue.fluid if swelling_of(model) else tissue.domain
    assert not u[~reach].any() and run.clipped <= 1e-5
    np.testing.assert_array_equal(simulate(tissue, p.scaled(2), model=model).final.u, run.final.u)
    assert hash(model) == hash(type(model)()) and model == type(model)()
    watched = simulate(tissue, p, model=model, snapshot_days=(30.0,))
    np.testing.assert_array_equal(watched.final.u, run.final.u)


STENCIL = {"max_anisotropy"}
"""Numbers that bound what is computed, not what grows."""


@pytest.mark.parametrize("base", BUILT_IN)
def test_each_number_of_a_model_is_a_parameter_with_a_range_and_its_source(base):
    declared = {one.name: one for one in own_parameters(base)}
    numbers = {field.name for field in fields(base) if isinstance(field.default, float)}
    assert numbers - STENCIL == set(declared)
    for one in declared.values():
        low, high = one.usual
        assert low <= one.default <= high and one.source and one.meaning
        for end in (low, high):
            assert getattr(base(**{one.name: end}), one.name) == end


@pytest.mark.parametrize("base", BUILT_IN)
def test_a_step_that_is_no_number_ends_the_run_with_its_time(base):
    class Failing(base):
        def react(self, fields, rho, days):
            fields = super().react(fields, rho, days)
            return tuple(jnp.where(fields[0].sum() > 4, jnp.nan, f) for f in fields)

    tissue = patchy_tissue()
    p = GrowthParameters(centre(tissue), 0.5, 0.1, 80)
    run = simulate(tissue, p, model=Failing())
    assert run.status is Status.NOT_FINITE
    assert 5 < run.parameters.days < 40
    assert (run.parameters.dw, run.parameters.rho) == (0.5, 0.1)


def test_names_lead_to_models_and_descriptions_back():
    for model_class in BUILT_IN:
        model = find_model(model_class.name, ratio=7.0)
        assert model == model_class(ratio=7.0)
        described = json.loads(json.dumps(describe_model(model)))
        assert described["equation"] == model.equation and "class" not in described
        if model_class is not FisherKolmogorovTensor:
            assert find_model(described["name"], **described["settings"]) == model
    described = describe_model(Gompertz(ratio=3.0))
    assert described["class"] == f"{__name__}:Gompertz"
    assert find_model(described["class"], **described["settings"]) == Gompertz(ratio=3.0)
    assert find_model("glioquery.solver.models.fisher_kolmogorov:FisherKolmogorov").ratio == 10


def test_a_model_of_a_script_is_found_again_by_the_scripts_name(tmp_path):
    (tmp_path / "growing.py").write_text(
        "from dataclasses import dataclass\n"
        "from glioquery.solver.models import FisherKolmogorov, describe_model, find_model\n"
        "@dataclass(frozen=True)\n"
        "class Slow(FisherKolmogorov):\n"
        "    name = 'slow'\n"
        "if __name__ == '__main__':\n"
        "    described = describe_model(Slow())\n"
        "    assert find_model(described['class']) == Slow()\n"
        "    print(described['class'])\n"
    )
    script = [sys.executable, "growing.py"]
    said = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "growing:Slow"
    again = f"from glioquery.solver.models import find_model; find_model({said.strip()!r})"
    subprocess.run([sys.executable, "-c", again], cwd=tmp_path, check=True)


def test_entry_points_offer_models(monkeypatch):
    offered = {
        "gompertz": EntryPoint("gompertz", f"{__name__}:Gompertz", registry.ENTRY_POINTS),
        "broken": EntryPoint("broken", "no_such_module:Model", registry.ENTRY_POINTS),
    }

    def entry_points(*, group, name=None):
        assert group == "glioquery.models"
        return [p for p in offered.values() if name in (None, p.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert find_model("gompertz", ratio=2.0) == Gompertz(2.0)
    assert "class" not in describe_model(Gompertz())
    assert model_names() == sorted([*offered, *(m.name for m in BUILT_IN)])
    with pytest.raises(ValueError, match=r"'broken' .*fails: No module named"):
        find_model("broken")


class Unhashable(Gompertz):
    __hash__ = None


@dataclass(frozen=True)
class Speedy(Gompertz):
    rho: float = parameter(1.0, "another rate")


class TwoLambdas(Gompertz):
    combinations = (Combination("lambda_mm", "mm", "another width", "L", "2 * sqrt(dw / rho)"),)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "logistic",
            {},
            "unknown growth model 'logistic': choose one of fisher-kolmogorov, fisher-",
        ),
        ("no_such_module:Model", {}, "cannot be imported .* on PYTHONPATH"),
        ("math:Model", {}, "cannot be imported"),
        ("math:pi", {}, "expected a class"),
        (f"{__name__}:Unhashable", {}, "make it a frozen dataclass"),
        ("types:SimpleNamespace", {}, "it lacks name, equation, links, initial, diffusivities"),
        ("fisher-kolmogorov", {"speed": 3}, "no setting speed; its settings are ratio, face_mean"),
        (
            "fisher-kolmogorov",
            {"ratio": 0.5},
            r"ratio is a finite number >= 1, got 0.5 \(white over grey",
        ),
        ("fisher-kolmogorov", {"ratio": "ten"}, "does not accept"),
        ("fisher-kolmogorov-tensor", {"tensor": {"frame": "world"}}, "tensor field is described"),
        ("fisher-kolmogorov-tensor", {"tensor": 3}, "tensor is a file of tensors, .* got 3"),
        (f"{__name__}:Speedy", {}, "declares 'rho', a name that is taken already"),
        (f"{__name__}:TwoLambdas", {}, "declares 'lambda_mm', a name that is taken already"),
        ("fisher-kolmogorov-mass-effect", {"swelling": 3}, r"swelling lies in \[0, 2\], got 3"),
        ("fisher-kolmogorov-two-foci", {"offset_y_mm": 900}, r"offset_y_mm lies in \[-200, 200\]"),
        ("fisher-kolmogorov-two-foci", {"delay": -1}, r"delay lies in \[0, 100\], got"),
        ("proliferative-necrotic", {"threshold": 1.5}, "threshold lies in"),
        ("proliferative-necrotic", {"nutrient_diffusion": 50}, "nutrient_diffusion lies in"),
        ("proliferative-necrotic", {"substeps": 2.5}, r"a whole number in \[1, 100\], got 2.5"),
        ("proliferative-necrotic", {"substeps": True}, "a whole number in .* got True"),
        ("proliferative-necrotic", {"substeps": 101}, "a whole number in .* got 101"),
    ],
)
def test_a_model_that_cannot_be_made_says_why(name, options, message):
    with pytest.raises(ValueError, match=message):
        find_model(name, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Mine(\n", r"SyntaxError: .*never closed \(broken\.py, line 1\)"),
        ("class Mine(Base): pass\n", "NameError: name 'Base' is not defined"),
    ],
)
def test_a_module_that_fails_is_said_in_one_line(tmp_path, monkeypatch, text, message):
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("own", "broken:Mine", "glioquery.models")
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])
    for find in (lambda: find_model("broken:Mine"), lambda: find_measure("broken:Mine")):
        with pytest.raises(InputError, match=f"module fails .{message}.: mend") as refused:
            find()
        assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match=r"growth model 'own' \(broken:Mine\) fails: "):
        find_model("own")


def test_settings_as_typed_on_a_command_line():
    texts = ["ratio=5", "face_mean=arithmetic", "tensor={path='a.nii', frame='fsl'}", "b = true"]
    assert parse_settings(texts) == {
        "ratio": 5,
        "face_mean": "arithmetic",
        "tensor": {"path": "a.nii", "frame": "fsl"},
        "b": True,
    }
    for wrong in ("ratio", "=5", "a b=3"):
        with pytest.raises(ValueError, match="KEY=VALUE"):
            parse_settings([wrong])


SPACE = ParameterSpace(whole_ml=Range(0.5, 20), core_min_ml=0.05, snapshots_per_run=1)


def test_a_model_defined_here_fills_a_database_that_can_be_searched(tmp_path):
    fill_and_search(tmp_path)


@pytest.mark.slow
def test_workers_fill_a_database_by_a_model_defined_here(ray, tmp_path):
    fill_and_search(tmp_path)


def fill_and_search(tmp_path):
    plan = Plan(SPACE, seed=3, model=Gompertz(ratio=8.0))
    made = generate(tmp_path / "db", 4, plan=plan, shard_size=2)
    assert made.header["plan"]["model"]["class"].endswith(":Gompertz")
    opened = Database.open(tmp_path / "db")
    assert opened.plan.model == Gompertz(ratio=8.0)
    assert verify(tmp_path / "db") == []
    index = build_index(opened, tmp_path / "db" / "index")
    (best,) = search(index, opened.outlines(2), k=1)
    assert best.sample == 2 and best.score == 2
    extended = generate(tmp_path / "db", 5)  # resumed from its description alone
    assert extended.plan.model == Gompertz(ratio=8.0)


def field_of_one_tensor(path):
    grid = Grid(
        (32, 32, 32), np.array([[8, 0, 0, -243.5], [0, 8, 0, -4.5], [0, 0, 8, -46.5], [0, 0, 0, 1]])
    )
    values = np.tile(np.float32([1, 0.4, 0, 1, 0, 0.3]), (32, 32, 32, 1))
    return TensorField(values, grid).to_nifti(path)


@pytest.mark.slow
@pytest.mark.parametrize("base", [ProliferativeNecrotic, FisherKolmogorovTensor])
def test_databases_of_the_other_models_reopen(tmp_path, base):
    if base is FisherKolmogorovTensor:
        model = base(field_of_one_tensor(tmp_path / "tensor.nii.gz"))
    else:
        model = base(consumption=0.2)
    generate(tmp_path / "db", 1, plan=Plan(SPACE, seed=3, model=model), store="outlines")
    opened = Database.open(tmp_path / "db")
    assert opened.plan.model == model
    again = opened.density(0)  # simulated again, by the model as described
    np.testing.assert_array_equal(again.outlines().whole, opened.outlines(0).whole)
