"""Virtual patients whose map to the atlas is known."""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from generating import SMALL, make_indexed
from motions import about
from scipy import ndimage

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.atlas.brain import block_mean
from glioquery.dbgen import Plan
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps
from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.pipeline.patient.patient import Patient
from glioquery.pipeline.registration.quality import OutlineQuality, RegistrationQuality
from glioquery.pipeline.registration.restart import Registered
from glioquery.solver import TumorMasks

PNG = b"\x89PNG"
"""What stands for a picture where none is drawn."""


@pytest.fixture(scope="session")
def known():
    """A rotation, a scaling, a shift and a smooth warp of up to 6 mm, exactly invertible."""
    rng = np.random.default_rng(7)
    grid = Grid((64, 64, 64), np.diag([4, 4, 4, 1]) + np.outer([-246, -7, -49, 0], [0, 0, 0, 1]))
    warp = np.stack([ndimage.gaussian_filter(rng.normal(size=grid.shape), 6) for _ in range(3)], -1)
    ramp = np.minimum.reduce(np.meshgrid(*[np.minimum(np.arange(64), 63 - np.arange(64))] * 3))
    warp *= np.clip(ramp / 8, 0, 1)[..., None]
    warp = (6 * warp / np.abs(warp).max()).astype(np.float32)
    # e(z) = -d(z + e(z)), by iteration: |grad d| is far below 1.
    here = np.moveaxis(np.indices(grid.shape), 0, -1)
    inverse = np.zeros_like(warp)
    for _ in range(30):
        at = np.moveaxis(here + inverse / 4, -1, 0)
        inverse = -np.stack(
            [ndimage.map_coordinates(warp[..., i], at, order=1, mode="nearest") for i in range(3)],
            -1,
        )
    angle = np.deg2rad(5)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = about((-120, 115, 75.0), turn @ np.diag([1.04, 0.97, 1.02]), (6, -4, 3))
    return AtlasTransform(affine, warp, inverse.astype(np.float32), grid)


@pytest.fixture(scope="session")
def lesion(atlas):
    """Outlines on the atlas: two concentric balls in the right hemisphere."""
    axes = [atlas.grid.axis_mm(a) for a in range(3)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt((x + 85) ** 2 + (y - 125) ** 2 + (z - 85) ** 2)
    return TumorMasks((distance < 12) & atlas.brain, (distance < 22) & atlas.brain, atlas.grid)


@pytest.fixture(scope="session")
def virtual(atlas, known, lesion):
    """A patient on an LPS grid of 2 mm: the atlas and its lesion under the known transform."""
    grid = Grid(
        (100, 120, 90), np.array([[-2, 0, 0, -15], [0, -2, 0, 235], [0, 0, 2, -20], [0, 0, 0, 1.0]])
    )
    t1 = known.image_to_patient(Scan(atlas.t1, atlas.t1_grid), grid)
    masks = known.masks_to_patient(lesion, grid)
    return Patient(t1, "t1", masks, None, None, {}, ())


@pytest.fixture(scope="session")
def maps(atlas, known):
    """Tissue maps on an oblique patient's grid of 2 mm that covers the brain."""
    grid = dataclasses.replace(atlas.grid, affine=known.affine @ atlas.grid.affine)
    roles = ("gm", "wm", "csf")
    scans = {
        role: known.image_to_patient(Scan(getattr(atlas, role), atlas.grid), grid) for role in roles
    }
    return TissueMaps(**scans, checksums={f"tissue_{role}": role for role in roles})


@pytest.fixture(scope="session")
def brain_2mm(atlas):
    return Scan(block_mean(atlas.t1), SIMULATION_GRID)


@pytest.fixture(scope="session")
def segmentation(lesion):
    """Its labels: 2 whole, 4 core."""
    labels = np.zeros(lesion.grid.shape, np.uint8)
    labels[lesion.whole], labels[lesion.core] = 2, 4
    return labels


@pytest.fixture
def files(tmp_path, brain_2mm, segmentation):
    """A patient's files, as `load_patient` takes them."""
    write_nifti(tmp_path / "t1.nii", brain_2mm.values, SIMULATION_GRID)
    write_nifti(tmp_path / "seg.nii", segmentation, SIMULATION_GRID)
    return {"t1": tmp_path / "t1.nii", "seg": tmp_path / "seg.nii", "labels": "brats2021"}


@pytest.fixture
def still(monkeypatch):
    """Alignment that finds nothing to move, and no work of ANTs at all."""
    monkeypatch.setattr("glioquery.pipeline.patient.patient.align", lambda moving, fixed: np.eye(4))
    monkeypatch.setattr("glioquery.pipeline.alignment.ants_worker._run_apart", None)


@pytest.fixture(scope="session")
def cases():
    folder = os.environ.get("GLIOQUERY_CASES")
    if not folder:
        pytest.skip("needs the real cases: GLIOQUERY_CASES is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Eight small tumours of four runs in two shards, indexed."""
    return make_indexed(tmp_path_factory.mktemp("eight") / "db", 8, SMALL, shard_size=4)


@pytest.fixture(scope="session")
def near(tmp_path_factory):
    """Two small tumours where the virtual patient's lesion is, indexed."""
    space = dataclasses.replace(SMALL.space, origin_mm=((-85.0, 125.0, 85.0),))
    return make_indexed(tmp_path_factory.mktemp("near") / "db", 2, Plan(space, seed=7))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Run a headless Chromium with some options on a file; what it prints."""
    program = next(
        (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))),
        None,
    )
    if program is None:
        pytest.skip("needs Chromium: none is on the PATH")

    def browse(path, *options):
        profile = tmp_path_factory.mktemp("profile")
        return subprocess.run(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={profile}", "--enable-logging=stderr",
                "--virtual-time-budget=10000", *options, path.as_uri(),
            ],
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip

    return browse


@pytest.fixture
def undrawn(monkeypatch):
    """Results without pictures."""
    for place, stands_in in (
        ("results.outputs.draw_overlays", lambda *_, **__: {"t1": PNG}),
        ("results.outputs.draw_registration", lambda *_: PNG),
        ("report.report_sections.draw_exceedance", lambda *_: PNG),
        ("report.report_sections.draw_volumes", lambda *_: PNG),
    ):
        monkeypatch.setattr(f"glioquery.pipeline.{place}", stands_in)


@pytest.fixture
def unviewed(monkeypatch):
    """Reports without slices to go through."""
    monkeypatch.setattr("glioquery.pipeline.results.outputs.view_density", lambda *_: "")


@pytest.fixture(scope="session")
def registered(known):
    """What stands for a registration: the map to the atlas is the known one."""
    outline = OutlineQuality(20.0, 20.0, 1.0, 1.0, 0.99, 15.0)
    quality = RegistrationQuality(
        brain_dice=0.98, edge_agreement=0.6, edge_advantage=0.1, warp_turn_deg=0.5,
        jacobian_min=0.9, jacobian_mean=1.0, jacobian_max=1.1, folding_fraction=0.0,
        inverse_error_mm=0.1, core=outline, whole=outline,
    )  # fmt: skip

    def registered(patient, atlas, grid, **_):
        return Registered(known, known.masks_to_atlas(patient.outlines, grid), quality, False)

    return registered


@pytest.fixture
def quick(monkeypatch, registered, undrawn, unviewed):
    """Inversions without ANTs and pictures."""
    monkeypatch.setattr("glioquery.pipeline.inversion.growth.register_and_assess", registered)


@pytest.fixture(scope="session")
def coarse(tmp_path_factory, atlas, known, lesion):
    """Folder of a patient on voxels of 4 mm, the atlas under the known map: `t1.nii`, `seg.nii`."""
    folder = tmp_path_factory.mktemp("coarse")
    grid = Grid(
        (50, 60, 45), np.array([[-4, 0, 0, -15], [0, -4, 0, 235], [0, 0, 4, -20], [0, 0, 0, 1.0]])
    )
    masks = known.masks_to_patient(lesion, grid)
    labels = np.where(masks.core, 4, np.where(masks.whole, 2, 0)).astype(np.uint8)
    write_nifti(
        folder / "t1.nii", known.image_to_patient(Scan(atlas.t1, atlas.t1_grid), grid).values, grid
    )
    write_nifti(folder / "seg.nii", labels, grid)
    return folder
