"""A result as an RO-Crate: every file is listed, everything that is referred to is described."""

import json

from glioquery.pipeline.results.result_folder import RESULT_FILE, list_files
from glioquery.pipeline.results.ro_crate import CRATE_FILE, crate_of

PROVENANCE = {
    "versions": {"python": "3.12.1", "glioquery": "0.1.0", "numpy": "2.3.5"},
    "atlas_sha256": "a" * 64,
    "database": {"name": "db", "checksum": "d" * 64, "n_samples": 8, "model": {}},
    "inputs_sha256": {"t1": "1" * 64, "seg": "5" * 64},
}


def references(value):
    """Identifiers that an entity's properties name."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item["@id"]


def test_a_crate_describes_its_files_and_all_that_it_refers_to(tmp_path):
    (tmp_path / "transform").mkdir()
    for name in ("sub-a_space-T1w_density.nii.gz", "report.html", "transform/transform.json"):
        (tmp_path / name).write_text(name)
    files = list_files(tmp_path)
    crate = json.loads(json.dumps(crate_of(PROVENANCE, files)))
    graph = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(graph) == len(crate["@graph"])
    assert graph[CRATE_FILE]["about"] == {"@id": "./"}
    assert graph[CRATE_FILE]["conformsTo"]["@id"] + "/context" == crate["@context"]
    assert {"name", "description", "datePublished", "license"} <= set(graph["./"])
    assert {part["@id"] for part in graph["./"]["hasPart"]} == {*files, RESULT_FILE}
    for name, entry in files.items():
        assert graph[name]["sha256"] == entry["sha256"]
        assert int(graph[name]["contentSize"]) == entry["bytes"]
    assert graph["#t1"]["sha256"] == "1" * 64
    assert graph["#glioquery"]["version"] == "0.1.0"
    assert graph["report.html"]["name"] == "The page for people"
    named = {
        name
        for entity in crate["@graph"]
        for key, value in entity.items()
        if key != "conformsTo"
        for name in references(value)
    }
    assert named <= set(graph)
