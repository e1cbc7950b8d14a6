"""
Grow one tumour
===============

A tumour grows from one point. Its front is as wide as lambda = sqrt(Dw / rho), and the scan shows
only the part where cells are dense.
"""

# %%
# The atlas holds the shares of white matter, grey matter and fluid in each voxel. The growth model
# needs them as a ``Tissue``.
import matplotlib.pyplot as plt

import glioquery as gq

atlas = gq.load_atlas()
tissue = gq.Tissue.from_atlas(atlas)

# %%
# Two tumours of one age. Positions are in mm, ``dw`` in mm²/day, ``rho`` in 1/day.
# The first has a sharp front, the second a wide one.
origin = (-90, 120, 90)
sharp = gq.simulate(tissue, gq.GrowthParameters(origin, dw=0.08, rho=0.05, days=250))
wide = gq.simulate(tissue, gq.GrowthParameters(origin, dw=0.4, rho=0.045, days=250))
for name, run in (("sharp", sharp), ("wide", wide)):
    u = run.density.u
    ml = run.density.grid.voxel_ml
    print(
        f"{name}: lambda {run.parameters.lambda_mm:.1f} mm, core {(u >= 0.6).sum() * ml:.1f} ml, "
        f"whole {(u >= 0.2).sum() * ml:.1f} ml, above 1 % {(u >= 0.01).sum() * ml:.1f} ml"
    )

# %%
# The axial slice through the origin. White lines are the outlines that a scan would show, at
# densities of 0.6 and 0.2. The red line is the 1 % isoline, which no scan shows.
z = round(float(tissue.grid.to_voxel(origin)[2]))
figure, axes = plt.subplots(1, 2, figsize=(8, 4.4), layout="constrained")
for axis, (name, run) in zip(axes, (("sharp", sharp), ("wide", wide)), strict=True):
    axis.imshow(tissue.wm[:, :, z].T, origin="lower", cmap="gray", vmax=2)
    u = run.density.u[:, :, z].T
    axis.contour(u, levels=[0.2, 0.6], colors="white", linewidths=1)
    axis.contour(u, levels=[0.01], colors="tab:red", linewidths=1)
    axis.set_title(f"{name}: λ = {run.parameters.lambda_mm:.1f} mm")
    axis.set_axis_off()
plt.show()
