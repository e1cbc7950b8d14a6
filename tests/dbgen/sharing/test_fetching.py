"""A published database that is fetched: resumed, looked up, refused."""

import contextlib
import json
import shutil

import pytest
from command_line import run
from published import raising

import glioquery as gq
from glioquery.dbgen.machine.files import sha256_of
from glioquery.dbgen.sharing import fetch, fetching
from glioquery.errors import FailedError, InputError

pytest.importorskip("pyarrow.parquet")


def test_what_is_fetched_is_opened_by_its_name(database, exported, server, tmp_path):
    url, told = f"{server.url}/eight.tar", []
    digest = sha256_of(exported / "eight.tar")
    found = fetch(url, sha256=digest, progress=lambda *at: told.append(at))
    size = (exported / "eight.tar").stat().st_size
    assert told[-1] == (size, size)
    assert found.checksum == database.checksum
    assert gq.open_database("eight").path == found.path == tmp_path / "cache/fetched/eight"
    assert fetch(url).path == found.path and server.asked == [0]  # it is there already
    assert {path.name for path in found.path.parent.iterdir()} == {"eight"}
    with pytest.raises(InputError, match=r"eight is the name of a database from http.* --name"):
        fetch(f"{server.url}/other/eight.tar")
    shutil.copytree(database.path, found.path.with_name("copied"))
    with pytest.raises(InputError, match=r"copied is the name of a database that was not fetched"):
        fetch(url, name="copied")
    other = fetch(url, name="other")
    assert gq.open_database("other").path == other.path != found.path


def test_commands_export_and_fetch_and_take_the_name(server, database, tmp_path, capsys):
    code, out, err = run(capsys, "export", database.path, tmp_path / "mine", "--held-out", 0.5)
    assert code == 0 and "parameters.parquet" in err, err
    server.folder = tmp_path / "mine"
    code, out, err = run(capsys, "fetch", f"{server.url}/mine.tar", "--json")
    assert code == 0, err
    assert json.loads(out)["checksum"] == database.checksum
    code, out, err = run(capsys, "describe", "mine", "--json")
    assert code == 0 and json.loads(out)["n_samples"] == 8, err
    code, out, err = run(capsys, "verify", "mine", "--json")
    assert code == 0 and json.loads(out)["faults"] == [], err
    assert gq.verify("mine") == []


def test_a_broken_connection_is_gone_on_with(database, server, exported):
    server.breaks_after = 200_000
    url = f"{server.url}/eight.tar"
    with pytest.raises(FailedError, match="the 196608 bytes that came are kept, and the same"):
        fetch(url)
    server.breaks_after = None
    assert fetch(url, sha256=sha256_of(exported / "eight.tar")).checksum == database.checksum
    assert server.asked == [0, 3 * fetching.CHUNK]


def test_a_download_that_was_complete_before_the_end_is_used(database, server, exported, tmp_path):
    server.breaks_after = 200_000
    with pytest.raises(FailedError):
        fetch(f"{server.url}/eight.tar")
    (partial,) = (tmp_path / "cache/fetched").glob(".eight*.download")
    partial.write_bytes((exported / "eight.tar").read_bytes())
    assert fetch(f"{server.url}/eight.tar").checksum == database.checksum


def test_what_a_killed_fetch_left_is_not_taken_for_another_source(
    server, exported, tmp_path, monkeypatch
):
    server.folder = tmp_path / "served"
    server.folder.mkdir()
    (server.folder / "eight.tar").write_bytes((exported / "eight.tar").read_bytes())
    (server.folder / "other.tar").write_bytes(b"another")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(fetching, "_unpack", raising(KeyboardInterrupt))
        fetch(f"{server.url}/eight.tar")
    with pytest.raises(InputError, match=r"other\.tar is not the archive"):
        fetch(f"{server.url}/other.tar", name="eight")
    assert fetch(f"{server.url}/eight.tar").n_samples == 8
    assert server.asked == [0, 0]  # the whole archive was there


@pytest.mark.parametrize(
    ("source", "more", "said"),
    [
        ("eight.tar", {}, "is fetched from its archive's address"),
        ("https://example.org/eight.zip", {}, "is fetched from its archive's address"),
        ("ftp://example.org/eight.tar", {}, "is fetched from its archive's address"),
        ("https://[::1/eight.tar", {}, "is fetched from its archive's address"),
        ("http://127.0.0.1:1/a.tar", {"sha256": "abc"}, "64 digits of 0-9 and a-f, got 'abc'"),
        ("http://127.0.0.1:1/a.tar", {"name": "../up"}, "letters, digits .* got '../up'"),
    ],
)
def test_what_cannot_be_fetched_is_refused_before_a_connection(source, more, said, monkeypatch):
    monkeypatch.setattr(fetching, "_packages", None)
    with pytest.raises(InputError, match=said):
        fetch(source, **more)


def test_an_address_that_cannot_be_asked_is_refused(server):
    with pytest.raises(InputError, match="no address that can be asked"):
        fetch("http://127.0.0.1:99999/eight.tar")


def test_a_server_without_the_file_says_so(server):
    with pytest.raises(InputError, match=r"seven\.tar: the server has no such file \(404\)"):
        fetch(f"{server.url}/seven.tar")


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (410, InputError, r"the server has no such file \(410\)"),
        (401, InputError, r"the server refuses the file \(401\)"),
        (403, InputError, r"the server refuses the file \(403\)"),
        (408, FailedError, "408 .* give the same command again"),
        (425, FailedError, "425 .* give the same command again"),
        (429, FailedError, "429 .* give the same command again"),
        (503, FailedError, "503 .* give the same command again"),
    ],
)
def test_a_refusal_that_may_pass_is_told_from_one_that_stays(server, code, error, said):
    server.code = code
    with pytest.raises(error, match=said):
        fetch(f"{server.url}/eight.tar")
    assert server.encodings == {"identity"}  # a part of a compressed answer is no part of the file


def test_without_locks_two_fetches_do_not_write_one_file(server, database, tmp_path, monkeypatch):
    server.breaks_after = 200_000
    with pytest.raises(FailedError):
        fetch(f"{server.url}/eight.tar")
    server.breaks_after = None
    (other,) = (tmp_path / "cache/fetched").glob(".eight*.download")  # of one that goes on there
    monkeypatch.setattr(fetching, "hold_in_turn", lambda _: contextlib.nullcontext(False))
    assert fetch(f"{server.url}/eight.tar").checksum == database.checksum
    assert server.asked == [0, 0] and other.stat().st_size == 196_608
    assert {path.name for path in other.parent.iterdir()} == {"eight", other.name}


def test_a_doi_is_looked_up_where_it_is_registered(server, database, monkeypatch):
    class Repository:
        def download_url(self, file):
            if file != "eight.tar":
                raise ValueError(f"File '{file}' not found in data archive")
            return f"{server.url}/{file}"

    asked = []
    monkeypatch.setattr(
        "pooch.downloaders.doi_to_repository", lambda doi: asked.append(doi) or Repository()
    )
    found = fetch("doi:10.5281/zenodo.1234/eight.tar")
    assert found.checksum == database.checksum and asked == ["10.5281/zenodo.1234"]
    with pytest.raises(InputError, match=r"doi:.*nine\.tar: File 'nine\.tar' not found"):
        fetch("doi:10.5281/zenodo.1234/nine.tar")


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"files": None}, "names no files"), ({}, "names no files"), ([], "names no files")],
)
def test_an_odd_answer_of_a_repository_is_told(answer, said, server, monkeypatch):
    """Zenodo's to too many questions, and Figshare's to one about an unknown record."""

    class Repository:
        def download_url(self, file):
            return answer["files"][0] if isinstance(answer, dict) else answer[0]

    monkeypatch.setattr("pooch.downloaders.doi_to_repository", lambda doi: Repository())
    with pytest.raises(FailedError, match=said):
        fetch("doi:10.7910/DVN/ABC123/eight.tar")


def test_a_fetch_that_is_stopped_while_it_checks_keeps_the_download(
    server, database, exported, tmp_path, monkeypatch
):
    """pooch removed it, and the command said that it is kept."""
    digest = sha256_of(exported / "eight.tar")
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(fetching, "sha256_of", raising(KeyboardInterrupt))
        fetch(f"{server.url}/eight.tar", sha256=digest)
    assert fetch(f"{server.url}/eight.tar", sha256=digest).checksum == database.checksum
    size = (exported / "eight.tar").stat().st_size
    assert server.asked == [0, size]  # nothing came again
    assert [path.name for path in (tmp_path / "cache/fetched").iterdir()] == ["eight"]


def test_a_page_in_place_of_the_rest_does_not_replace_what_came(
    server, database, exported, tmp_path, monkeypatch
):
    server.breaks_after = 200_000
    with pytest.raises(FailedError):
        fetch(f"{server.url}/eight.tar")
    server.breaks_after, served = None, server.folder
    server.folder = tmp_path / "login"
    server.folder.mkdir()
    (server.folder / "eight.tar").write_bytes(b"<html>who are you?</html>")
    server.whole = True
    with pytest.raises(FailedError, match="sends 25 bytes, but 196608 of the file had come"):
        fetch(f"{server.url}/eight.tar")
    server.folder, server.whole = served, False
    assert fetch(f"{server.url}/eight.tar").checksum == database.checksum
    assert server.asked[-1] == 3 * fetching.CHUNK


def test_a_cache_that_cannot_be_written_is_named_before_a_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_packages", None)
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"cannot be written .*: let GLIOQUERY_CACHE name"):
        fetch("http://127.0.0.1:1/a.tar")
