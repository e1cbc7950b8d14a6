"""
A parameter sweep as a study
============================

How does the invisible part of a tumour depend on its parameters? The sampler ``grid`` takes every
combination of listed values, and xarray shows what comes out.
"""

# %%
# Describe the sweep
# ------------------
#
# A study is a parameter space, a seed and a growth model. Here, three diffusivities, three rates
# and two ages at one place: 18 tumours. The same study as a file for
# ``glioquery generate DB --space study.toml``::
#
#     sampler = "grid"
#     snapshots_per_run = 1
#     origin_mm = [-90, 120, 90]
#     dw = [0.1, 0.3, 0.6]
#     rho = [0.03, 0.04, 0.06]
#     days = [200, 300]
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import glioquery as gq

space = gq.ParameterSpace(
    sampler="grid",
    snapshots_per_run=1,
    origin_mm=((-90, 120, 90),),
    dw=gq.Choices((0.1, 0.3, 0.6)),
    rho=gq.Choices((0.03, 0.04, 0.06)),
    days=gq.Choices((200, 300)),
)
plan = gq.Plan(space, 0, gq.find_model("fisher-kolmogorov"))

# %%
# Simulate it
# -----------
#
# Ray spreads the tumours over the cores. The folder is a database of NetCDF files, which
# any reader opens.
folder = Path(tempfile.mkdtemp()) / "sweep"
database = gq.generate(folder, plan=plan)
print(f"{len(database)} tumours")
database.parameters

# %%
# Ask a question
# --------------
#
# How much of the tumour does the scan not show? That is the volume where the density is at least
# 1 %, beyond the whole outline. ``density(i)`` reads one tumour.
invisible_ml = [
    float((database.density(i).u >= 0.01).sum() * database.grid.voxel_ml)
    - float(database.parameters.whole_ml[i])
    for i in range(len(database))
]
sweep = database.parameters.assign(invisible_ml=("sample", np.array(invisible_ml)))

# %%
# The parameters make a grid, so the samples can be unstacked into one axis for each of them.
table = (
    sweep.assign_coords({name: sweep[name].round(6) for name in ("dw", "rho", "days")})
    .set_index(sample=["dw", "rho", "days"])
    .unstack("sample")
)
table.invisible_ml.attrs = {"long_name": "invisible tumour", "units": "ml"}
plt.figure(layout="constrained")
table.invisible_ml.sel(days=200).plot(x="dw", hue="rho", marker="o")
plt.title("The invisible part after 200 days")
plt.show()

# %%
# The same against lambda. Tumours of one lambda and one rho T are one tumour, whatever Dw, rho
# and T are. The invisible rim widens with lambda. It narrows with growth: a young tumour is a cloud
# of sparse cells, of which the scan shows little.
radius_mm = (3000 / (4 * np.pi) * (sweep.whole_ml + sweep.invisible_ml)) ** (1 / 3)
rim_mm = radius_mm - (3000 / (4 * np.pi) * sweep.whole_ml) ** (1 / 3)
rim = xr.Dataset({"lambda_mm": sweep.lambda_mm, "rim_mm": rim_mm, "rho_t": sweep.rho_t})
rim.lambda_mm.attrs = {"long_name": "infiltration length λ", "units": "mm"}
rim.rim_mm.attrs = {"long_name": "width of the invisible rim", "units": "mm"}
rim.rho_t.attrs = {"long_name": "growth ρT"}
plt.figure(layout="constrained")
rim.plot.scatter(x="lambda_mm", y="rim_mm", hue="rho_t")
plt.title("The invisible rim widens with lambda and narrows with growth")
plt.show()
