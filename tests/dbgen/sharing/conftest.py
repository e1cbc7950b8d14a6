"""A database that was exported, and a server of the tests' own that publishes it."""

import http.server
import threading

import pytest
from generating import SMALL, make_indexed
from published import Handler

from glioquery.dbgen.sharing import export


@pytest.fixture(scope="package")
def database(tmp_path_factory):
    return make_indexed(tmp_path_factory.mktemp("shared") / "db", 8, SMALL, shard_size=4)


@pytest.fixture(scope="package")
def exported(database, tmp_path_factory):
    return export(database, tmp_path_factory.mktemp("exports") / "eight", held_out=0.25)


@pytest.fixture
def server(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.asked, server.breaks_after = exported, [], None
        server.code, server.encodings, server.whole = None, set(), False
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
