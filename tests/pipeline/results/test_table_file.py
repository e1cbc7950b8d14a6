"""A table is read as any program writes it, and what is none is named."""

import gzip

import pytest

from glioquery.errors import InputError
from glioquery.pipeline.results.table_file import MOST_BYTES, read_table

KNOWN = ("id", "t1", "brain_mask")
HEAD, ROW = ("id", "t1", "brain_mask", "age"), ("a", "x.nii", "m.nii", "57,3")


def read(path, known=KNOWN):
    return read_table(path, known, f"cases {path}")


def written(folder, data, name="cases.csv"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def joined(separator, end="\r\n", quote='"'):
    rows = [separator.join(quote + cell + quote for cell in row) for row in (HEAD, ROW)]
    return end.join(rows) + end


@pytest.mark.parametrize(
    "data",
    [
        joined(","),
        joined(";"),
        joined(";", quote=""),
        joined("\t", quote=""),
        joined(" , ", quote="").replace("57 , 3", "57,3").replace("57,3", '"57,3"'),
        joined(", "),
        joined(",", end="\n"),
        joined(",", end="\r"),
        joined(";").rstrip(),
        joined(";").encode("utf-8-sig"),
        joined("\t", quote="").encode("utf-16"),
        b"\xfe\xff" + joined(",").encode("utf-16-be"),
        "sep=;\r\n" + joined(";"),
        "# of 2024, by hand\r\n\r\n;;;\r\n" + joined(";"),
        '"# the ""good"" ones";;;\r\n' + joined(";"),
        joined(";", quote="").replace("brain_mask", " Brain-Mask").replace("id", "ID"),
        joined(";", quote="").replace("\r\n", ";;\r\n"),
        joined(";", quote="").replace("m.nii;57,3", "m.nii;57,3;;"),
        joined(";") + ";;;\r\n\r\n;\r\n",
        joined(",").replace('"m.nii"', '"m.nii\r\n"'),
    ],
)  # fmt: skip
def test_however_a_table_is_written_it_is_the_same(tmp_path, data):
    table = read(written(tmp_path, data))
    assert table.heads == HEAD and table.notices == ()
    ((_, cells),) = table.rows
    assert cells == dict(zip(HEAD, ROW, strict=True))


def test_rows_have_the_lines_of_the_file(tmp_path):
    text = '# so\n\nid,t1\na,"x\ny"\n,\nb,z\n'
    table = read(written(tmp_path, text))
    assert [(line, cells["id"]) for line, cells in table.rows] == [(5, "a"), (7, "b")]
    assert table.rows[0][1]["t1"] == "x\ny"


def test_what_is_left_out_or_guessed_is_told(tmp_path):
    text = ",id,t1,,town\n0,a,x,,Köln\n#1,b,y,,\n2,c,z,,Ulm\n"
    for encoding, n_notices in (("utf-8", 2), ("cp1252", 3)):
        table = read(written(tmp_path, text.encode(encoding)))
        assert table.heads == ("id", "t1", "town")
        assert [cells["town"] for _, cells in table.rows] == ["Köln", "Ulm"]
        assert len(table.notices) == n_notices
        assert any("1 rows below the head begin with #" in notice for notice in table.notices)
        assert any("left out: 1." in notice for notice in table.notices)
        assert any("Windows-1252" in notice for notice in table.notices) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        ("id,t1\na,57,3\nb\nc,x\n", ["line 2: expected 2 cells", "got 3; line 3", "needs quotes"]),
        ('id,t1\na,"x\nb,y\n', ["line 3 cannot be read as a table's"]),
        ('id,t1\na,"x"y\n', ["line 2 cannot be read as a table's"]),
        ("id,t1,ID\na,x,b\n", ["the column 'id' occurs twice"]),
        ("id,t1,age,age\na,x,1,2\n", ["the column 'age' occurs twice"]),
        (b"PK\x03\x04rest", ["got a workbook (.xlsx, .ods)", "save it as CSV"]),
        (b"\xd0\xcf\x11\xe0rest", ["got a workbook (.xls)"]),
        (gzip.compress(b"id,t1\n", mtime=0), ["compressed by gzip"]),
        ("id,t1\na,x\n".encode("utf-16-le"), ["UTF-16 without its mark"]),
        (b"\xff\xfe\x00", ["cannot be read as text"]),
        (b"id,t1\n\x81,x\n", ["cannot be read as text (invalid start byte at byte 6)"]),
        (b"a" * (MOST_BYTES + 1), ["more than 64 MB"]),
    ],
)
def test_what_is_no_table_is_named_on_one_line(tmp_path, data, messages):
    path = written(tmp_path, data)
    with pytest.raises(InputError) as error:
        read(path)
    said = str(error.value)
    assert said.startswith(f"cases {path}: ") and "\n" not in said
    assert all(message in said for message in messages)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="got a folder; name the file in it"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read \(No such file.*check the path"):
        read(tmp_path / "missing.csv")


def test_an_empty_table_has_no_heads(tmp_path):
    assert read(written(tmp_path, "\n# nothing\n;;\n")).heads == ()


def test_a_comment_may_hold_any_quotes_and_a_quoted_cell_any_line(tmp_path):
    text = 'id,note\n# said "unfinished\na,"x\n# no comment\ny"\n#b,"\nc,z\n'
    table = read(written(tmp_path, text))
    assert [(line, tuple(cells.values())) for line, cells in table.rows] == [
        (5, ("a", "x\n# no comment\ny")),
        (7, ("c", "z")),
    ]
    assert any("2 rows below the head begin with #" in notice for notice in table.notices)
