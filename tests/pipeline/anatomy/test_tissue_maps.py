"""Tissue maps that somebody else made: what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from glioquery.errors import InputError
from glioquery.pipeline.anatomy.tissue_maps import TissueMaps, read_tissue_maps, require_cover
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
