"""Radiomics: the tumours nearest by centre of mass, in the order of their shapes' likeness.

    distance = || f_core(Q) - f_core(A) ||_2 + || f_whole(Q) - f_whole(A) ||_2

among the 1,000 tumours whose centre of mass is nearest to the query's. f are the features of
`shape`: as they are in `radiomics`, where the volume in mm^3 outweighs all others, as in the
paper; divided by their standard deviation over the database in `radiomics-standardised`.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.cluster import connected, remote
from ...dbgen.machine.progress import Progress, silent
from ...dbgen.machine.tasks import results_of
from ...solver import TumorMasks
from ..dice import OUTLINES
from ..index.index import Index
from ..match import nearest
from .shape import FEATURES, centre_of_mass, shape_features, sitk
from .store import fingerprint_of, finish, made, map_array, read_manifest, write_array

TABLE = "radiomics"
"""Name of the folder whose features both strategies use."""

NEAREST = 1000
"""Tumours whose shapes are compared."""

SAMPLES_A_TASK = 100


def prepare(index: Index, *, progress: Progress = silent) -> None:
    """Compute the features of all outlines of a database, on all cores through Ray.

    `features.npy`, (n_samples, 2, 9) float64: of core and whole, as `shape.FEATURES`.
    `centres.npy`, (n_samples, 3) float64: centre of mass of the whole outline, mm from the corner
    voxel of the grid.
    """
    n = index.n_samples
    features = np.zeros((n, 2, len(FEATURES)))
    centres = np.zeros((n, 3))
    spans = [(start, min(start + SAMPLES_A_TASK, n)) for start in range(0, n, SAMPLES_A_TASK)]
    with connected() as ray:
        task = remote(ray, describe_samples, num_cpus=1, max_retries=0)
        path = index.path.absolute()

        def begin(span: tuple[int, int]) -> Any:
            return task.remote(path, *span)

        for (start, stop), part in results_of(ray, begin, spans):
            features[start:stop], centres[start:stop] = part
            progress(stop, n)
    with made(index, TABLE) as folder:
        write_array(folder / "features.npy", features)
        write_array(folder / "centres.npy", centres)
        finish(index, TABLE, ["features.npy", "centres.npy"], features=FEATURES)


def describe_samples(
    path: Path, start: int, stop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (stop - start, 2, 9) and centres (stop - start, 3) of some samples of an index."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # one core a worker
    index = Index.open(path)
    features = np.zeros((stop - start, 2, len(FEATURES)))
    centres = np.zeros((stop - start, 3))
    spacing_mm = index.grid.spacing_mm
    corner_mm = [part.start * mm for part, mm in zip(index.box, spacing_mm, strict=True)]
    for row in range(stop - start):
        stored = index.packed_outlines(start + row, start + row + 1)
        core, whole = (np.unpackbits(bits[0], axis=-1).view(bool) for bits in stored)
        features[row] = [shape_features(mask, spacing_mm) for mask in (core, whole)]
        centres[row] = centre_of_mass(whole, spacing_mm) + corner_mm
    return features, centres


@dataclass(frozen=True, eq=False)
class Radiomics:
    """Least distance of the features; see `prepare` for the arrays."""

    name: str
    index: Index
    features: NDArray[np.float64]
    centres: NDArray[np.float64]
    scale: NDArray[np.float64]  # (2, 9), by which features are divided
    fingerprint: str

    @classmethod
    def open(cls, index: Index, name: str) -> Radiomics:
        """Open what `prepare` made.

        Raises
        ------
        InputError
            As `store.read_manifest`.
        """
        manifest = read_manifest(index, TABLE)
        features = map_array(index, TABLE, "features.npy")
        scale = np.ones(features.shape[1:])
        if name != TABLE:
            deviation = features.std(axis=0)
            scale = np.where(deviation > 0, deviation, 1.0)
        return cls(
            name,
            index,
            features,
            map_array(index, TABLE, "centres.npy"),
            scale,
            fingerprint_of(manifest),
        )

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n tumours of least distance; at most `NEAREST` are considered."""
        masks.require_grid(self.index.grid, "the index")
        spacing_mm = masks.grid.spacing_mm
        away = np.linalg.norm(self.centres - centre_of_mass(masks.whole, spacing_mm), axis=1)
        near = np.sort(nearest(np.nan_to_num(away, nan=np.inf), NEAREST))
        asked = np.array([shape_features(getattr(masks, name), spacing_mm) for name in OUTLINES])
        differences = (self.features[near] - asked) / self.scale
        distances = np.linalg.norm(differences, axis=2).sum(axis=1)
        return near[nearest(distances, n)]
