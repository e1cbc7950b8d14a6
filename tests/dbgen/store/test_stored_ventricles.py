"""Databases of tumours that push tissue keep the ventricles, and a query uses them."""

import json

import command_line
import numpy as np
import pytest
from generating import SMALL, make_indexed

from glioquery.dbgen import DatabaseError, ParameterSpace, Plan, Range, merge, verify
from glioquery.dbgen.machine.files import sha256_of, write_json
from glioquery.dbgen.store import embedded_database
from glioquery.dbgen.store.netcdf import opened
from glioquery.dbgen.store.record import read_record, shard_path
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.solver.models import FisherKolmogorovMassEffect

LARGE = ParameterSpace(whole_ml=Range(60, 80), snapshots_per_run=2)
"""Large tumours reach the ventricles."""


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    plan = Plan(LARGE, seed=5, model=FisherKolmogorovMassEffect())
    return make_indexed(tmp_path_factory.mktemp("pushed") / "db", 4, plan, store="outlines")


def asked(database, sample, folder):
    masks = database.outlines(sample)
    shapes = {"core": masks.core, "whole": masks.whole, "ventricles": database.ventricles(sample)}
    options = []
    for name, mask in shapes.items():
        write_nifti(folder / f"{name}.nii.gz", mask, masks.grid)
        options += [f"--{name}", folder / f"{name}.nii.gz"]
    return options


@pytest.mark.slow
def test_they_are_those_of_the_simulation_and_a_query_adds_their_dice(pushed, tmp_path, capsys):
    assert verify(pushed.path) == []
    assert "outlines, and the pushed ventricles" in (pushed.path / "DATACARD.md").read_text()
    again = pushed.simulate_again(2)
    stored = pushed.ventricles(2)
    np.testing.assert_array_equal(stored[pushed.tissue.box], again.final.ventricles)
    still = pushed.tissue.ventricles
    assert 20 < still.sum() * pushed.grid.voxel_ml < 40
    assert 0 < (stored != still).sum() < 0.2 * still.sum()
    bits = pushed.to_xarray().ventricle_bits[2].values
    assert np.unpackbits(bits).sum() == stored.sum()

    def run(*options):
        return command_line.run(capsys, "query", pushed.path, *asked(pushed, 2, tmp_path), *options)

    code, out, err = run("-k", 4, "--json")
    assert code == 0, err
    told = json.loads(out)
    best = told["matches"][0]
    assert (best["sample"], best["dice_ventricles"], told["ventricle_weight"]) == (2, 1.0, 1.0)
    for row in told["matches"]:
        total = row["dice_core"] + row["dice_whole"] + row["dice_ventricles"]
        assert row["score"] == pytest.approx(total, abs=1e-12)
    code, out, _ = run("-k", 4, "--json", "--ventricle-weight", 3)
    assert json.loads(out)["matches"][0]["score"] == 5
    code, _, err = run("--strategy", "ds32")
    assert code == 2 and "--ventricles needs --strategy direct" in err
    code, _, err = run("--ventricle-weight", -1)
    assert code == 2 and "weight of the ventricles is a number >= 0" in err


@pytest.mark.slow
def test_they_survive_a_merge_and_a_fault_in_them_is_found(pushed, tmp_path):
    plan = Plan(SMALL.space, seed=6, model=FisherKolmogorovMassEffect())
    other = make_indexed(tmp_path / "other", 2, plan, store="outlines")
    merged = merge(tmp_path / "merged", [pushed.path, other.path])
    assert merged.stores_ventricles and verify(merged.path) == []
    np.testing.assert_array_equal(merged.ventricles(5), other.ventricles(1))
    # Ventricles of another tumour, in a file that is otherwise as it should be.
    file = shard_path(other.path, 0)
    with opened(file, "a") as shard:
        shard["ventricle_bits"][:] = np.zeros_like(shard["ventricle_bits"][:])
    record = json.loads(file.with_suffix(".json").read_text())
    changed = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    write_json(file.with_suffix(".json"), record | changed)
    assert read_record(file) is not None
    assert any("its ventricles differ" in fault for fault in verify(other.path))


def test_a_database_without_them_says_so(tmp_path, capsys):
    database = embedded_database()
    assert not database.stores_ventricles
    with pytest.raises(DatabaseError, match=r"stores no ventricles: its model \(fisher-kolmog"):
        database.ventricles(0)
    masks = database.outlines(0)
    options = []
    for name in ("core", "whole", "ventricles"):
        mask = getattr(masks, name, database.tissue.ventricles)
        write_nifti(tmp_path / f"{name}.nii.gz", mask, masks.grid)
        options += [f"--{name}", tmp_path / f"{name}.nii.gz"]
    code, _, err = command_line.run(capsys, "query", *options)
    assert code == 2 and "stores no ventricles" in err
    code, _, err = command_line.run(capsys, "query", *options[:4], "--ventricle-weight", 2)
    assert code == 2 and "--ventricle-weight needs --ventricles" in err
    write_nifti(tmp_path / "ventricles.nii.gz", masks.whole * np.uint8(3), masks.grid)
    code, _, err = command_line.run(capsys, "query", *options)
    assert code == 2 and "a mask holds 0 and 1 alone" in err and "give a mask of the ventr" in err
