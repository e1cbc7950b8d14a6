"""The reference solver: explicit Euler in plain NumPy, as simple as it can be written."""

import numpy as np


def explicit_limit_days(dw, spacing_mm):
    """Longest stable step, where no voxel diffuses faster than dw."""
    return 1 / (2 * dw * sum(1 / h**2 for h in spacing_mm))


def laplacian(u, diffusivity, domain, spacing_mm):
    """div(D grad u) with harmonic face means and no flux out of the domain."""
    total = np.zeros_like(u)
    for axis, h in enumerate(spacing_mm):
        d = np.moveaxis(diffusivity, axis, 0)
        inside = np.moveaxis(domain, axis, 0)
        v = np.moveaxis(u, axis, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            face = np.nan_to_num(2 * d[1:] * d[:-1] / (d[1:] + d[:-1]))
        flux = face * (inside[1:] & inside[:-1]) * (v[1:] - v[:-1]) / h**2
        out = np.moveaxis(total, axis, 0)
        out[:-1] += flux
        out[1:] -= flux
    return total


def grow(u, diffusivity, domain, spacing_mm, rho, days, n_steps):
    """Advance du/dt = div(D grad u) + rho u (1 - u) by `days` in `n_steps` equal steps."""
    step = days / n_steps
    for _ in range(n_steps):
        u = u + step * (laplacian(u, diffusivity, domain, spacing_mm) + rho * u * (1 - u))
    return u
