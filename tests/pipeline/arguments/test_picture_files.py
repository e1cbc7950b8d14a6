"""Files that a command writes: refused before any work where they cannot be what was meant."""

import pytest
from command_line import run

from glioquery.errors import InputError
from glioquery.pipeline.arguments.picture_files import places_for

GROWTH = ("simulate", "--origin", "-150", "100", "60", "--dw", "0.3", "--rho", "0.05",
          "--days", "9")  # fmt: skip


def test_an_output_is_neither_an_input_nor_a_folder_nor_given_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.nii").write_text("scan")
    (tmp_path / "link.nii").symlink_to("in.nii")
    (tmp_path / "d.nii").mkdir()
    for files, told in (
        (["link.nii"], "link.nii is an input and would be replaced"),
        (["a.nii", "./a.nii"], "a.nii is the name of two outputs"),
        (["d.nii"], "d.nii is a folder: name a file in it"),
    ):
        with (
            pytest.raises(InputError, match=told),
            places_for(None, *map(tmp_path.__class__, files), inputs=[tmp_path / "in.nii", None]),
        ):
            pass


def test_folders_that_a_refused_command_made_are_removed(tmp_path):
    (tmp_path / "there").mkdir()
    with (
        pytest.raises(InputError, match="refused"),
        places_for(tmp_path / "new" / "deep" / "a.png", tmp_path / "there" / "b.png"),
    ):
        assert (tmp_path / "new" / "deep").is_dir()
        raise InputError("refused")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    with places_for(tmp_path / "new" / "deep" / "a.png"):
        (tmp_path / "new" / "deep" / "a.png").write_text("a picture")
    assert (tmp_path / "new" / "deep" / "a.png").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*GROWTH, "-o", "u.nii.gz", "--picture", "u.nii.gz"), "a picture is written as .png"),
        ((*GROWTH, "-o", "d.nii.gz"), "d.nii.gz is a folder: name a file in it"),
        ((*GROWTH, "-o", "new/u.nii.gz", "--model", "foo"), "foo"),
        ((*GROWTH, "-o", "in.nii", "--treatments", "in.nii"), "in.nii"),
        ((*GROWTH, "-o", "in.nii", "--set", "tensor=in.nii"), "in.nii is an input"),
        (("tensor-atlas", "in.nii", "in.nii", "--tool", "fsl"), "in.nii is an input"),
        (("describe", "nowhere", "--picture", "new/x.png"), "nowhere"),
        (("describe", "--picture", "in.nii"), "a picture is written as .png"),
        (("atlas", "--picture", "in.nii"), "a picture is written as .png"),
    ],
)
def test_a_refused_command_leaves_all_as_it_was(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.nii.gz").mkdir()
    (tmp_path / "in.nii").write_text("scan")
    code, _, err = run(capsys, *arguments)
    assert code == 2 and told in err, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.nii.gz", "in.nii"]
    assert (tmp_path / "in.nii").read_text() == "scan"
