"""What an image shows is called by its name; a background of any constant is dark."""

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.images.foreground import (
    View,
    darken_background,
    foreground,
    require_brain,
    shows_head,
    view_of,
)
from glioquery.pipeline.images.nifti import Scan, read_nifti
from glioquery.query.dice import dice_of


@pytest.fixture(scope="module")
def brain_4mm(brain_2mm):
    grid = brain_2mm.grid
    values = brain_2mm.values[::2, ::2, ::2]
    return Scan(values, Grid(values.shape, grid.affine @ np.diag([2, 2, 2, 1])))


def normalised(values):
    lit = values > 0
    return np.where(lit, (values - values[lit].mean()) / values[lit].std(), 0)


BACKGROUNDS = {
    "higher": lambda v: v + 200,
    "as in CT": lambda v: v - 1024,
    "amid the brain": lambda v: (normalised(v) + 4) / 10,
    "0 amid the brain": normalised,
    "above the brain": lambda v: np.where(v > 0, v, 3000),
    "negative": lambda v: np.where(v > 0, v, -1000),
}


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_constant_background_becomes_dark(brain_4mm, kind):
    given = BACKGROUNDS[kind](brain_4mm.values).astype(np.float32)
    values, level = darken_background(given, "T1")
    assert level == given[0, 0, 0]
    brain = foreground(brain_4mm.values)
    assert dice_of(foreground(values), brain) > 0.98
    assert view_of(Scan(values, brain_4mm.grid)) is View.BRAIN
    assert np.corrcoef(values[brain], brain_4mm.values[brain])[0, 1] > 0.99


def test_a_dark_background_is_left_alone(brain_2mm):
    ripples = brain_2mm.values - 5 * (brain_2mm.values == 0)
    ripples[:40], ripples[-40:] = 0, 0
    for values in (brain_2mm.values, ripples):
        darkened, level = darken_background(values, "T1")
        assert darkened is values and level is None


def test_what_is_no_image_is_refused(brain_2mm):
    noise = np.random.default_rng(0).normal(size=brain_2mm.values.shape).astype(np.float32)
    for values, message in (
        (np.zeros((9, 9, 9), np.float32), "no positive intensity"),
        (np.full((9, 9, 9), 3, np.float32), "holds 3 everywhere"),
        (np.eye(9, dtype=np.float32)[None] * 3, "values 0 and 3 alone, as a mask has them"),
        (noise, "before it was normalised"),
    ):
        with pytest.raises(InputError, match=f"^T1 a: .*{message}"):
            darken_background(values, "T1 a")


@pytest.fixture(scope="module")
def head(brain_2mm):
    """A scalp 10 to 16 mm off the brain, bone and fluid between, in noise."""
    brain = foreground(brain_2mm.values)
    distance = ndimage.distance_transform_edt(~brain) * 2
    values = np.where(brain, brain_2mm.values, 0)
    values[(distance > 10) & (distance <= 16)] = 1500
    values += np.random.default_rng(0).uniform(1, 40, values.shape)
    return Scan(values.astype(np.float32), brain_2mm.grid)


def cut(scan, *ranges):
    box = tuple(slice(*r) for r in ranges)
    affine = scan.grid.affine.copy()
    affine[:3, 3] = scan.grid.to_world([r[0] for r in ranges])
    values = scan.values[box]
    return Scan(values, Grid(values.shape, affine))


SLAB = (28, 100), (14, 110), (50, 85)


def test_a_slab_of_a_brain_is_no_head_and_a_slab_of_a_head_is_one(head, brain_2mm):
    assert view_of(head) is View.HEAD and shows_head(head)
    assert view_of(cut(head, *SLAB)) is View.HEAD
    assert view_of(cut(brain_2mm, *SLAB)) is View.CUT_BRAIN
    assert not shows_head(cut(brain_2mm, *SLAB))


def test_a_patch_of_a_brain_is_one_that_is_cut(brain_2mm):
    patch = cut(brain_2mm, (30, 80), (20, 80), (40, 90))
    assert view_of(patch) is View.CUT_BRAIN
    with pytest.raises(InputError, match=r"the field of view cuts it \(tissue on \d+% of its"):
        require_brain(cut(brain_2mm, (40, 70), (30, 64), (50, 90)), "T1")


def test_a_background_that_is_neither_dark_nor_constant_is_called_so(head, brain_2mm):
    for scan in (head, brain_2mm):
        noise = np.random.default_rng(1).uniform(200, 300, scan.values.shape)
        assert view_of(Scan((scan.values + noise).astype(np.float32), scan.grid)) is View.BRIGHT
    assert view_of(cut(brain_2mm, (55, 75), (50, 90), (60, 80))) is View.BRIGHT


def test_grey_padding_is_no_tissue(head):
    """A head turned into a larger field of view that was filled with the image's mean."""
    grey = float(head.values.mean())
    turned = ndimage.rotate(head.values, 12, axes=(0, 1), order=1, cval=grey)
    turned = np.pad(turned, 8, constant_values=grey)
    values, level = darken_background(turned, "T1")
    assert level == pytest.approx(grey)
    black = np.pad(ndimage.rotate(head.values, 12, axes=(0, 1), order=1), 8)
    assert dice_of(foreground(values), foreground(black)) > 0.99
    assert view_of(Scan(values, Grid(values.shape, head.grid.affine))) is View.HEAD


@pytest.mark.slow
def test_real_images_are_called_by_their_names(cases):
    native = cases / "TCGA-FG-6692"
    heads = [native / f"{name}.nii.gz" for name in ("t1", "t1c", "flair")]
    brains = [
        native / "sri24_space" / f"brats_space_{name}.nii.gz" for name in ("t1", "t1c", "fla")
    ]
    for path in (*heads, *brains):
        file = read_nifti(path, "image")
        scan = Scan(file.values.astype(np.float32), file.grid)
        is_head = path.parent == native
        assert view_of(scan) is (View.HEAD if is_head else View.BRAIN), path
        middle = (np.array(scan.grid.shape) * 0.35).astype(int)
        slab = cut(scan, (0, None), (0, None), (middle[2], scan.grid.shape[2] - middle[2]))
        lit = np.argwhere(slab.values > 0.1 * np.percentile(slab.values, 99))
        box = [(int(a), int(b) + 1) for a, b in zip(lit.min(0), lit.max(0), strict=True)]
        assert view_of(cut(slab, *box)) is (View.HEAD if is_head else View.CUT_BRAIN), path
