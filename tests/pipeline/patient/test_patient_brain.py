"""The brain of a patient: the mask that is given, or what is found in a head."""

import importlib.machinery
import sys
import types
from importlib.metadata import version

import nibabel as nib
import numpy as np
import pytest
from command_line import run
from heads import COARSE_GRID
from scipy import ndimage

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.errors import ExtraError, InputError
from glioquery.pipeline.cohort.cohort import invert_cohort
from glioquery.pipeline.images.foreground import foreground
from glioquery.pipeline.images.nifti import Scan, read_nifti, write_nifti
from glioquery.pipeline.images.resampling import resample_image, resample_masks
from glioquery.pipeline.patient.found_brain import BrainSource
from glioquery.pipeline.patient.learned_brain import extract_learned
from glioquery.pipeline.patient.patient import load_patient
from glioquery.query.dice import dice_of

FOUND_BRAIN = "glioquery.pipeline.patient.found_brain"
BRAIN_OPTION = "glioquery.pipeline.patient.brain_option"


@pytest.fixture
def head(files, brain_4mm):
    """The T1 with a bright scalp, 10 to 16 mm off the brain, in air that is never quite dark."""
    brain = foreground(brain_4mm.values)
    distance = ndimage.distance_transform_edt(~brain) * 4
    scalp = (distance > 10) & (distance <= 16)
    air = np.random.default_rng(0).uniform(1, 40, brain.shape)
    values = np.where(scalp, 1800, np.where(brain, brain_4mm.values, air))
    scan = Scan(values.astype(np.float32), COARSE_GRID)
    write_nifti(files["t1"], scan.values, scan.grid)
    return scan, brain


def test_a_head_gets_its_brain_found(files, head, monkeypatch):
    scan, brain = head
    seen = []

    def extract(image):
        seen.append(image)
        return brain

    monkeypatch.setattr(f"{FOUND_BRAIN}.network_version", lambda: None)
    monkeypatch.setattr(f"{FOUND_BRAIN}.extract_brain", extract)
    steps = []
    patient = load_patient(**files, step=steps.append)
    np.testing.assert_array_equal(seen[0].values, scan.values)
    np.testing.assert_array_equal(patient.t1.values, np.where(brain, scan.values, 0))
    assert any("skull" in notice for notice in patient.notices)
    assert steps == ["extract brain"] == list(patient.timings_s)
    assert patient.brain_source == BrainSource("atlas", "glioquery", version("glioquery"))


class Network:
    """Stands in for deepbet."""

    found = None

    def __init__(self, *, no_gpu):
        pass

    def run(self, image):
        assert image.shape == self.found.shape
        return image, nib.Nifti1Image(self.found.astype(np.uint8), image.affine), 1.0


@pytest.fixture
def network(head, monkeypatch):
    """deepbet is installed, and the atlas finds the brain as well."""
    _, Network.found = head
    module = types.ModuleType("deepbet")
    module.__spec__ = importlib.machinery.ModuleSpec("deepbet", None)
    bet = types.ModuleType("deepbet.bet")
    bet.BrainExtraction = Network
    monkeypatch.setitem(sys.modules, "deepbet", module)
    monkeypatch.setitem(sys.modules, "deepbet.bet", bet)
    monkeypatch.setattr(f"{BRAIN_OPTION}.version", {"deepbet": "1.2.3"}.__getitem__)
    brain = Network.found
    monkeypatch.setattr(f"{FOUND_BRAIN}.extract_brain", lambda image: brain)
    return brain


ATLAS = BrainSource("atlas", "glioquery", version("glioquery"))
NETWORK = BrainSource("network", "deepbet", "1.2.3")


@pytest.mark.parametrize(
    ("way", "source", "told"),
    [
        ("auto", NETWORK, "found by a network (deepbet)."),
        ("network", NETWORK, "found by a network (deepbet)."),
        ("atlas", ATLAS, "found with the help of the atlas."),
    ],
)
def test_the_brain_is_found_the_way_that_is_asked_for(files, network, way, source, told):
    patient = load_patient(**files, brain=way)
    np.testing.assert_array_equal(patient.brain, network)
    assert patient.brain_source == source
    (notice,) = patient.notices
    assert f"its brain is {told}" in notice


def test_a_network_that_finds_no_brain_gives_way_to_the_atlas_or_is_refused(files, network):
    """What it finds is taken where it is as large as a brain."""
    Network.found = network & (np.indices(network.shape)[0] < 20)
    patient = load_patient(**files)
    np.testing.assert_array_equal(patient.brain, network)
    assert patient.brain_source == ATLAS
    assert "the atlas, for a network (deepbet) found nothing of its volume" in patient.notices[0]
    with pytest.raises(InputError, match=r"deepbet.* finds nothing .*by the atlas, or give"):
        load_patient(**files, brain="network")


def test_a_network_that_is_not_installed_is_refused_before_a_file_is_read(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(f"{BRAIN_OPTION}.network_version", lambda: None)
    nothing = tmp_path / "nothing.nii"
    with pytest.raises(ExtraError, match=r"glioquery\[brain\]"):
        load_patient(t1=nothing, seg=nothing, labels="brats2021", brain="network")
    with pytest.raises(InputError, match="brain is auto, network, atlas; got 'best'"):
        load_patient(t1=nothing, seg=nothing, labels="brats2021", brain="best")
    files = ("--t1", nothing, "--seg", nothing, "-o", tmp_path / "out", "--brain", "network")
    code, _, err = run(capsys, "invert", *files)
    (line,) = err.strip().splitlines()
    assert code == 2 and "pip install 'glioquery[brain]'" in line
    with pytest.raises(ExtraError):
        invert_cohort(None, [], tmp_path / "out", brain="network")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_network_finds_a_real_brain(cases):
    pytest.importorskip("deepbet", reason="needs deepbet: the extra brain is not installed")
    native = cases / "TCGA-FG-6692"
    file = read_nifti(native / "t1.nii.gz", "T1")
    found = extract_learned(Scan(file.values.astype(np.float32), file.grid))
    known = load_patient(
        t1=native / "t1.nii.gz",
        seg=native / "sri24_space" / "seg_fusion_mav.nii.gz",
        seg_reference=native / "sri24_space" / "brats_space_t1.nii.gz",
        labels="brats2021",
    ).brain
    assert dice_of(found, known) > 0.95


def test_a_brain_mask_is_taken_before_any_search(files, head, tmp_path, still):
    scan, brain = head
    write_nifti(tmp_path / "mask.nii", brain, COARSE_GRID)
    patient = load_patient(**files, brain_mask=tmp_path / "mask.nii")
    np.testing.assert_array_equal(patient.t1.values, np.where(brain, scan.values, 0))
    np.testing.assert_array_equal(patient.brain, brain)
    assert patient.notices == ()
    assert patient.brain_source == BrainSource("mask")


def test_the_brain_is_the_mask_and_not_what_is_bright_inside_it(files, brain_4mm, tmp_path):
    shown = foreground(brain_4mm.values)
    patient = load_patient(**files)
    np.testing.assert_array_equal(patient.brain, shown)
    assert patient.brain_source == BrainSource("image")
    mask = ndimage.binary_dilation(shown)
    write_nifti(tmp_path / "mask.nii", mask, COARSE_GRID)
    patient = load_patient(**files, brain_mask=tmp_path / "mask.nii")
    np.testing.assert_array_equal(patient.brain, mask)
    fine = SIMULATION_GRID
    volume_ml = patient.brain_on(fine).sum() * fine.voxel_ml
    assert volume_ml == pytest.approx(mask.sum() * COARSE_GRID.voxel_ml, rel=0.02)


def test_a_brain_keeps_the_voxels_it_was_drawn_on(files, brain_4mm, tmp_path):
    """A mask whose every second slice is smaller, on voxels shifted by a half."""
    own = Grid(COARSE_GRID.shape, COARSE_GRID.affine + 2 * np.eye(4, 4, 3))
    brain = Scan(foreground(brain_4mm.values).astype(np.float32), COARSE_GRID)
    mask = resample_image(brain, own).values >= 0.5
    mask[::2] &= ndimage.binary_erosion(mask, iterations=1)[::2]
    write_nifti(tmp_path / "mask.nii", mask, own)
    patient = load_patient(**files, brain_mask=tmp_path / "mask.nii")
    assert patient.brain_drawn.grid == own
    tumour = resample_masks(patient.masks, own).whole
    np.testing.assert_array_equal(patient.brain_on(own), mask | tumour)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda brain: brain * np.linspace(0, 1, 64), "threshold it first"),
        (lambda brain: np.where(np.arange(64) < 20, brain, 0), "ml"),
        (lambda brain: ~brain, "ml"),
        (lambda brain: np.roll(brain, 20, axis=0), "does not lie on the brain"),
    ],
)
def test_refused_brain_masks(files, head, tmp_path, still, change, message):
    write_nifti(tmp_path / "mask.nii", change(head[1]).astype(np.float32), COARSE_GRID)
    with pytest.raises(InputError, match=message) as caught:
        load_patient(**files, brain_mask=tmp_path / "mask.nii")
    assert "\n" not in str(caught.value)


@pytest.fixture
def brain_without_tumour(brain_4mm, labels_4mm):
    lesion = ndimage.binary_dilation(labels_4mm > 0)
    return foreground(brain_4mm.values) & ~lesion


def test_a_mask_that_leaves_the_tumour_out_gets_it_back(
    files, brain_4mm, brain_without_tumour, labels_4mm, tmp_path, still
):
    write_nifti(tmp_path / "mask.nii", brain_without_tumour, COARSE_GRID)
    patient = load_patient(**files, brain_mask=tmp_path / "mask.nii")
    whole = ndimage.binary_fill_holes(brain_without_tumour | (labels_4mm > 0))
    np.testing.assert_array_equal(patient.brain, whole)
    np.testing.assert_array_equal(patient.t1.values, np.where(whole, brain_4mm.values, 0))
    (notice,) = patient.notices
    assert notice.startswith("Only 0% of the outlined tumour") and "added to the brain" in notice


def test_a_core_that_is_left_out_is_added_on_the_masks_own_voxels(
    files, brain_4mm, labels_4mm, tmp_path, still
):
    own = Grid(COARSE_GRID.shape, COARSE_GRID.affine + 2 * np.eye(4, 4, 3))
    mask = foreground(brain_4mm.values) & (labels_4mm != 4)
    write_nifti(tmp_path / "mask.nii", mask, own)
    patient = load_patient(**files, brain_mask=tmp_path / "mask.nii")
    assert patient.brain[patient.masks.whole].all()
    assert patient.brain_drawn.grid == own
    assert patient.brain_drawn.values[labels_4mm == 4].mean() > 0.95
    (notice,) = patient.notices
    assert "added to the brain" in notice


def test_an_image_with_the_tumour_bitten_off_gets_it_back(files, brain_4mm):
    """A lesion at the surface, which no filling of holes brings back."""
    brain = foreground(brain_4mm.values)
    shallow = np.argwhere(brain & (ndimage.distance_transform_edt(brain) < 2.5))
    centre = shallow[len(shallow) // 2].reshape(3, 1, 1, 1)
    lesion = brain & (np.linalg.norm(np.indices(brain.shape) - centre, axis=0) < 6)
    write_nifti(files["seg"], lesion.astype(np.uint8) * 2, COARSE_GRID)
    write_nifti(files["t1"], np.where(lesion, 0, brain_4mm.values), COARSE_GRID)
    patient = load_patient(**files)
    assert patient.brain[lesion].all()
    assert any("added to the brain" in notice for notice in patient.notices)


def test_a_tumour_beside_the_brain_is_none_that_was_left_out(files, head, labels_4mm, still):
    """Refused before the brain is looked for: ANTs would not run."""
    write_nifti(files["seg"], np.roll(labels_4mm, 30, axis=2), COARSE_GRID)
    with pytest.raises(InputError, match=r"only \d+% of the outlined tumour lies inside the brain"):
        load_patient(**files)


def test_a_scaled_brain_mask_is_one(files, brain_4mm, tmp_path):
    mask = foreground(brain_4mm.values)
    write_nifti(tmp_path / "mask.nii", mask * np.float32(1.003) - 1e-5, COARSE_GRID)
    np.testing.assert_array_equal(
        load_patient(**files, brain_mask=tmp_path / "mask.nii").brain, mask
    )


def test_slightly_negative_background_is_no_head(brain_4mm):
    rng = np.random.default_rng(0)
    noisy = brain_4mm.values + np.where(brain_4mm.values > 0, 0, rng.normal(-10, 5, (64,) * 3))
    volume = foreground(noisy.astype(np.float32)).sum()
    assert volume == pytest.approx(foreground(brain_4mm.values).sum(), rel=0.02)


def test_a_brain_mask_is_no_tumour(files, brain_4mm):
    brain = foreground(brain_4mm.values)
    for mask in (brain, ndimage.binary_erosion(brain, iterations=2)):
        write_nifti(files["seg"], mask.astype(np.uint8) * 2, COARSE_GRID)
        with pytest.raises(InputError, match=r"tumour fills \d+% of the brain .* mask of a brain"):
            load_patient(**files)
