"""What a published archive holds: it becomes a database whole, or not at all."""

import json
import tarfile

import pytest
from published import raising, unpack

from glioquery.dbgen.machine.files import sha256_of
from glioquery.dbgen.sharing import fetch, fetching
from glioquery.errors import InputError

pytest.importorskip("pyarrow.parquet")


def altered(exported, place, **values):
    """The archive `exported`, with other values in its description."""
    unpack(exported / "eight.tar", place)
    path = place / "eight" / "database.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | values))
    with tarfile.open(place / "eight.tar", "w") as archive:
        archive.add(place / "eight", "eight")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"schema_version": 99},
            "has schema glioquery-database 99, this version .*: install a newer one",
        ),
        (
            {"plan": {"atlas": {"name": "other", "sha256": "0" * 64}}},
            "was simulated in the atlas other .* the atlas in use is SRI24",
        ),
    ],
)
def test_a_sound_database_that_cannot_be_read_here_is_kept(
    server, exported, tmp_path, values, said
):
    if plan := values.get("plan"):
        with tarfile.open(exported / "eight.tar") as archive:
            kept = json.load(archive.extractfile("eight/database.json"))["plan"]
        values = {"plan": kept | plan}
    altered(exported, tmp_path / "served", **values)
    server.folder = tmp_path / "served"
    url = f"{server.url}/eight.tar"
    for _ in range(2):
        with pytest.raises(InputError, match=f"^{url} {said}.*; the download is kept as .*tar$"):
            fetch(url)
    assert server.asked == [0]
    (archive,) = (tmp_path / "cache/fetched").iterdir()
    assert archive.read_bytes() == (tmp_path / "served/eight.tar").read_bytes()


@pytest.mark.parametrize(
    "damage", ["another", "cut", "no archive", "empty", "voxels.nc", "shards/shard-00001.nc"]
)
def test_nothing_is_kept_of_what_is_not_the_database(damage, server, exported, tmp_path):
    digest, content = None, (exported / "eight.tar").read_bytes()
    if damage == "another":
        digest = "0" * 64
    elif damage == "cut":
        content = content[:90_000]
    elif damage == "no archive":
        content = b"<html>not found</html>" * 100
    elif damage == "empty":
        content = bytes(tarfile.RECORDSIZE)  # what `tar -c` of nothing writes
    else:
        with tarfile.open(exported / "eight.tar") as archive:
            at = archive.getmember(f"eight/{damage}").offset_data + 100_000
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    server.folder = tmp_path / "served"
    server.folder.mkdir()
    (server.folder / "eight.tar").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        fetch(f"{server.url}/eight.tar", sha256=digest)
    assert "\n" not in str(refusal.value) and server.url in str(refusal.value)
    assert list((tmp_path / "cache/fetched").iterdir()) == []


def test_a_kept_archive_that_is_not_the_asked_one_is_fetched_again(
    server, database, exported, tmp_path, monkeypatch
):
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(fetching, "_unpack", raising(KeyboardInterrupt))
        fetch(f"{server.url}/eight.tar")
    (kept,) = (tmp_path / "cache/fetched").glob(".eight*.tar")
    kept.write_bytes(b"an earlier version")
    digest = sha256_of(exported / "eight.tar")
    assert fetch(f"{server.url}/eight.tar", sha256=digest).checksum == database.checksum


def member(name, kind=tarfile.REGTYPE, linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("db/link", tarfile.LNKTYPE, "db/missing")],
        [member("db/link", tarfile.SYMTYPE, "/etc/passwd")],
        [member("db/pipe", tarfile.FIFOTYPE)],
        [member("db/a/b"), member("db/a")],
        [member("db/a"), member("db/a/b")],
        [member("db/a"), member("db/a")],
        [member("db/" + "x" * 300)],
        [member("../up")],
        [member("/tmp/up")],
        [member("")],
    ],
    ids=lambda members: members[-1].name[:12] + str(len(members)),
)
def test_an_archive_of_odd_members_is_refused_and_asked_for_again(
    members, server, exported, tmp_path
):
    """Some ended as a bug, or were kept and hid the publisher's correction."""
    server.folder = tmp_path / "served"
    server.folder.mkdir()
    with tarfile.open(server.folder / "eight.tar", "w") as archive:
        for one in members:
            archive.addfile(one)
    with pytest.raises(InputError, match=r"is not the archive of a database.*nothing of it is"):
        fetch(f"{server.url}/eight.tar")
    assert list((tmp_path / "cache/fetched").iterdir()) == []
    assert not (tmp_path / "cache/up").exists()
    server.folder = exported
    assert fetch(f"{server.url}/eight.tar").n_samples == 8
