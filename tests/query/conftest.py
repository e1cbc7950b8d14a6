"""A database in memory, small enough for the ten-line loop that defines what a search returns."""

import hashlib
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.query import Match, Portion, build_index
from glioquery.query.index import groups
from glioquery.solver import Thresholds, TumorMasks


@dataclass
class MemorySource:
    """An OutlineSource over boolean volumes (n, x, y, z)."""

    core: np.ndarray
    whole: np.ndarray
    grid: Grid
    box: tuple[slice, slice, slice]
    tissue: np.ndarray
    checksum: str = "of these tumours"
    thresholds: Thresholds = field(default_factory=Thresholds)
    normalisation: str = "absolute"

    @property
    def n_samples(self):
        return len(self.core)

    @property
    def portions(self):
        """Of 25 samples, as shards have some."""
        portions = []
        for first in range(0, self.n_samples, 25):
            span = slice(first, min(first + 25, self.n_samples))
            digest = hashlib.sha256(self.core[span].tobytes() + self.whole[span].tobytes())
            portions.append(Portion(span.start, span.stop, digest.hexdigest()))
        return tuple(portions)

    def packed_outlines(self, start, stop):
        return tuple(
            np.packbits(volumes[start:stop, *self.box], axis=-1)
            for volumes in (self.core, self.whole)
        )


def naive_search(source, masks, k, empty_score=0.0):
    rows = []
    for sample, tumor in enumerate(zip(source.core, source.whole, strict=True)):
        dice = []
        for ours, theirs in zip((masks.core, masks.whole), tumor, strict=True):
            total = int(ours.sum()) + int(theirs.sum())
            dice.append(2 * int((ours & theirs).sum()) / total if total else empty_score)
        rows.append((-(dice[0] + dice[1]), sample, *dice))
    return [Match(sample, -score, *dice) for score, sample, *dice in sorted(rows)[:k]]


def small_source():
    """90 tumours in a brain full of holes, whose box has its corner and size at odd places."""
    rng = np.random.default_rng(7)
    grid = Grid((25, 24, 30), np.diag([2, 2, 2, 1]))
    box = (slice(3, 22), slice(2, 21), slice(5, 29))
    brain = np.zeros(grid.shape, bool)
    brain[box] = rng.random(brain[box].shape) < 0.9
    brain[3:11, 2:10, 5:13] = True  # the first block is full in tumours that cover it
    points = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    core, whole = [], []
    for _ in range(84):
        distance = np.linalg.norm(points - rng.choice(points[brain]), axis=-1)
        radius = rng.uniform(1, 16)
        whole.append(brain & (distance < radius))
        core.append(brain & (distance < radius * rng.uniform(0, 0.9)))
    nothing = np.zeros_like(brain)
    # No core; nothing at all; all of the brain; and some of the former a second time.
    core += [nothing, nothing, brain, core[0], core[11], nothing]
    whole += [whole[3], nothing, brain, whole[0], whole[11], nothing]
    return MemorySource(np.array(core), np.array(whole), grid, box, brain[box])


@pytest.fixture(scope="session")
def source():
    return small_source()


@pytest.fixture(scope="session", autouse=True)
def small_groups():
    """Twelve groups of the 90 tumours, the last of two: searches leave some of them out."""
    with patch.object(groups, "GROUP", 8):
        yield


@pytest.fixture(scope="session")
def shared_index(source, small_groups, tmp_path_factory):
    return build_index(source, tmp_path_factory.mktemp("shared") / "index")


@pytest.fixture
def index(source, tmp_path):
    """One that a test may damage."""
    return build_index(source, tmp_path / "index")


@pytest.fixture(scope="session")
def naive():
    return naive_search


@pytest.fixture(scope="session")
def make_source():
    return MemorySource


@pytest.fixture(scope="session")
def tumor(source):
    """The masks of one sample, as a query."""
    return lambda sample: TumorMasks(source.core[sample], source.whole[sample], source.grid)
