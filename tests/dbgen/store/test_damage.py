"""What a database on disk survives: damaged, altered and refused files, a full disk."""

import contextlib
import errno
import re
import resource
import subprocess
from types import SimpleNamespace
from typing import ClassVar

import netCDF4
import numpy as np
import pytest

from glioquery.dbgen import Database, DatabaseError, Plan, generate, verify
from glioquery.dbgen.machine.files import completed, sha256_of, write_json
from glioquery.dbgen.store.header import read_header
from glioquery.dbgen.store.record import read_record, shard_path
from glioquery.dbgen.store.shard import read_table, table_sha256, variables_of
from glioquery.dbgen.workers import make_shard
from glioquery.query import build_index
from glioquery.solver import FisherKolmogorov


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_text("not a shard")


def damage_remove(path):
    path.unlink()


@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_flip, damage_empty, damage_text, damage_remove]
)
def test_a_damaged_shard_is_named_and_made_anew(database, copy, damage):
    opened = Database.open(copy)
    damage(copy / "shards" / "shard-00001.nc")
    faults = verify(copy)
    assert len(faults) == 1 and faults[0].startswith("shard-00001.nc")
    if damage is not damage_flip:  # opening compares sizes, verify compares contents
        with pytest.raises(DatabaseError, match=r"shard-00001\.nc .*generate .* completes it"):
            Database.open(copy)
    # What is read is compared with its checksum first, so an index is never built of it.
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc .*generate .* makes it again"):
        build_index(opened, copy / "index")
    assert not (copy / "index").exists()
    repaired = generate(copy, 11)
    assert repaired.checksum == database.checksum
    assert verify(copy) == []
    assert build_index(repaired, copy / "index").n_samples == 11


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_text, damage_remove])
def test_a_damaged_list_of_voxels_is_named_and_made_anew(database, copy, damage):
    damage(copy / "voxels.nc")
    (fault,) = verify(copy)
    assert fault.startswith("voxels.nc")
    with pytest.raises(DatabaseError, match=r"voxels\.nc .*generate .* writes it again"):
        Database.open(copy).outlines(0)
    assert generate(copy, 11).checksum == database.checksum
    assert verify(copy) == []


def flip_in_the_parameters(path):
    """Change one bit of a value along `sample`, which leaves the size as it was."""
    with netCDF4.Dataset(path) as shard:
        value = np.asarray(shard["rho"][:]).tobytes()
    content = bytearray(path.read_bytes())
    assert content.count(value) == 1
    content[content.index(value) + 3] ^= 1
    path.write_bytes(content)


def flip_in_the_densities(path):
    damage_flip(path)


READINGS = {
    "parameters": lambda database: database.parameters,
    "growth_parameters": lambda database: database.growth_parameters(0),
    "select": lambda database: database.select(rho=slice(0, 1)),
    "to_xarray": lambda database: database.to_xarray(),
    "values of the whole": lambda database: database.to_xarray().density[5].values,
    "outlines": lambda database: database.outlines(5),
    "density": lambda database: database.density(5),
}


@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_compares_what_it_reads(copy, reading):
    path = shard_path(copy, 1)
    flip_in_the_parameters(path)
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc is damaged, .*makes it again"):
        READINGS[reading](Database.open(copy))


def test_damaged_densities_are_found_when_they_are_read_alone(copy):
    flip_in_the_densities(shard_path(copy, 1))
    opened = Database.open(copy)
    assert len(opened.parameters.sample) == 11  # nothing of the densities is read for these
    whole = opened.to_xarray()
    assert whole.density[3].values.any()
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc is damaged, its SHA-256"):
        whole.density[4].load()


def test_damage_after_a_first_reading_is_found(copy):
    opened = Database.open(copy)
    opened.outlines(5)
    flip_in_the_densities(shard_path(copy, 1))
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc is damaged, its SHA-256"):
        opened.outlines(5)


@pytest.mark.parametrize("reading", [*READINGS, "index"])
def test_a_database_that_was_extended_since_it_was_opened_is_to_be_opened_again(
    copy, tmp_path, reading
):
    uses = READINGS | {"index": lambda opened: build_index(opened, tmp_path / "index")}
    opened = Database.open(copy)
    tamper(copy, 0, faster)
    tamper(copy, 1, faster)
    with pytest.raises(DatabaseError, match=r"shard-0000\d\.nc was extended .*: open that again$"):
        uses[reading](opened)


def test_a_remedy_asks_for_as_many_tumours_as_the_database_has_by_now(copy):
    opened = Database.open(copy)
    write_json(copy / "database.json", opened.header | {"n_samples": 15})
    flip_in_the_densities(shard_path(copy, 1))
    (copy / "voxels.nc").unlink()
    with pytest.raises(DatabaseError, match=r"generate .* --n 15` makes it again"):
        opened.require_intact()
    with pytest.raises(DatabaseError, match=r"generate .* --n 15` writes it again"):
        _ = opened.voxels


def test_parameters_without_a_checksum_of_their_own_are_compared_with_the_file(copy):
    for index in range(3):
        path = shard_path(copy, index)
        record = vars(read_record(path))
        assert len(record.pop("table_sha256")) == 64
        write_json(path.with_suffix(".json"), record)
    assert len(Database.open(copy).parameters.sample) == 11
    flip_in_the_parameters(shard_path(copy, 2))
    with pytest.raises(DatabaseError, match=r"shard-00002\.nc is damaged, its SHA-256"):
        Database.open(copy).parameters.load()


def test_verify_compares_the_parameters_with_their_checksum(copy):
    path = shard_path(copy, 1)
    write_json(path.with_suffix(".json"), vars(read_record(path)) | {"table_sha256": "0" * 64})
    (fault,) = verify(copy)
    assert fault.startswith("shard-00001.nc") and "table_sha256" in fault
    assert verify(generate(copy, 11).path) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header.pop("box"), "it lacks box"),
        (lambda header: header.pop("shard_size"), "it lacks shard_size"),
        (lambda header: header["plan"].pop("atlas"), "it lacks plan.atlas"),
        (lambda header: header["plan"]["atlas"].pop("sha256"), "it lacks plan.atlas.sha256"),
        (lambda header: header["plan"].pop("thresholds"), "it lacks plan.thresholds"),
        (lambda header: header["plan"]["model"].pop("settings"), "it lacks plan.model.settings"),
        (lambda header: header["plan"].update(space=3), "it cannot be read"),
        (lambda header: header["parameters"].clear(), "it cannot be read"),
        (lambda header: header.update(plan=[]), r"its plan is \[\] and no object"),
        (lambda header: header.update(parts=[3]), "its parts is 3 and no object"),
        (lambda header: header.update(parts=3), "its parts is 3 and no list"),
        (lambda header: header.update(parts=[{"seed": 3}]), "it lacks parts.space, parts.sampler"),
        (lambda header: header.update(shard_size=0), "its shard_size is 0 and no number"),
        (lambda header: header.update(n_samples="11"), "its n_samples is '11' and no number"),
        (lambda header: header.update(n_samples=True), "its n_samples is True and no number"),
    ],
)
def test_a_description_that_was_altered_is_refused(copy, change, said):
    header = read_header(copy)
    change(header)
    write_json(copy / "database.json", header)
    for use in (Database.open, verify):
        with pytest.raises(DatabaseError, match=rf"database\.json was altered, {said}.*: put it"):
            use(copy)


@pytest.mark.parametrize("record", ["", "[]", '{"first": 4}'])
def test_a_damaged_record_has_its_shard_made_anew(database, copy, record):
    (copy / "shards" / "shard-00002.json").write_text(record)
    (fault,) = verify(copy)
    assert fault.startswith("shard-00002.nc") and "record" in fault
    assert generate(copy, 11).checksum == database.checksum


def tamper(folder, index, change):
    """Change a shard and its record, as if it had been written so."""
    path = shard_path(folder, index)
    variables = variables_of(read_header(folder))
    with netCDF4.Dataset(path, "a") as shard:
        change(shard)
        lacks_none = {"sample", *variables} <= set(shard.variables)
        table = table_sha256(read_table(shard, variables), variables) if lacks_none else ""
    record = vars(read_record(path)) | {
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "table_sha256": table,
    }
    write_json(path.with_suffix(".json"), record)


def faster(shard):
    shard["dw"][:] = np.clip(shard["dw"][:] * 1.2, 0.02, 1.5)
    shard["lambda_mm"][:] = np.sqrt(shard["dw"][:] / shard["rho"][:])


def test_verify_simulates_anew(copy):
    for index in range(3):
        tamper(copy, index, faster)
    (fault,) = verify(copy)
    assert re.match(r"sample \d+: its (core|whole) outline differs from a fresh simulation", fault)


def test_a_density_that_has_not_the_stored_outlines_is_refused(small_plan, tmp_path):
    made = generate(tmp_path / "db", 2, plan=small_plan, store="outlines", shard_size=1)
    made.density(1)
    tamper(made.path, 1, faster)
    changed = Database.open(made.path)
    changed.density(0)
    with pytest.raises(DatabaseError, match=r"sample 1 of .*another (core|whole) outline"):
        changed.density(1)


def test_verify_compares_what_follows_from_other_values(copy):
    tamper(copy, 0, lambda shard: shard["lambda_mm"].__setitem__(0, 3.0))
    tamper(copy, 1, lambda shard: shard["rho_t"].__setitem__(1, 3.0))
    assert verify(copy) == [
        "shard-00000.nc: lambda_mm is not sqrt(dw / rho)",
        "shard-00001.nc: rho_t is not rho * days",
    ]


def test_verify_names_what_a_shard_lacks(copy):
    tamper(copy, 0, lambda shard: shard.renameVariable("density", "u"))
    tamper(copy, 2, lambda shard: shard["rho"].setncattr("units", "year-1"))
    faults = verify(copy)
    assert faults == [
        "shard-00000.nc: has no variable density",
        "shard-00002.nc: rho is not f8 in day-1",
    ]


def test_a_model_of_another_name_is_refused(copy):
    class Other(FisherKolmogorov):
        name: ClassVar[str] = "other"

    plan = Database.open(copy).plan
    other = Plan(plan.space, seed=plan.seed, model=Other())
    with pytest.raises(
        DatabaseError, match=r"plan\.model\.name is fisher-kolmogorov, requested is"
    ):
        generate(copy, 11, plan=other)


@contextlib.contextmanager
def largest_file(n_bytes):
    """Let the system refuse what this process writes beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_refused_shard_leaves_nothing(copy, database):
    path = shard_path(copy, 0)
    content, record = path.read_bytes(), path.with_suffix(".json").read_text()
    path.unlink()
    path.with_suffix(".json").unlink()
    files = set(copy.rglob("*"))
    with largest_file(20_000), pytest.raises(OSError, match=r"shard-00000\.nc") as refused:
        make_shard(copy, database.header, database.plan, 0)
    assert refused.value.errno == errno.EFBIG
    assert set(copy.rglob("*")) == files
    make_shard(copy, database.header, database.plan, 0)
    assert path.read_bytes() == content
    assert path.with_suffix(".json").read_text() != record  # another time
    assert verify(copy) == []


def test_a_failed_file_keeps_what_was_there(tmp_path):
    path = tmp_path / "file"
    write_json(path, 1)
    with largest_file(10), pytest.raises(OSError, match="file"):
        write_json(path, list(range(100)))
    with pytest.raises(RuntimeError, match="of its own"), completed(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("an error of its own")
    assert path.read_text() == "1\n" and list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, and a function that makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system takes the rights to do so")
    yield SimpleNamespace(
        path=disk,
        enlarge=lambda: subprocess.run(
            ["mount", "-o", "remount,size=64m", str(disk)], check=True, capture_output=True
        ),
    )
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_said_and_resumed_from(ray, small_disk, database, small_plan):
    folder = small_disk.path / "db"
    (small_disk.path / "ballast").write_bytes(bytes(600_000))
    with pytest.raises(RuntimeError, match=r"cannot write \S*shard-0000\d\.nc: No space left") as e:
        generate(folder, 11, plan=small_plan, shard_size=4)
    assert str(folder) in str(e.value) and "same command again" in str(e.value)
    assert "\n" not in str(e.value)
    for path in (folder / "shards").glob("shard-*.nc"):
        assert sha256_of(path) == read_record(path).sha256
    small_disk.enlarge()
    assert generate(folder, 11, plan=small_plan, shard_size=4).checksum == database.checksum
    assert list(folder.rglob("*.part")) == []
