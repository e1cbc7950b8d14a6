"""The data card: its numbers are those of the database, and it comes with every finished one."""

import json
import shutil

import numpy as np
import pytest

from glioquery.dbgen import Database
from glioquery.dbgen.datacard import card_text, describe_database
from glioquery.dbgen.machine.cores import processor


def test_facts_are_those_of_the_samples(database):
    facts = describe_database(database)
    values = database.parameters
    (part,) = facts.parts
    assert (facts.n_samples, facts.n_runs, part.seed, part.n_samples) == (11, 6, 7, 11)
    assert facts.n_outside == 0
    attempts = values.attempt.values[::2]  # two snapshots a run
    assert facts.n_draws == 6 + attempts.sum()
    assert facts.acceptance == 6 / facts.n_draws
    edges, volumes = facts.volume_edges_ml, values.whole_ml.values
    assert (edges[0], edges[-1]) == (5, 15)
    np.testing.assert_allclose(np.diff(np.cbrt(edges)), np.diff(np.cbrt(edges)).mean())
    for low, high, count in zip(edges[:-1], edges[1:], facts.volume_counts, strict=True):
        assert count == ((low <= volumes) & (volumes < high)).sum()
    least, median, greatest = facts.stored["rho_t"]
    assert least == values.rho_t.min() and greatest == values.rho_t.max()
    assert median == np.median(values.rho_t)
    assert facts.n_bytes == sum(f.stat().st_size for f in database.path.glob("shards/*.nc"))
    seconds = [json.loads(f.read_text())["seconds"] for f in database.path.glob("shards/*.json")]
    assert facts.core_seconds == pytest.approx(sum(seconds))
    assert facts.processors == {processor(): 11}


def test_a_finished_database_has_its_card(database):
    text = (database.path / "DATACARD.md").read_text()
    facts = describe_database(database)
    assert text == card_text(facts)
    for said in (
        facts.model["equation"], "11 simulated gliomas", "`trajectory`, seed 7", "5 to 15",
        f"| runs drawn | {facts.n_draws} |", facts.checksum, processor(), "CC BY-SA 3.0",
    ):  # fmt: skip
        assert said in text
    histogram = text.split("```")[1].strip().splitlines()
    assert [int(line.split()[4]) for line in histogram] == list(facts.volume_counts)
    assert str(database.path) not in text


def test_records_without_a_processor_are_read(database, tmp_path):
    shutil.copytree(database.path, tmp_path / "db")
    for path in (tmp_path / "db").glob("shards/*.json"):
        record = json.loads(path.read_text())
        del record["processor"]
        path.write_text(json.dumps(record))
    old = Database.open(tmp_path / "db")
    assert describe_database(old).processors == {"not recorded": 11}
    assert old.checksum == database.checksum
