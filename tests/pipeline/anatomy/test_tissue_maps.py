"""Tissue maps that somebody else made: what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.anatomy.tissue_maps import (
    TissueMaps,
    lay_on_image,
    read_tissue_maps,
    require_cover,
)
from glioquery.pipeline.images.headers import Frames
from glioquery.pipeline.images.nifti import Scan, write_nifti


def test_maps_that_are_no_probabilities_are_refused(tmp_path, atlas):
    paths = {}
    for name in ("gm", "wm", "csf"):
        paths[name] = tmp_path / f"{name}.nii.gz"
        write_nifti(paths[name], getattr(atlas, name), atlas.grid, intent="estimate")
    read = read_tissue_maps(**paths)
    np.testing.assert_array_equal(read.wm.values, np.clip(atlas.wm, 0, 1))
    assert set(read.checksums) == {"tissue_gm", "tissue_wm", "tissue_csf"}
    for factor, message in ((100, "values from 0 to 100"), (0, "values from 0 to 0")):
        write_nifti(paths["wm"], factor * atlas.wm, atlas.grid, intent="estimate")
        with pytest.raises(InputError, match=rf"tissue map wm .*expected probab.*{message}"):
            read_tissue_maps(**paths)


def test_maps_of_somewhere_else_are_refused(virtual, maps):
    require_cover(maps, virtual)
    away = np.eye(4)
    away[0, 3] = 60
    scans = {
        role: Scan(
            getattr(maps, role).values, replace(maps.wm.grid, affine=away @ maps.wm.grid.affine)
        )
        for role in ("gm", "wm", "csf")
    }
    with pytest.raises(InputError, match=r"tissue maps: they cover \d+% of the brain"):
        require_cover(TissueMaps(**scans, checksums={}), virtual)


def on(grid, virtual, **frames):
    """Maps that fill a grid of the patient's shape, and what some of their headers declare."""
    scan = Scan(np.full(virtual.grid.shape, 1 / 3, np.float32), grid)
    return TissueMaps(scan, scan, scan, checksums={}, frames=frames)


def test_maps_in_the_images_other_frame_get_its_voxels_with_a_notice(virtual):
    away = Grid(virtual.grid.shape, virtual.grid.affine + 300 * np.eye(4, 4, 3))
    patient = replace(virtual, frames=Frames(virtual.grid, other=away))
    maps = on(away, virtual, gm=Frames(away), wm=Frames(away), csf=Frames(away))
    require_cover(maps, patient)
    laid, notices = lay_on_image(maps, patient)
    assert all(getattr(laid, role).grid == patient.grid for role in ("gm", "wm", "csf"))
    assert len(notices) == 3
    assert notices[0].startswith(
        "The tissue map gm does not lie in the frame of the registered image that is in use"
    )


def test_maps_get_the_images_grid_where_theirs_is_rounded(virtual):
    rounded = Grid(virtual.grid.shape, virtual.grid.affine + 0.05 * np.eye(4, 4, 3))
    laid, notices = lay_on_image(on(rounded, virtual), virtual)
    assert laid.gm.grid == virtual.grid and not notices
    moved = Grid(virtual.grid.shape, virtual.grid.affine + 0.5 * np.eye(4, 4, 3))
    laid, notices = lay_on_image(on(moved, virtual), virtual)
    assert laid.gm.grid == moved and not notices
