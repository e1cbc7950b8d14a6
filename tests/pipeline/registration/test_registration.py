"""Registration: what it must find, that it finds the same each time, and its quality's limits."""

import dataclasses
import sys

import numpy as np
import pytest
from benchmark.registration import find_cases, named, surface_of, turn_files
from motions import about
from scipy import ndimage
from scipy.spatial.transform import Rotation

from glioquery.atlas import SIMULATION_GRID, load_atlas
from glioquery.atlas.brain import block_mean
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.patient.coregistration import move
from glioquery.pipeline.patient.patient import Patient, load_patient
from glioquery.pipeline.registration import registration, restart
from glioquery.pipeline.registration.quality import OutlineQuality, assess_registration
from glioquery.pipeline.registration.registration import RegistrationError, register
from glioquery.pipeline.registration.restart import register_and_assess
from glioquery.query.dice import dice_of
from glioquery.solver import TumorMasks


def motion(angles, shift):
    """A turn about the middle of the brain, and a shift."""
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return about((-120.0, 115, 75), turn, shift)


def in_frame(patient, by):
    """A patient whose headers are turned and shifted."""
    grid = move(patient.grid, by)
    masks = TumorMasks(patient.masks.core, patient.masks.whole, grid)
    return dataclasses.replace(patient, t1=Scan(patient.t1.values, grid), masks=masks)


def shared_out(transform, part):
    """The same map of points, of whose deformation a linear part is the affine's.

    A (x + d(x)) = A L (x + d'(x)) with x + d'(x) = L^-1 (x + d(x)), and so for the inverse.
    """
    grid = transform.grid
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))

    def displaced(field, by):
        at = np.moveaxis(grid.to_voxel(by), -1, 0)
        values = [ndimage.map_coordinates(field[..., i], at, order=1) for i in range(3)]
        return by + np.stack(values, -1)

    def moved(by, to):
        return to @ by[:3, :3].T + by[:3, 3]

    there = moved(np.linalg.inv(part), points + transform.warp) - points
    back = displaced(transform.inverse_warp, moved(part, points)) - points
    return AtlasTransform(
        transform.affine @ part, there.astype(np.float32), back.astype(np.float32), grid
    )


CASES = ("BraTS2021_00006", "BraTS2021_01476", "BraTS2021_01479", "BraTS2021_01481")


@pytest.fixture(scope="module")
def found(virtual):
    return register(virtual, resolution_mm=4.0, n_threads=3)


@pytest.fixture(scope="module")
def coarse_atlas(atlas):
    """The atlas with a T1 on voxels of 2 mm, an eighth of what a quality looks at."""
    coarse = dataclasses.replace(atlas, t1_grid=SIMULATION_GRID)
    vars(coarse).update(t1=block_mean(atlas.t1), brain=atlas.brain)
    return coarse


@pytest.fixture(scope="module")
def found_quality(virtual, found, coarse_atlas):
    return assess_registration(virtual, found, atlas=coarse_atlas)


def test_a_known_deformation_is_recovered(found, found_quality, known, atlas):
    assert found_quality.brain_dice > 0.97
    assert found_quality.folding_fraction == 0
    assert found_quality.problems == []
    # Brain points, away from the masked lesion, come from within 2 mm of where they truly do.
    voxels = np.argwhere(atlas.wm + atlas.gm > 0.9)[::50]
    points = atlas.grid.to_world(voxels)
    points = points[np.linalg.norm(points - [-85, 125, 85], axis=1) > 35]
    error = np.linalg.norm(
        found.patient_from_atlas(points) - known.patient_from_atlas(points), axis=1
    )
    assert np.median(error) < 1.0
    assert np.percentile(error, 95) < 2.5
    still = AtlasTransform.linear(np.eye(4))
    assert (
        np.median(
            np.linalg.norm(
                still.patient_from_atlas(points) - known.patient_from_atlas(points), axis=1
            )
        )
        > 5
    )


def test_every_second_voxel_tells_the_dice_of_the_brains(
    virtual, found, found_quality, coarse_atlas
):
    brain = found.image_to_atlas(virtual.t1, coarse_atlas.t1_grid, nearest=True).values > 0
    assert found_quality.brain_dice == pytest.approx(dice_of(brain, coarse_atlas.t1 > 0), abs=2e-3)


def test_any_number_of_threads_gives_the_same_bits_and_leaves_no_trace(
    found, virtual, capfd, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # How ITK was started in this process, or would be, must not matter.
    monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "5")
    one = register(virtual, resolution_mm=4.0, n_threads=1)
    for name in ("affine", "warp", "inverse_warp"):
        np.testing.assert_array_equal(getattr(one, name), getattr(found, name))
    assert one.settings == found.settings
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_ants_is_an_error_with_its_message(virtual, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RegistrationError, match="status 1"):
        register(virtual, resolution_mm=4.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution_mm": 0.5}, "1 to 4 mm"),
        ({"n_threads": 0}, "thread"),
        ({"seed": 0}, "seed"),
        ({"seed": 1.5}, "seed: a whole number from 1"),
        ({"seed": "1"}, "seed: a whole number from 1"),
        ({"resolution_mm": None}, "1 to 4 mm, got None"),
        ({"kind": "bspline"}, "syn, affine, rigid, none"),
        ({"kind": "none"}, "in SRI24 space.*Dice"),
    ],
)
def test_refused_options(virtual, monkeypatch, options, message):
    monkeypatch.setattr("glioquery.pipeline.alignment.ants_worker._run_apart", None)
    far = np.eye(4)
    far[2, 3] = 60
    with pytest.raises(ValueError, match=message):
        register(in_frame(virtual, far), **options)


def test_threads_follow_the_machine_or_what_ray_allots(virtual, monkeypatch):
    used = []

    def stop(folder, images, arguments, *, n_threads):
        used.append(n_threads)
        raise RegistrationError("enough")

    monkeypatch.setattr("glioquery.pipeline.alignment.syn.run_registration", stop)
    monkeypatch.setattr(registration, "align_linearly", lambda *_, **__: np.eye(4))
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(7)), raising=False)
    for allotted, expected in (("", 7), ("3", 3)):
        monkeypatch.setenv("OMP_NUM_THREADS", allotted)
        with pytest.raises(RegistrationError, match="enough"):
            register(virtual, resolution_mm=4.0)
        assert used[-1] == expected


@pytest.mark.parametrize("kind", ["affine", "rigid"])
def test_linear_registrations_bend_nothing(virtual, known, kind):
    found = register(virtual, kind=kind, resolution_mm=4.0)
    assert not found.warp.any() and not found.inverse_warp.any()
    linear = found.affine[:3, :3]
    assert (np.abs(linear.T @ linear - np.eye(3)).max() < 1e-4) == (kind == "rigid")
    points = known.grid.to_world([[20, 30, 30], [40, 30, 30], [30, 40, 35]])
    error = found.patient_from_atlas(points) - known.patient_from_atlas(points)
    assert np.linalg.norm(error, axis=1).max() < 10
    assert found.settings["registration"] == kind


def test_no_registration_leaves_the_world_alone_and_tells_what_it_misses(
    coarse_atlas, brain_2mm, lesion
):
    patient = Patient(brain_2mm, "t1", lesion, None, None, {}, ())
    found = register(patient, kind="none")
    np.testing.assert_array_equal(found.affine, np.eye(4))
    assert found.settings["affine_shift_mm"] < 0.05
    shift = np.eye(4)
    shift[:3, 3] = [5, 0, 3]
    grid = move(brain_2mm.grid, shift)
    patient = dataclasses.replace(
        patient,
        t1=Scan(brain_2mm.values, grid),
        masks=TumorMasks(lesion.core, lesion.whole, grid),
    )
    found = register(patient, kind="none")
    assert found.settings["affine_shift_mm"] == pytest.approx(np.hypot(5, 3), abs=0.05)
    quality = assess_registration(patient, found, atlas=coarse_atlas)
    assert any("in atlas space" in problem for problem in quality.problems)


WRONG = {
    "turned by 5 degrees": motion((0, 5, 0), (0, 0, 0)),
    "shifted by 5 mm": motion((0, 0, 0), (5, 0, 0)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_map_that_is_off_is_told_by_the_inside_of_the_brain(virtual, known, coarse_atlas, wrong):
    off = dataclasses.replace(known, affine=WRONG[wrong] @ known.affine)
    quality = assess_registration(virtual, off, atlas=coarse_atlas)
    assert quality.edge_advantage < 0
    assert any("inside of the brain" in problem for problem in quality.problems)


def test_a_mirrored_map_is_told_by_the_sign_of_its_volumes(virtual, known, atlas, coarse_atlas):
    """Edges cannot tell it: the atlas is nearly its own mirror image."""
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 2 * atlas.grid.to_world(np.argwhere(atlas.brain)).mean(axis=0)[0]
    straight = dataclasses.replace(known, warp=0 * known.warp, inverse_warp=0 * known.warp)
    mirrored = dataclasses.replace(straight, affine=known.affine @ mirror)
    quality = assess_registration(virtual, mirrored, atlas=coarse_atlas)
    assert any("left and right" in problem for problem in quality.misplaced)


def test_a_deformation_that_makes_up_for_a_wrong_affine_part_is_told(virtual, known, coarse_atlas):
    # The same map of points, ten degrees of which are displacements now.
    hidden = shared_out(known, np.linalg.inv(motion((0, 0, 10), (0, 0, 0))))
    quality = assess_registration(virtual, hidden, atlas=coarse_atlas)
    assert quality.edge_agreement > 0.9  # every edge lies where it should, and yet
    assert quality.warp_turn_deg == pytest.approx(10, abs=1.5)
    assert any("turns the brain by" in problem for problem in quality.problems)


def test_a_header_turned_by_any_angle_gets_another_start(virtual, known, coarse_atlas, monkeypatch):
    turn = motion((0, 0, 170), (30, -20, 10))
    tried = []

    def observed(*arguments, **options):
        tried.append(register(*arguments, **options))
        return tried[-1]

    monkeypatch.setattr(restart, "register", observed)
    patient = in_frame(virtual, turn)
    found = register_and_assess(patient, coarse_atlas, SIMULATION_GRID, kind="affine")
    assert found.restarted
    assert "turned by 17" in found.notices[0]
    lost, kept = tried
    assert found.transform is kept
    points = known.grid.to_world([[20, 30, 30], [40, 30, 30], [30, 40, 35]])
    true = known.patient_from_atlas(points) @ turn[:3, :3].T + turn[:3, 3]
    for transform, near in ((kept, True), (lost, False)):
        error = np.linalg.norm(transform.patient_from_atlas(points) - true, axis=1).max()
        assert (error < 10) == near


def test_a_good_registration_is_not_begun_again(found, found_quality, virtual, atlas, monkeypatch):
    monkeypatch.setattr(restart, "register", lambda *_, **__: found)
    monkeypatch.setattr(restart, "assess_registration", lambda *_: found_quality)
    straight = register_and_assess(virtual, atlas, SIMULATION_GRID)
    assert not straight.restarted and straight.notices == [] and straight.transform is found


def test_a_second_start_that_fails_leaves_the_first(
    found, found_quality, virtual, atlas, monkeypatch
):
    def start(*_, anyhow, **__):
        if anyhow:
            raise RegistrationError("ANTs ended with status 9")
        return found

    monkeypatch.setattr(restart, "register", start)
    doubtful = dataclasses.replace(found_quality, edge_agreement=0.1)
    monkeypatch.setattr(restart, "assess_registration", lambda *_: doubtful)
    kept = register_and_assess(virtual, atlas, SIMULATION_GRID)
    assert kept.transform is found and not kept.restarted
    (notice,) = kept.notices
    assert "a second start from any rotation failed (ANTs ended with status 9)" in notice


def test_a_mirrored_map_has_no_turn_to_tell(found_quality):
    mirrored = AtlasTransform.linear(np.diag([-1.0, 1, 1, 1]))
    assert restart.Registered(mirrored, None, found_quality, restarted=True).notices == []


def test_options_of_numpy_are_written(tmp_path, virtual, coarse_atlas, monkeypatch):
    monkeypatch.setattr(registration, "align_linearly", lambda *_, **__: np.eye(4))
    options = {"kind": "affine", "seed": np.int64(7), "resolution_mm": np.float32(4)}
    register(virtual, coarse_atlas, **options).save(tmp_path)
    settings = AtlasTransform.load(tmp_path).settings
    assert settings["seed"] == 7 and settings["resolution_mm"] == 4


@pytest.fixture(scope="module")
def true_quality(virtual, known, atlas, coarse_atlas):
    # A deformation at random turns the brain by 1.4 degrees, which is the affine part's to do.
    points = atlas.grid.to_world(np.argwhere(atlas.brain)[::50])
    affine = np.linalg.inv(known.affine)
    ends = known.patient_from_atlas(points) @ affine[:3, :3].T + affine[:3, 3]
    turn, _ = Rotation.align_vectors(ends - ends.mean(axis=0), points - points.mean(axis=0))
    part = np.eye(4)
    part[:3, :3] = turn.as_matrix()
    part[:3, 3] = ends.mean(axis=0) - part[:3, :3] @ points.mean(axis=0)
    return assess_registration(virtual, shared_out(known, part), atlas=coarse_atlas)


def test_the_true_map_has_no_problems(true_quality):
    assert true_quality.problems == []
    assert true_quality.brain_dice > 0.98
    assert true_quality.edge_agreement > 0.9
    assert true_quality.folding_fraction == 0
    assert true_quality.whole.volume_ratio == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"brain_dice": 0.94}, "overlap with Dice 0.940"),
        ({"brain_dice": float("nan")}, "overlap"),
        ({"edge_agreement": 0.3}, "agree to 0.30"),
        ({"edge_agreement": float("nan")}, "tissue edges"),
        ({"edge_advantage": -0.1}, "better by 0.10"),
        ({"warp_turn_deg": 5.0}, "turns the brain by 5.0 degrees"),
        ({"affine_shift_mm": 4.0}, "4.0 mm in the median"),
        ({"folding_fraction": 0.01}, "folds in 1.00%"),
        ({"inverse_error_mm": 3.0}, "3.00 mm"),
        ({"core": OutlineQuality(10, 10, 1, 1.0, 0.8, 7)}, "core comes back"),
        ({"whole": OutlineQuality(10, 20, 1, 0.5, 0.95, 7)}, "not what the deformation explains"),
    ],
)
def test_each_broken_limit_is_a_sentence(true_quality, change, message):
    (problem,) = dataclasses.replace(true_quality, **change).problems
    assert message in problem


def test_an_empty_or_tiny_outline_is_not_judged(true_quality):
    nan = float("nan")
    for outline in (
        OutlineQuality(0, 0, nan, nan, nan, 0), OutlineQuality(9, 12, 1, 0.6, 0.5, 1.4)
    ):  # fmt: skip
        assert dataclasses.replace(true_quality, core=outline).problems == []


def register_real(folder, case):
    files = {role: folder / case / f"{case}_{role}.nii.gz" for role in ("t1", "seg")}
    patient = load_patient(**files, labels="brats2021")
    assert all("islands" in notice for notice in patient.notices)  # nothing else is odd in them
    quality = assess_registration(patient, register(patient))
    assert quality.problems == []
    for outline in (quality.core, quality.whole):
        assert outline.round_trip_dice >= 0.90
        assert outline.volume_ratio == pytest.approx(1, abs=0.05)
    return quality


@pytest.mark.slow
def test_real_cases_lie_well_on_the_atlas(cases):
    dice = [register_real(cases, case).brain_dice for case in CASES]
    assert min(dice) >= 0.955 and np.mean(dice) >= 0.97


@pytest.mark.slow
def test_a_real_native_scan_is_registered_with_the_help_of_its_reference(cases):
    native = cases / "TCGA-FG-6692"
    own = native / "sri24_space"
    patient = load_patient(
        t1=native / "t1.nii.gz",
        t1c=native / "t1c.nii.gz",
        flair=native / "flair.nii.gz",
        seg=own / "seg_fusion_mav.nii.gz",
        seg_reference=own / "brats_space_t1.nii.gz",
        labels="brats2021",
    )
    assert patient.seg_grid != patient.grid
    assert any("skull" in notice for notice in patient.notices)
    quality = assess_registration(patient, register(patient))
    assert quality.problems == []
    assert quality.brain_dice >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "angles", "shift"),
    [
        ("BraTS2021_01476", (-25, 28, -20), (-40, 50, 60)),
        ("TCGA-FG-6692", (30, 0, 0), (0, 60, 0)),
    ],
)
def test_a_real_head_is_registered_whatever_its_header_makes_of_it(
    cases, tmp_path, case, angles, shift
):
    (files,) = [found for found in find_cases(cases) if named(found) == case]
    there, voxels = [], None
    for turn in ((0, 0, 0), (0, 0, 0)), (angles, shift):
        turned = turn_files(files, *turn, tmp_path)
        patient = load_patient(**turned, labels="brats2021")
        registered = register_and_assess(patient, load_atlas(), SIMULATION_GRID)
        assert registered.quality.problems == [] and not registered.restarted
        voxels = voxels if there else surface_of(patient)
        there.append(registered.transform.atlas_from_patient(patient.grid.to_world(voxels)))
    apart = np.linalg.norm(np.subtract(*there), axis=1)
    assert np.median(apart) < 1.5
    assert np.percentile(apart, 95) < 3
