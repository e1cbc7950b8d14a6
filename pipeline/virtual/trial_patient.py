"""Patients of the trial: a head that is not the atlas's, a tumour of known growth, three arms.

    a    the scan shows the cells alone
    b    oedema without cells, to one side, widens what FLAIR shows
    c    the tumour has pushed the tissue around it, and its own cells with it

The three arms share the head and its tumour (`make_bearer`). The draws of an arm (the outlines'
disturbance, the image's noise) depend on the seed, the patient and the arm alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import bounding_box
from ...errors import FailedError
from ...paths import StrPath
from ...solver import Tissue, TumorDensity, TumorMasks
from ...solver.own_settings import own_arithmetic
from ..images.coarsening import coarsen
from ..images.nifti import Scan, write_nifti
from ..images.point_map import SAME_WORLD, PointMap
from ..images.resampling import resample_in_tissue
from .anatomies import ANATOMIES, Anatomy, carry, place_head
from .arms import ARMS, Arm
from .distractions import Push, add_oedema
from .disturbance import NOISE_MM, disturb
from .smooth_noise import smooth_noise
from .true_growth import GrownTumor, TrueGrowth, draw_growth, grow

SHAPE = (196, 224, 176)
"""Voxels of a patient's images."""

VOXEL_MM = 1.0
"""Their edge."""

GROWTH_MM = 2.0
"""Voxel size at which the truth grows."""

LEAST_CORE_ML = 2.0
"""Least volume of the core. A smaller one is drawn again, for all rankings begin at the core."""

SHARE_OF_THICK_SLICES = 0.25

SLICES_IN_ONE = 4
"""Number of slices in a thick one, which is their mean."""

DISTURBED_MM = 7 * NOISE_MM
"""Margin around the whole outline in which disturbances are drawn: seven standard deviations."""

INTENSITY = 700.0
"""Intensity of the brightest tissue in the T1, in a scanner's arbitrary units."""

TUMOUR_DARKENING = 0.4
"""Share of its intensity that tissue full of cells has lost."""

OEDEMA_INTENSITY = 0.85
"""Further loss of intensity in the whole outline around the core."""

BIAS = 0.15
"""Largest deviation of the bias field from 1."""

BIAS_SD_MM = 45.0
"""Smoothness of the bias field: standard deviation of the Gaussian that filters its noise."""

NOISE = 0.03
"""Standard deviation of the noise, as a share of the brightest tissue."""

LABELS = {"core": 4, "oedema": 2}
"""Labels of the segmentation, as in `brats2021`."""

MOST_ATTEMPTS = 50
"""Most growths that are drawn for a patient. One in three has too small a core."""


@dataclass(frozen=True, eq=False)
class Bearer:
    """A head with a tumour, before any scanner or arm.

    Attributes
    ----------
    anatomy : Anatomy
        On the grid of the patient's images.
    source : str
        Which of `ANATOMIES` the head is made from.
    head : PointMap
        Map from the patient's world to that anatomy's.
    tissue : Tissue
        The anatomy's tissue on voxels of `GROWTH_MM`, in which the tumour grew.
    growth : TrueGrowth
    tumor : GrownTumor
    has_thick_slices : bool
    """

    anatomy: Anatomy
    source: str
    head: PointMap
    tissue: Tissue
    growth: TrueGrowth
    tumor: GrownTumor
    has_thick_slices: bool


@dataclass(frozen=True, eq=False)
class TrialPatient:
    """A virtual patient: the known files and the hidden truth, all on one grid.

    Attributes
    ----------
    t1 : Scan
        Skull-stripped.
    masks : TumorMasks
        The outlines as drawn, with a disturbance.
    density : TumorDensity
        The truth.
    anatomy : Anatomy
        The true tissue, and the T1 without tumour, bias and noise.
    facts : mapping of str to value
        How the truth grew, and what the arm added, in plain values: the volumes are those of the
        true outlines in this head, the origins lie where they were before any push.
    """

    t1: Scan
    masks: TumorMasks
    density: TumorDensity
    anatomy: Anatomy
    facts: dict[str, Any]

    @property
    def grid(self) -> Grid:
        """The grid of all images."""
        return self.t1.grid

    def write(self, folder: StrPath, *, ending: str = ".nii.gz") -> tuple[Path, Path]:
        """Write the known files, `t1` and `seg` (labels `brats2021`), as `invert` takes them.

        Parameters
        ----------
        folder : str or os.PathLike
        ending : str
            Ending of the files.

        Returns
        -------
        tuple of Path
            T1 and segmentation.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        t1, seg = folder / f"t1{ending}", folder / f"seg{ending}"
        labels = np.where(self.masks.whole, LABELS["oedema"], 0)
        labels = np.where(self.masks.core, LABELS["core"], labels).astype(np.uint8)
        write_nifti(t1, self.t1.values, self.grid)
        write_nifti(seg, labels, self.grid, intent="label")
        return t1, seg

    def write_truth(self, folder: StrPath) -> None:
        """Write the hidden truth: `density_true.nii.gz` and the maps of the true tissue.

        Parameters
        ----------
        folder : str or os.PathLike
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_nifti(folder / "density_true.nii.gz", self.density.u, self.grid)
        for name in ("wm", "gm", "csf"):
            write_nifti(folder / f"{name}_true.nii.gz", getattr(self.anatomy, name), self.grid)


@own_arithmetic()
def make_patient(seed: int, number: int, arm: Arm = "a") -> TrialPatient:
    """Make one patient in one arm; `make_bearer` and `image` share a tumour among several arms.

    Parameters
    ----------
    seed : int
        Seed of all patients of a trial.
    number : int
        Number of the patient, from 0.
    arm : "a", "b" or "c"
        Arm of the trial, see `arms`.

    Returns
    -------
    TrialPatient
    """
    return image(make_bearer(seed, number), arm, arm_rng(seed, number, arm))


def arm_rng(seed: int, number: int, arm: Arm) -> np.random.Generator:
    """The random numbers of a patient's arm, independent of all others."""
    return np.random.default_rng([seed, number, 1, ARMS.index(arm)])


def make_bearer(seed: int, number: int) -> Bearer:
    """Draw a head and let a tumour grow in it.

    Parameters
    ----------
    seed : int
        Seed of the trial.
    number : int
        Number of the patient.

    Raises
    ------
    FailedError
        If no drawn tumour reaches its volume.
    """
    source = list(ANATOMIES)[number % len(ANATOMIES)]
    original = ANATOMIES[source]()
    rng = np.random.default_rng([seed, number, 0, 0])
    grid, head = place_head(original, SHAPE, VOXEL_MM, rng)
    anatomy = carry(original, grid, head)
    wm, gm, csf = (
        coarsen(Scan(values, grid), GROWTH_MM) for values in (anatomy.wm, anatomy.gm, anatomy.csf)
    )
    tissue = Tissue.from_probabilities(wm.values, gm.values, csf.values, wm.grid)
    for _ in range(MOST_ATTEMPTS):
        growth = draw_growth(rng)
        is_thick = bool(rng.random() < SHARE_OF_THICK_SLICES)
        tumor = grow(tissue, growth, rng)
        if tumor is not None and tumor.density.outlines().core_ml >= LEAST_CORE_ML:
            return Bearer(anatomy, source, head, tissue, growth, tumor, is_thick)
    raise FailedError(
        f"none of {MOST_ATTEMPTS} tumours of patient {number} reached its volume: give another seed"
    )


def image(bearer: Bearer, arm: Arm, rng: np.random.Generator) -> TrialPatient:
    """Make the image and the drawn outlines of a head with its tumour.

    Parameters
    ----------
    bearer : Bearer
    arm : "a", "b" or "c"
    rng : numpy.random.Generator
        Random numbers for the outlines' disturbance, the oedema and the image's noise.
    """
    tumor, tissue = bearer.tumor, bearer.tissue
    anatomy, before = bearer.anatomy, SAME_WORLD
    facts = asdict(bearer.growth) | {
        "anatomy": bearer.source,
        "has_thick_slices": bearer.has_thick_slices,
        "origins_mm": tumor.origins_mm,
        "rho_t": tumor.rho_t,
    }
    if arm == "c":
        push = Push.of_core(tumor.density.outlines().core, tissue.grid)
        before = push.before(anatomy.grid)
        anatomy = carry(
            ANATOMIES[bearer.source](), anatomy.grid, push.then(bearer.head, anatomy.grid)
        )
        facts["push_mm"] = push.most_mm
    grid, brain = anatomy.grid, anatomy.brain
    (u,) = resample_in_tissue([tumor.density.u], tissue.grid, grid, tissue.domain, before)
    u = np.where(anatomy.solid, u, np.float32(0))
    true = TumorDensity(u, grid).outlines()
    facts |= {"core_ml": true.core_ml, "whole_ml": true.whole_ml}
    core, whole = _drawn(true, brain, rng)
    if arm == "b":
        wide = add_oedema(whole, anatomy, rng)
        facts["oedema_ml"] = float((wide & ~whole).sum() * grid.voxel_ml)
        whole = wide
    t1 = _acquired(anatomy, u, whole & ~core, rng)
    if bearer.has_thick_slices:
        thick = _thick_slices(grid)
        t1, u = thick(t1), thick(u)
        core, whole, brain = (thick(mask) >= 0.5 for mask in (core, whole, brain))
        grid = _thick_grid(grid)
        anatomy = Anatomy(
            thick(anatomy.t1), thick(anatomy.wm), thick(anatomy.gm), thick(anatomy.csf), grid
        )
        whole &= brain
        core &= whole
    t1 = np.where(brain, np.clip(np.rint(t1), 1, None), 0).astype(np.float32)
    masks = TumorMasks(core, whole, grid)
    return TrialPatient(Scan(t1, grid), masks, TumorDensity(u, grid), anatomy, facts)


def _drawn(
    masks: TumorMasks, brain: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Core and whole with disturbed boundaries that stay inside the brain."""
    grid = masks.grid
    box = bounding_box(masks.whole, np.ceil(DISTURBED_MM / np.array(grid.spacing_mm)).astype(int))
    part = TumorMasks(masks.core[box], masks.whole[box], grid.part(box))
    disturbed = disturb(part, brain[box], rng)
    core, whole = np.zeros_like(brain), np.zeros_like(brain)
    core[box], whole[box] = disturbed.core, disturbed.whole
    return core, whole


def _acquired(
    anatomy: Anatomy,
    u: NDArray[np.float32],
    oedema: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The image of a scanner: dark tumour and oedema, uneven sensitivity of the coil, noise."""
    shape = anatomy.grid.shape
    seen = INTENSITY * anatomy.t1 * (1 - TUMOUR_DARKENING * u)
    seen *= np.where(oedema, np.float32(OEDEMA_INTENSITY), 1)
    seen *= 1 + BIAS * smooth_noise(
        shape, BIAS_SD_MM / float(np.mean(anatomy.grid.spacing_mm)), rng
    )
    seen += NOISE * INTENSITY * rng.standard_normal(shape, dtype=np.float32)
    return seen


def _thick_slices(grid: Grid) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A function that averages the slices of an image."""
    x, y, z = grid.shape

    def thick(values: NDArray[Any]) -> NDArray[np.float32]:
        whole = values[:, :, : z // SLICES_IN_ONE * SLICES_IN_ONE]
        return whole.reshape(x, y, -1, SLICES_IN_ONE).mean(axis=3, dtype=np.float32)

    return thick


def _thick_grid(grid: Grid) -> Grid:
    n = SLICES_IN_ONE
    affine = grid.affine @ np.diag([1.0, 1.0, n, 1.0])
    affine[:3, 3] = grid.to_world([0, 0, (n - 1) / 2])
    return Grid((*grid.shape[:2], grid.shape[2] // n), affine)
