"""The geometry of the atlas, proved from what anatomy and the originals say."""

import hashlib

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from glioquery.atlas import SIMULATION_GRID, Grid, build_sri24, load_atlas
from glioquery.atlas.brain import FOLDER, PADDING, block_mean


@pytest.fixture(scope="module")
def atlas():
    return load_atlas()


def load(name):
    image = nib.load(FOLDER / f"{name}.nii.gz")
    return np.asarray(image.dataobj, np.float64), Grid(image.shape, image.affine)


def test_shipped_files_are_the_ones_the_checksums_name():
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    expected = {name: digest for digest, name in map(str.split, lines)}
    shipped = {path.name: path.read_bytes() for path in FOLDER.glob("*.nii.gz")}
    found = {name: hashlib.sha256(content).hexdigest() for name, content in shipped.items()}
    assert found == expected and set(found) >= {f"{m}.nii.gz" for m in ("t1", "wm", "gm", "csf")}


def test_world_frame_of_the_originals(atlas):
    np.testing.assert_array_equal(atlas.t1_grid.to_world([0, 0, 0]), [-239, 0, 0])
    np.testing.assert_array_equal(atlas.t1_grid.to_world([239, 239, 154]), [0, 239, 154])
    for name in ("wm", "gm", "csf"):
        assert load(name)[1] == atlas.t1_grid


def test_simulation_grid_is_the_padded_cube_in_pairs_of_voxels(atlas):
    assert atlas.grid == SIMULATION_GRID
    np.testing.assert_array_equal(atlas.grid.to_world([0, 0, 0]), [-246.5, -7.5, -49.5])
    # The eight 1 mm voxels of a 2 mm voxel have its centre as their mean position.
    voxel = np.array([50, 60, 70])
    ones = 2 * voxel[None] + np.stack(np.meshgrid(*[(0, 1)] * 3), -1).reshape(-1, 3)
    ones = ones - np.array([before for before, _ in PADDING])
    centre = atlas.t1_grid.to_world(ones).mean(axis=0)
    np.testing.assert_allclose(centre, atlas.grid.to_world(voxel), atol=1e-12)


@pytest.mark.parametrize("name", ["wm", "gm", "csf"])
def test_block_means_conserve_tissue_volume(atlas, name):
    fine, grid = load(name)
    coarse = getattr(atlas, name)
    volume_ml = fine.sum() * grid.voxel_ml
    assert coarse.sum(dtype=np.float64) * atlas.grid.voxel_ml == pytest.approx(volume_ml, rel=1e-6)
    # ... and first moments: block means neither shift nor flip.
    fine_centre = [np.average(grid.axis_mm(a), weights=fine.sum(_others(a))) for a in range(3)]
    coarse_centre = [
        np.average(atlas.grid.axis_mm(a), weights=coarse.sum(_others(a), dtype=np.float64))
        for a in range(3)
    ]
    np.testing.assert_allclose(coarse_centre, fine_centre, atol=1e-3)


def _others(axis):
    return tuple(a for a in range(3) if a != axis)


def test_t1_and_tissue_maps_agree_in_world_space(atlas):
    t1 = block_mean(atlas.t1)
    csf, gm, wm = (np.average(t1, weights=getattr(atlas, n)) for n in ("csf", "gm", "wm"))
    assert wm > 1.3 * gm > 1.3 * 1.3 * csf

    def correlation(wm):
        return np.corrcoef(wm[atlas.brain], t1[atlas.brain])[0, 1]

    assert correlation(atlas.wm) > 0.8
    for axis in range(3):  # a flipped or shifted map fits visibly worse
        assert correlation(np.flip(atlas.wm, axis)) < correlation(atlas.wm) - 0.1
        assert correlation(np.roll(atlas.wm, 1, axis)) < correlation(atlas.wm) - 0.05


@pytest.mark.parametrize(
    ("world_mm", "value", "mirrored"),
    [
        ((-164, 93, 66), 408, 667),
        ((-149, 42, 97), 196, 363),
        ((-173, 79, 74), 316, 546),
        ((-94, 81, 78), 291, 505),
        ((-126, 148, 62), 631, 476),
        ((-75, 83, 72), 764, 369),
    ],
)
def test_left_stays_left(atlas, world_mm, value, mirrored):
    # Intensities read off the published T1, an LAS array, through its own affine at world points
    # where the brain is asymmetric, and at their mirror images: ours is RAS and must agree.
    x, y, z = np.rint(atlas.t1_grid.to_voxel(world_mm)).astype(int)
    assert atlas.t1[x, y, z] == value
    assert atlas.t1[::-1][x, y, z] == mirrored


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4, 4), np.eye(4), "three positive sizes"),
        ((4, 4, 0), np.eye(4), "three positive sizes"),
        ((4, 4, 4), np.eye(3), "4 x 4"),
        ((4, 4, 4), np.full((4, 4), np.nan), "finite"),
        ((4, 4, 4), np.diag([1, 1, 0, 1]), "singular"),
    ],
)
def test_a_grid_refuses_what_is_none(shape, affine, message):
    with pytest.raises(ValueError, match=message):
        Grid(shape, affine)


def test_grid_maps_there_and_back():
    oblique = np.array([[0, -2, 0.3, 5], [1, 0.2, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1.0]])
    grid = Grid((5, 6, 7), oblique)
    voxels = np.random.default_rng(0).uniform(-3, 9, (20, 3))
    np.testing.assert_allclose(grid.to_voxel(grid.to_world(voxels)), voxels, atol=1e-12)
    with pytest.raises(ValueError, match="run along world"):
        grid.axis_mm(0)


@pytest.mark.parametrize(
    ("shift_mm", "are_equal"),
    [((9e-4, 0, 0), True), ((9e-4, 9e-4, 0), False), ((0, 0, 1.1e-3), False)],
)
def test_equal_grids_lie_less_than_a_micrometre_apart(shift_mm, are_equal):
    grid, moved = Grid((5, 6, 7), np.diag([2, 2, 3, 1])), np.diag([2.0, 2, 3, 1])
    moved[:3, 3] = shift_mm
    other = Grid(grid.shape, moved)
    assert grid.apart_mm(other) == pytest.approx(np.linalg.norm(shift_mm))
    assert (grid == other) is are_equal


def test_the_corners_of_a_grid_begin_with_its_first_voxel():
    corners = Grid((5, 6, 7), np.eye(4)).corner_voxels()
    assert len({tuple(corner) for corner in corners.tolist()}) == 8
    assert corners[0].tolist() == [0, 0, 0] and corners[-1].tolist() == [4, 5, 6]


@pytest.mark.parametrize("angles", [(0, 0, 0), (8, -5, 12), (-25, 28, -20), (45, 1, 3)])
def test_whole_spacings_stay_whole_in_a_turned_header(angles):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = (turn * [2, 1, 5.5]).astype(np.float32)  # as a NIfTI header holds it
    assert Grid((4, 5, 6), affine).spacing_mm == (2.0, 1.0, 5.5)


def test_no_file_is_written_unless_all_originals_are_the_known_ones(tmp_path, monkeypatch):
    """The first three were written, into the package, before the fourth was found to differ."""
    source, out = tmp_path / "originals", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    image = nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4))
    known = {}
    for name in ("t1", "wm", "gm", "csf"):
        file = source / f"{name}.nii"
        nib.save(image, file)
        known[name] = (file.name, hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(build_sri24, "ORIGINALS", known)
    build_sri24.main([str(source), str(out)])
    assert {path.name for path in out.iterdir()} == {f"{name}.nii.gz" for name in known}
    for path in out.iterdir():
        path.unlink()
    with pytest.raises(SystemExit, match="is no folder"):
        build_sri24.main([str(source), str(tmp_path / "nowhere")])
    with (source / "csf.nii").open("ab") as file:
        file.write(b"x")
    with pytest.raises(SystemExit, match=r"csf\.nii: SHA-256 is .* not the known original"):
        build_sri24.main([str(source), str(out)])
    (source / "csf.nii").unlink()
    with pytest.raises(SystemExit, match=r"csf\.nii cannot be read"):
        build_sri24.main([str(source), str(out)])
    assert list(out.iterdir()) == []
