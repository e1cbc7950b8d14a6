"""Carrying points, outlines and densities, against maps that are known exactly."""

import contextlib

import numpy as np
import pytest
import scipy.io
from scipy import ndimage

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.errors import InputError
from glioquery.pipeline.alignment.ants_job import make_image
from glioquery.pipeline.alignment.ants_worker import itk_geometry
from glioquery.pipeline.alignment.itk_files import write_itk_warp
from glioquery.pipeline.alignment.transform import (
    AFFINE_FILE,
    INVERSE_WARP_FILE,
    SETTINGS_FILE,
    WARP_FILE,
    AtlasTransform,
)
from glioquery.pipeline.images.nifti import Scan
from glioquery.query.dice import dice_of
from glioquery.solver import TumorDensity, TumorMasks

OBLIQUE = np.array(
    [[0.9, 0.3, 0.1, -8], [-0.3, 0.9, 0.2, 5], [-0.02, -0.22, 0.97, 3], [0, 0, 0, 1]]
)
TURN = np.linalg.qr(OBLIQUE[:3, :3])[0]
GRIDS = {
    "RAS": Grid((9, 10, 11), np.diag([1, 1, 1, 1.0])),
    "flipped": Grid(
        (9, 10, 11), np.array([[-1, 0, 0, 4], [0, -1, 0, 7], [0, 0, 1, -3], [0, 0, 0, 1.0]])
    ),
    "permuted": Grid(
        (9, 10, 11), np.array([[0, 0, -2, 4], [1, 0, 0, 7], [0, 3, 0, -3], [0, 0, 0, 1.0]])
    ),
    "oblique": Grid(
        (9, 10, 11), np.block([[TURN * [0.9, 0.9, 5.5], np.array([[3], [-4], [5]])], [0, 0, 0, 1]])
    ),
}


def to_ants(scan):
    """The image of a job, in the hands of ANTs' package."""
    import ants
    from ants.internal import lib

    geometry = itk_geometry(scan.grid)
    values = np.array(scan.values.T, np.float32, order="C")
    return ants.from_pointer(make_image(lib, values, *geometry)).clone()  # outlives the array


@pytest.mark.parametrize("name", GRIDS)
def test_ants_sees_each_voxel_where_the_affine_puts_it(name):
    # Independent of our arithmetic: ITK's own index -> physical point, and LPS = (-x, -y, z).
    import ants

    grid = GRIDS[name]
    values = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    image = to_ants(Scan(values, grid))
    for index in [(0, 0, 0), (8, 0, 0), (0, 9, 0), (0, 0, 10), (3, 7, 2)]:
        x, y, z = grid.to_world(index)
        lps = ants.transform_index_to_physical_point(image, index)
        np.testing.assert_allclose(lps, [-x, -y, z], atol=1e-4)
        assert image[index] == values[index]
    np.testing.assert_array_equal(image.numpy(), values)


def test_sheared_grids_are_refused():
    shear = np.eye(4)
    shear[0, 1] = 0.4
    with pytest.raises(ValueError, match="sheared"):
        to_ants(Scan(np.zeros((3, 3, 3)), Grid((3, 3, 3), shear)))


def test_points_return(known):
    points = np.random.default_rng(1).uniform([-180, 40, 30], [-60, 190, 120], (500, 3))
    patient = known.patient_from_atlas(points)
    assert np.linalg.norm(patient - points, axis=1).max() > 8
    np.testing.assert_allclose(known.atlas_from_patient(patient), points, atol=0.05)


def test_saved_files_mean_the_same_to_ants(known, virtual, tmp_path):
    import ants

    known.save(tmp_path)
    grid = Grid((40, 50, 40), np.diag([4, 4, 4, 1]) + np.outer([-200, 10, 0, 0], [0, 0, 0, 1]))
    reference = to_ants(Scan(np.zeros(grid.shape), grid))
    chain = [str(tmp_path / WARP_FILE), str(tmp_path / AFFINE_FILE)]
    theirs = ants.apply_transforms(reference, to_ants(virtual.t1), chain)
    ours = known.image_to_atlas(virtual.t1, grid)
    scale = ours.values.max()
    assert np.abs(theirs.numpy() - ours.values).max() < 2e-3 * scale
    back = ants.apply_transforms(
        to_ants(Scan(np.zeros(virtual.grid.shape), virtual.grid)),
        to_ants(ours),
        [str(tmp_path / AFFINE_FILE), str(tmp_path / INVERSE_WARP_FILE)],
        whichtoinvert=[True, False],
    )
    mine = known.image_to_patient(ours, virtual.grid)
    # Beyond the outermost centres ITK repeats the border where ours fades: a thin shell.
    assert (np.abs(back.numpy() - mine.values) > 2e-3 * scale).mean() < 1e-3


def test_saved_and_loaded(known, tmp_path):
    known.save(tmp_path)
    again = AtlasTransform.load(tmp_path)
    np.testing.assert_allclose(again.affine, known.affine, atol=1e-12)
    np.testing.assert_array_equal(again.warp, known.warp)
    np.testing.assert_array_equal(again.inverse_warp, known.inverse_warp)
    assert again.grid == known.grid
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_displacements_on_two_grids_are_refused(known, tmp_path):
    known.save(tmp_path)
    moved = Grid(known.grid.shape, known.grid.affine + 30 * np.eye(4, 4, 3))
    write_itk_warp(tmp_path / INVERSE_WARP_FILE, known.inverse_warp, moved)
    with pytest.raises(InputError, match=r"on one grid, got .* from \(-246, .* and .* from \(-216"):
        AtlasTransform.load(tmp_path)


@pytest.mark.parametrize("file", [SETTINGS_FILE, AFFINE_FILE, WARP_FILE])
@pytest.mark.parametrize("share", [None, 0, 0.5])
def test_a_damaged_file_is_named_in_one_line(known, tmp_path, file, share):
    known.save(tmp_path)
    if share is None:
        (tmp_path / file).unlink()
    else:
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"{file}(: no such| is no) file") as refused:
        AtlasTransform.load(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", [SETTINGS_FILE, AFFINE_FILE, WARP_FILE])
def test_whatever_is_damaged_is_told_in_one_line(known, tmp_path, file):
    known.save(tmp_path)
    rng = np.random.default_rng(6)
    whole = np.frombuffer((tmp_path / file).read_bytes(), np.uint8)
    for _ in range(40):
        damaged = whole.copy()
        at = rng.integers(0, min(len(whole), 400), 4)
        damaged[at] = rng.integers(0, 256, 4)
        (tmp_path / file).write_bytes(damaged.tobytes())
        with contextlib.suppress(InputError):
            AtlasTransform.load(tmp_path)


def test_settings_that_are_no_table_are_refused(known, tmp_path):
    known.save(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text("[1]")
    with pytest.raises(InputError, match="is no file of a registration"):
        AtlasTransform.load(tmp_path)


def test_another_transform_of_itk_is_no_affine(known, tmp_path):
    known.save(tmp_path)
    content = {"Euler3DTransform_double_3_3": np.zeros((6, 1)), "fixed": np.zeros((3, 1))}
    scipy.io.savemat(tmp_path / AFFINE_FILE, content, format="4")
    with pytest.raises(InputError, match="expected an ITK AffineTransform, got another"):
        AtlasTransform.load(tmp_path)


@pytest.mark.parametrize(
    "affine",
    [np.eye(3), np.full((4, 4), np.nan), np.diag([1.0, 1, 0, 1]), np.eye(4)[[0, 1, 2, 2]]],
    ids=["shape", "nan", "singular", "last row"],
)
def test_what_is_no_affine_is_refused(affine):
    with pytest.raises(ValueError, match="affine"):
        AtlasTransform.linear(affine)


def test_outlines_keep_their_volume_as_the_jacobian_says(known, virtual, lesion):
    there = known.masks_to_atlas(virtual.masks)
    jacobian = known.jacobian()
    for name in ("core", "whole"):
        own, carried = getattr(virtual.masks, name), getattr(there, name)
        assert dice_of(carried, getattr(lesion, name)) > 0.93
        patient_ml = own.sum() * virtual.grid.voxel_ml
        atlas_ml = carried.sum() * SIMULATION_GRID.voxel_ml
        assert patient_ml == pytest.approx(atlas_ml * jacobian[carried].mean(), rel=0.03)


def test_jacobian_is_the_patients_volume_per_atlas_volume():
    # A patient whose brain is 1.3 times as wide, and a local expansion with a known determinant.
    grid = Grid((30, 30, 30), np.diag([-2.0, 2, 2, 1]))
    wide = AtlasTransform(np.diag([1.3, 1, 1, 1]), *np.zeros((2, *grid.shape, 3), np.float32), grid)
    inner = Grid(
        (10, 10, 10), np.array([[1, 0, 0, -40], [0, 0, 1, 10], [0, 1, 0, 20], [0, 0, 0, 1.0]])
    )
    np.testing.assert_allclose(wide.jacobian(inner), 1.3, rtol=1e-5)
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    warp = np.zeros((*grid.shape, 3), np.float32)
    warp[..., 0] = 0.2 * points[..., 0] + 0.1 * points[..., 1]
    stretched = AtlasTransform(np.eye(4), warp, np.zeros_like(warp), grid)
    np.testing.assert_allclose(stretched.jacobian(inner), 1.2, rtol=1e-4)


@pytest.mark.parametrize("name", GRIDS)
def test_only_the_box_that_can_be_reached_is_computed_and_nothing_is_cut(known, lesion, name):
    # Against every point of the target, looked up one by one.
    grid = GRIDS[name]
    affine = grid.affine.copy()
    affine[:3, :3] *= 5 / min(grid.spacing_mm)
    moved = Grid(grid.shape, affine)
    middle = known.patient_from_atlas(np.array([[-85.0, 125, 85]]))[0]
    affine[:3, 3] += middle - moved.to_world((np.array(grid.shape) - 1) / 2)
    target = Grid(grid.shape, affine)
    u = ndimage.gaussian_filter(lesion.core.astype(np.float32), 2)
    u[u < 1e-3] = 0
    carried = known.density_to_patient(TumorDensity(u, lesion.grid), target)
    assert carried.grid is target
    assert carried.u.dtype == np.float32
    points = target.to_world(np.moveaxis(np.indices(target.shape), 0, -1).reshape(-1, 3))
    voxels = lesion.grid.to_voxel(known.atlas_from_patient(points))
    expected = ndimage.map_coordinates(u, voxels.T, order=1).reshape(target.shape)
    assert expected.max() > 0.3
    np.testing.assert_allclose(carried.u, expected, atol=1e-5)


def test_density_stays_in_bounds_and_on_the_grid(known, virtual, lesion):
    rng = np.random.default_rng(3)
    u = np.where(lesion.whole, rng.random(lesion.grid.shape), 0).astype(np.float32)
    carried = known.density_to_patient(TumorDensity(u, lesion.grid), virtual.grid)
    assert carried.u.shape == virtual.grid.shape
    assert 0 <= carried.u.min() <= carried.u.max() <= 1
    empty = known.density_to_patient(TumorDensity(0 * u, lesion.grid), virtual.grid)
    assert not empty.u.any()


def test_fluid_does_not_bleed_into_tissue(known, atlas, lesion):
    # A density of 0.7 in all tissue arrives as 0.7 wherever tissue arrives, and nowhere else.
    tissue = atlas.wm + atlas.gm > atlas.csf
    u = np.where(tissue, np.float32(0.7), 0)
    grid = Grid(
        (90, 110, 12), np.array([[-2, 0, 0, -35], [0, -2, 0, 230], [0, 0, 7, 40], [0, 0, 0, 1.0]])
    )
    density = TumorDensity(u, atlas.grid)
    carried = known.density_to_patient(density, grid, tissue=tissue)
    there = known.image_to_patient(Scan(tissue.astype(np.float32), atlas.grid), grid).values >= 0.5
    np.testing.assert_allclose(carried.u[there], 0.7, atol=1e-5)
    assert not carried.u[~there].any()
    plain = known.density_to_patient(density, grid)
    assert plain.u[there].min() < 0.4


@pytest.mark.parametrize("name", GRIDS)
def test_a_blob_returns_to_its_place_through_any_grid(known, atlas, name):
    # Atlas to the patient's grid and back: its centre of mass must come home, in mm.
    axes = np.meshgrid(*[atlas.grid.axis_mm(a) for a in range(3)], indexing="ij")
    home = np.array([-85.0, 125, 85])
    r2 = sum((a - h) ** 2 for a, h in zip(axes, home, strict=True))
    blob = Scan(np.where(r2 < 24**2, np.exp(-r2 / 2 / 8**2), 0).astype(np.float32), atlas.grid)
    affine = GRIDS[name].affine.copy()
    affine[:3, :3] *= 1.5 / min(GRIDS[name].spacing_mm)
    shape = tuple(int(np.ceil(90 / s)) for s in np.linalg.norm(affine[:3, :3], axis=0))
    middle = known.patient_from_atlas(home[None])[0]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Grid(shape, affine)
    there = known.image_to_patient(blob, grid)
    back = known.image_to_atlas(there, atlas.grid).values
    centre = [np.average(a, weights=back) for a in axes]
    assert np.linalg.norm(centre - home) < 0.3


def test_thick_slices(known, lesion):
    # 5.5 mm slices: a voxel belongs to the outline when half of it does, so volume is kept.
    grid = Grid(
        (110, 130, 30), np.diag([1.8, 1.8, 5.5, 1]) + np.outer([-220, 5, 0, 0], [0, 0, 0, 1])
    )
    carried = known.masks_to_patient(lesion, grid)
    fine = Grid(
        (220, 260, 165), np.diag([0.9, 0.9, 1, 1]) + np.outer([-220, 5, 0, 0], [0, 0, 0, 1])
    )
    expected = known.masks_to_patient(lesion, fine).whole.sum() * fine.voxel_ml
    assert carried.whole.sum() * grid.voxel_ml == pytest.approx(expected, rel=0.03)


def test_empty_core_stays_empty(known, lesion):
    masks = TumorMasks(np.zeros_like(lesion.core), lesion.whole, lesion.grid)
    carried = known.masks_to_atlas(masks)
    assert not carried.core.any()
    np.testing.assert_array_equal(carried.whole, known.masks_to_atlas(lesion).whole)


def test_a_map_without_displacements_moves_by_its_affine_alone(lesion):
    still = AtlasTransform.linear(np.eye(4))
    np.testing.assert_array_equal(still.masks_to_atlas(lesion).whole, lesion.whole)
    np.testing.assert_allclose(still.jacobian(), 1)
    moved = AtlasTransform.linear(np.eye(4) + np.eye(4, 4, 3) * 2)  # by one voxel along x
    np.testing.assert_array_equal(moved.masks_to_atlas(lesion).whole[:-1], lesion.whole[1:])


def test_refused_fields():
    grid = SIMULATION_GRID
    with pytest.raises(ValueError, match="one vector"):
        AtlasTransform(np.eye(4), np.zeros((2, 2, 2, 3)), np.zeros((*grid.shape, 3)), grid)
