"""Speed of the solver: `python tests/benchmark/solver.py`, about ten minutes on two cores.

Every ratio compares runs of one draw of the default parameter space in one process, on whatever
cores that has; medians over the draws. The reference is tests/euler_reference.py, explicit Euler in
plain NumPy at its own stability limit. On a machine where JAX finds a GPU, batches are timed there.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from euler_reference import explicit_limit_days, grow

from glioquery.atlas import load_atlas
from glioquery.dbgen import ParameterSpace, Plan
from glioquery.dbgen.study.samples import draw_samples
from glioquery.solver import Accuracy, GrowthParameters, Tissue, simulate, simulate_batch
from glioquery.solver.seed import seed_density

ONE_DRAW_A_RUN = Plan(ParameterSpace(snapshots_per_run=1), seed=1)

COARSE_ERROR = 0.05
"""A tolerance still well below what Euler reaches at its stability limit."""

COMPILE = """
import time
from glioquery.atlas import load_atlas
from glioquery.solver import GrowthParameters, Tissue, keep_compiled_programs, simulate
keep_compiled_programs()
tissue = Tissue.from_atlas(load_atlas())
runs = []
for _ in range(2):
    began = time.perf_counter()
    simulate(tissue, GrowthParameters((-150, 100, 60), 0.6, 0.05, 230))
    runs.append(time.perf_counter() - began)
print(runs[0] - runs[1])
"""


def seconds(function, *arguments, **options):
    """Result and wall time of a call."""
    began = time.perf_counter()
    result = function(*arguments, **options)
    return result, time.perf_counter() - began


def relative_l2(a, b):
    """Relative L2 distance."""
    return np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64))


def euler(tissue, parameters, box):
    """The reference on a part of the grid, at its stability limit."""
    seed = np.zeros(tissue.grid.shape)
    seed[tissue.box] = seed_density(tissue, parameters.origin_mm)
    diffusivity = (parameters.dw * (tissue.wm + tissue.gm / 10)).astype(np.float64)
    limit = explicit_limit_days(parameters.dw, tissue.grid.spacing_mm)
    limit = min(limit, 1 / parameters.rho)
    n_steps = math.ceil(parameters.days / limit)
    return grow(
        seed[box], diffusivity[box], tissue.domain[box], tissue.grid.spacing_mm,
        parameters.rho, parameters.days, n_steps,
    )  # fmt: skip


def against_the_reference(tissue, n_draws):
    """Ratios of times, and both errors."""
    everything = (slice(None),) * 3
    settings = {"default": Accuracy(), "coarse": Accuracy.for_error(COARSE_ERROR)}
    rows = []
    for run in range(n_draws):
        (sample,) = draw_samples(tissue, ONE_DRAW_A_RUN, run)
        p = sample.parameters
        exact = simulate(tissue, p, accuracy=Accuracy().refined(8)).final.u
        on_box, box_time = seconds(euler, tissue, p, tissue.box)
        _, full_time = seconds(euler, tissue, p, everything)
        row = [relative_l2(on_box, exact)]
        for accuracy in settings.values():
            ours = min(seconds(simulate, tissue, p, accuracy=accuracy)[1] for _ in range(3))
            u = simulate(tissue, p, accuracy=accuracy).final.u
            row += [ours * 1e3, full_time / ours, box_time / ours, relative_l2(u, exact)]
        rows.append(row)
        print(f"  draw {run}: lambda {p.lambda_mm:.1f} mm, {' '.join(f'{x:.2g}' for x in row)}",
              flush=True)  # fmt: skip
    euler_error, *figures = np.median(rows, axis=0)
    print(f"against NumPy Euler, error {euler_error:.1e}; medians of {n_draws} draws:")
    for name, (ms, full, box, error) in zip(settings, np.reshape(figures, (-1, 4)), strict=True):
        print(
            f"  {name} accuracy: {ms:.0f} ms, {full:.0f} times faster than on the full grid, "
            f"{box:.0f} times faster than on the tissue box, relative L2 error {error:.1e}"
        )


def sampling(tissue, n_runs):
    """Time per accepted tumour, and of single runs to 60 ml."""
    for plan in (Plan(seed=2), ONE_DRAW_A_RUN):
        m = plan.space.snapshots_per_run
        draw_samples(tissue, plan, 999)
        _, spent = seconds(lambda plan=plan: [draw_samples(tissue, plan, r) for r in range(n_runs)])
        print(
            f"{m} snapshots a run: {spent / n_runs / m:.3f} s an accepted tumour, rejects included"
        )
    rng = np.random.default_rng(0)
    times, updates = [], []
    while len(times) < 3 * n_runs:
        origin = tissue.grid.to_world(tissue.voxels[rng.integers(len(tissue.voxels))])
        p = GrowthParameters(tuple(origin), rng.uniform(0.02, 1.5), rng.uniform(0.002, 0.2), 5000)
        result, spent = seconds(simulate, tissue, p, stop_ml=60)
        if result.final.whole_voxels * tissue.grid.voxel_ml >= 60:
            times.append(spent)
            updates.append(result.n_stages * math.prod(tissue.box_shape) / spent)
    print(
        f"single run to 60 ml: median {np.median(times):.3f} s, "
        f"{np.median(updates) / 1e6:.0f} million voxel updates a second (box voxels times stages)"
    )


def compile_time():
    """Cold and from the cache, each in a process of its own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, GLIOQUERY_CACHE=cache)
        for name in ("cold", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            print(f"compiling all programs, {name}: {float(done.stdout):.1f} s")


def bandwidth():
    """Copy speed of arrays far larger than the caches, bytes a second."""
    a = np.ones(2**26, np.float32)
    b = np.empty_like(a)
    best = min(seconds(np.copyto, b, a)[1] for _ in range(5))
    print(f"memory: {2 * a.nbytes / best / 1e9:.1f} GB/s (copy of 256 MB, one core)")


def on_a_gpu(tissue, n, batch_size):
    """Accepted tumours of the default space a second in batches."""
    parameters = [draw_samples(tissue, ONE_DRAW_A_RUN, r)[0].parameters for r in range(n)]
    simulate_batch(tissue, parameters, batch_size=batch_size)
    _, spent = seconds(simulate_batch, tissue, parameters, batch_size=batch_size)
    print(f"GPU {jax.devices()[0].device_kind}: {n / spent:.0f} tumours a second in batches of "
          f"{batch_size}; 50,000 in {50_000 * spent / n / 60:.1f} minutes")  # fmt: skip


def main():
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--gpu-tumours", type=int, default=512)
    options = parser.parse_args()
    tissue = Tissue.from_atlas(load_atlas())
    print(f"{os.cpu_count()} cores, JAX {jax.__version__} on {jax.devices()[0].device_kind}")
    if jax.default_backend() == "gpu":
        for batch_size in (16, 64, 256):
            on_a_gpu(tissue, options.gpu_tumours, batch_size)
        return
    print("no GPU: its part is skipped")
    bandwidth()
    compile_time()
    sampling(tissue, options.draws)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    against_the_reference(tissue, options.draws)


if __name__ == "__main__":
    main()
