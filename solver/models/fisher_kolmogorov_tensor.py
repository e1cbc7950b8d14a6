"""The Fisher-Kolmogorov model with a full diffusion tensor in every voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..declarations import parameter
from ..laplacian import shifted_slices
from ..selling import decompose, touched_voxels
from ..tissue import Tissue
from .base import Links
from .fisher_kolmogorov import OneLogisticPopulation, grey_white_ratio
from .tensor_atlas import named_tensor
from .tensor_field import TensorField, mean_diffusivity

NEGLIGIBLE = 1e-10
"""Share of a voxel's largest weight below which a weight is rounding."""


@dataclass(frozen=True)
class FisherKolmogorovTensor(OneLogisticPopulation):
    """Anisotropic diffusion and logistic growth.

        du/dt = div(D grad u) + rho u (1 - u),    n . (D grad u) = 0 on the tissue's boundary,
        D(x) = dw (s T(x) + (1 - s) tr T(x) / 3 I),

    with T symmetric, positive semi-definite, in RAS world axes.

    In the coordinates of the voxels, T becomes A^-1 T A^-T (A the grid's affine), which takes any
    spacing and any orientation. Selling's decomposition writes it as a sum of at most six
    lambda_e e e^T with integer offsets e and lambda_e >= 0, and the link from voxel i to i + e gets
    the mean of its ends' lambda_e. Non-negative links conserve mass and are monotone: explicit
    Euler steps, and the exact solution in time, keep u in [0, 1]; what RKL2 leaves of that is
    clipped and recorded as for the isotropic model.

    The mean is the arithmetic one, as in Fehrenbach and Mirebeau: it is what the energy
    1/2 sum_i sum_e lambda_e(i) (u(i + e) - u(i))^2 gives, and where two neighbours have different
    offsets (lambda_e = 0 at one end) the harmonic mean would cut the link and lose consistency.

    A link of which a voxel touched by its segment is no tissue is dropped: no cell jumps over a
    sulcus, nor between two CSF voxels that share an edge.

    Attributes
    ----------
    tensor : TensorField, optional
        T; on any grid that covers the tissue, interpolated to its voxels. A mapping of path, frame
        and order is read by `TensorField.from_nifti`, a path alone if `TensorField.to_nifti` wrote
        the file; "atlas" is the file that `GLIOQUERY_TENSOR` names. By default T is isotropic,
        (p_w + p_g / ratio) I, and the model is Fisher-Kolmogorov with the arithmetic face mean.
    ratio : float
        Diffusivity in white over that in grey matter, >= 1, of the default T.
    strength : float
        s, 0 (isotropic, of the same mean diffusivity) to 1 (the tensors as they are).
    max_anisotropy : float
        Smaller eigenvalues are raised to the largest over this, >= 1. Up to 5, and with cubic
        voxels, all offsets lie in the 3 x 3 x 3 neighbourhood: 13 links a voxel, whatever the
        field, and 6 times the isotropic model's time for a stage. At 10 a field that points
        everywhere needs 61 links, and 100 times the time, since they no longer fit the caches.

    References
    ----------
    J. Fehrenbach, J.-M. Mirebeau, "Sparse non-negative stencils for anisotropic diffusion", J.
    Math. Imaging Vision 49:123-147, 2014.
    S. Jbabdi et al., "Simulation of anisotropic growth of low-grade gliomas using diffusion tensor
    imaging", Magn. Reson. Med. 54:616-624, 2005 (tumour growth along measured tensors).
    """

    tensor: TensorField | None = None
    ratio: float = grey_white_ratio()
    strength: float = parameter(
        1.0,
        "anisotropy: 0 is isotropic, 1 takes the tensors as they are",
        symbol="s",
        bounds=(0, 1),
        usual=(0, 1),
        source="S. Jbabdi et al., Magn. Reson. Med. 54:616-624, 2005",
    )
    max_anisotropy: float = 5.0

    name: ClassVar[str] = "fisher-kolmogorov-tensor"
    equation: ClassVar[str] = (
        "du/dt = div(D grad u) + rho u (1 - u), D = dw (s T(x) + (1 - s) tr T(x) / 3 I)"
    )

    def __post_init__(self) -> None:
        given: object = self.tensor  # a database holds its description
        if isinstance(given, Mapping):
            object.__setattr__(self, "tensor", TensorField.from_description(given))
        elif isinstance(given, str):
            object.__setattr__(self, "tensor", named_tensor(given))
        elif not (given is None or isinstance(given, TensorField)):
            raise InputError(
                f"tensor is a file of tensors, 'atlas', or a table of path, frame and order, got "
                f"{given!r}"
            )
        super().__post_init__()
        if not 1 <= self.max_anisotropy <= 1e3:
            raise InputError(f"max_anisotropy lies in [1, 1000], got {self.max_anisotropy}")

    def links(self, tissue: Tissue) -> Links:
        """Links along the offsets of Selling's decomposition, inside the domain."""
        domain = tissue.domain[tissue.box]
        inverse = np.linalg.inv(tissue.grid.affine[:3, :3])
        weights, offsets = decompose(inverse @ self._tensors(tissue) @ inverse.T)
        rows, columns = np.nonzero(weights > NEGLIGIBLE * weights.max(axis=1, keepdims=True))
        # One number for each offset sorts far faster than its three components.
        reach = int(np.abs(offsets).max()) + 1
        keys = offsets[rows, columns] @ np.array([4 * reach**2, 2 * reach, 1])
        order = np.argsort(keys, kind="stable")
        rows, columns = rows[order], columns[order]
        starts = np.flatnonzero(np.diff(keys[order], prepend=np.iinfo(np.int64).min))
        voxels = np.argwhere(domain)
        links = {(1, 0, 0): np.zeros(domain.shape)}  # so that there is always one
        for some, others in zip(
            np.split(rows, starts[1:]), np.split(columns, starts[1:]), strict=True
        ):
            x, y, z = offsets[some[0], others[0]].tolist()
            values = np.zeros(domain.shape)
            values[tuple(voxels[some].T)] = weights[some, others]
            link = _link(values, domain, (x, y, z))
            if link.any():
                links[x, y, z] = link
        return links

    def _tensors(self, tissue: Tissue) -> NDArray[np.float64]:
        """T (n, 3, 3) in the domain's voxels, its anisotropy bounded."""
        if self.tensor is None:
            isotropic = tissue.relative_diffusivity(self.ratio)[tissue.domain]
            return isotropic.astype(np.float64)[:, None, None] * np.eye(3)
        tensors = self.tensor.sample(tissue.grid.to_world(tissue.voxels))
        mean = mean_diffusivity(tensors)
        tensors = self.strength * tensors + (1 - self.strength) * mean * np.eye(3)
        values, vectors = np.linalg.eigh(tensors)
        bounded = np.maximum(values, values[:, -1:] / self.max_anisotropy)
        lifted = (bounded > values).any(axis=1)
        v = vectors[lifted]
        tensors[lifted] = (v * bounded[lifted, None, :]) @ v.transpose(0, 2, 1)
        return tensors


def _link(
    weights: NDArray[np.float64], domain: NDArray[np.bool_], offset: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Mean weight of both ends of each link, zero where its segment leaves the domain."""
    mean = (weights + _shifted(weights, offset)) / 2
    inside = domain & _shifted(domain, offset)
    for voxel in touched_voxels(offset):
        inside &= _shifted(domain, voxel)
    return np.where(inside, mean, 0.0)


def _shifted(values: NDArray[Any], offset: tuple[int, int, int]) -> NDArray[Any]:
    """Value at i + offset for every voxel i, zero where that lies outside the array."""
    out = np.zeros_like(values)
    there, here = shifted_slices(offset, values.shape)
    out[here] = values[there]
    return out
