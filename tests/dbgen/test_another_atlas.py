"""Another atlas takes SRI24's place, and no database is read with one it does not come from."""

import dataclasses
import shutil
from importlib.metadata import version

import nibabel as nib
import numpy as np
import pytest
from generating import SMALL

from glioquery.atlas import ATLAS_VARIABLE, atlas_name, load_atlas
from glioquery.atlas.brain import FOLDER
from glioquery.dbgen import Database, DatabaseError, Plan, generate, verify
from glioquery.dbgen.datacard import licence_of
from glioquery.dbgen.machine.cluster import connected
from glioquery.dbgen.machine.tasks import UnfitNodeError
from glioquery.dbgen.workers import make_shard_here
from glioquery.pipeline.commands import cli


def cut(path):
    path.write_bytes(path.read_bytes()[:-10_000])


@pytest.fixture
def mirrored(mirrored_atlas, tmp_path):
    """A copy of the mirrored atlas that a test may alter."""
    return shutil.copytree(mirrored_atlas, tmp_path / "mirrored")


def crop(path):
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., :-1], image.affine), path)


def test_a_database_belongs_to_its_atlas(mirrored, tmp_path, monkeypatch):
    usual = load_atlas()
    monkeypatch.setenv(ATLAS_VARIABLE, str(mirrored))
    atlas = load_atlas()
    assert atlas.name == "mirrored" and atlas.checksum != usual.checksum
    # The cube is padded alike on both sides of x.
    np.testing.assert_allclose(atlas.wm, usual.wm[::-1], atol=1e-6)
    made = generate(tmp_path / "db", 2, plan=SMALL, store="outlines")
    assert verify(tmp_path / "db") == []
    assert made.header["plan"]["atlas"]["name"] == "mirrored"
    assert "in the atlas mirrored" in (tmp_path / "db" / "DATACARD.md").read_text()
    grey_or_white = atlas.wm + atlas.gm > atlas.csf
    assert all((~made.outlines(i).whole | grey_or_white).all() for i in made)
    assert made.atlas is atlas
    monkeypatch.delenv(ATLAS_VARIABLE)
    with pytest.raises(DatabaseError, match=r"in the atlas mirrored .* in use is SRI24 .*"):
        Database.open(tmp_path / "db")
    assert made.atlas is atlas
    with pytest.raises(DatabaseError, match="in use is SRI24"):
        _ = dataclasses.replace(made).tissue  # not yet loaded, and SRI24's would be wrong


def test_the_name_and_the_licence_of_an_atlas_follow_its_content(mirrored_atlas, tmp_path):
    """A folder named SRI24 with another brain passed on SRI24's licence, and a copy lost it."""
    assert atlas_name(FOLDER) == "SRI24"
    assert atlas_name(shutil.copytree(FOLDER, tmp_path / "copy")) == "SRI24"
    other = atlas_name(shutil.copytree(mirrored_atlas, tmp_path / "SRI24"))
    assert other == "SRI24, altered"
    assert "creativecommons.org/licenses/by-sa/3.0" in str(licence_of("SRI24"))
    assert str(licence_of(other)).startswith("The licence of the atlas SRI24, altered")


def test_workers_find_atlas_and_database_wherever_they_run(mirrored, tmp_path, monkeypatch):
    """Both may be named relative to the folder of the driver."""
    asked = {}
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda *_, **options: asked.update(options))
    monkeypatch.setattr("ray.shutdown", lambda: None)  # the cluster of other tests goes on
    monkeypatch.chdir(mirrored.parent)
    monkeypatch.setenv(ATLAS_VARIABLE, mirrored.name)
    with connected():
        pass
    assert asked["runtime_env"]["env_vars"][ATLAS_VARIABLE] == str(mirrored)
    monkeypatch.delenv(ATLAS_VARIABLE)
    generate(tmp_path / "db", 1, plan=SMALL, store="outlines")
    monkeypatch.chdir(tmp_path)
    assert Database.open("db").path == tmp_path / "db"


def test_a_node_with_another_atlas_is_refused(mirrored, tmp_path, monkeypatch):
    folder = tmp_path / "db"
    header = generate(folder, 2, plan=SMALL, store="outlines").header
    monkeypatch.setenv(ATLAS_VARIABLE, str(mirrored))  # on that node alone
    with pytest.raises(UnfitNodeError, match="another atlas in use than the driver"):
        make_shard_here(folder, header, SMALL, 0, version("glioquery"))


@pytest.mark.slow
def test_workers_of_a_cluster_that_was_begun_before_use_the_drivers_atlas(
    ray, mirrored, tmp_path, monkeypatch
):
    monkeypatch.setenv(ATLAS_VARIABLE, str(mirrored))
    made = generate(tmp_path / "db", 2, plan=Plan(seed=3))
    assert made.header["plan"]["atlas"]["name"] == "mirrored"
    assert verify(tmp_path / "db") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "gm.nii.gz").unlink(), "t1, wm, gm and csf.nii.gz"),
        (lambda folder: crop(folder / "wm.nii.gz"), "expected SRI24's frame"),
        (lambda folder: (folder / "wm.nii.gz").write_bytes(b"no image"), "wm.nii.gz is missing or"),
        (lambda folder: cut(folder / "gm.nii.gz"), "gm.nii.gz is missing or no NIfTI image, or da"),
        (lambda folder: shutil.copy(folder / "t1.nii.gz", folder / "csf.nii.gz"), "probabilities"),
    ],
)
def test_what_is_no_atlas_is_refused(mirrored, monkeypatch, capsys, change, message):
    change(mirrored)
    monkeypatch.setenv(ATLAS_VARIABLE, str(mirrored))
    with pytest.raises(SystemExit) as end:
        cli.main(["atlas"])
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in " ".join(error.split())
