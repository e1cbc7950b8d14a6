"""Tables of the pages for developers and of studies hold what there is."""

import re
from pathlib import Path

from glioquery.dbgen import ParameterSpace
from glioquery.dbgen.study.space import LAMBDA_MM

ROOT = Path(__file__).parent.parent


def test_the_table_of_rooms_is_that_of_the_tree():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\S+/`(?:, `\S+/`)*) \|", page, re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`(\S+)`", row)}
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in ("glioquery", "atlas", "solver", "dbgen", "query", "pipeline")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert named == rooms - {"pipeline"}


def test_the_glossary_has_each_word_that_names_one_thing():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.split("| say | not | for |", 1)[1].split("\n\n", 1)[0]
    said = {word.strip() for row in table.splitlines()[2:] for word in row.split("|")[1].split(",")}
    glossary = (ROOT / "docs" / "explanation" / "glossary.md").read_text(encoding="utf-8")
    terms = set(re.findall(r"^(\S.*)\n  ", glossary, re.MULTILINE))
    assert said - terms == set()


def test_the_table_of_defaults_is_that_of_a_study():
    page = (ROOT / "docs" / "how-to" / "write-a-study.md").read_text(encoding="utf-8")
    space = ParameterSpace()

    def said(values):
        return f"{values.low:g} to {values.high:g}"

    for name, unit in (("dw", "mm²/day"), ("rho", "1/day"), ("days", "days")):
        values = getattr(space, name)
        assert f"| `{name}` | {unit} | {said(values)}, {values.scale} |" in page
    assert f"of {said(LAMBDA_MM)}, {LAMBDA_MM.scale} |" in page
    assert f"| `whole_ml`, the sizes that are kept | ml | {said(space.whole_ml)} |" in page
    assert f"| `core_min_ml` | ml | {space.core_min_ml:g} |" in page
    assert f"tumours of each run | | {space.snapshots_per_run};" in page
    assert f"| `sampler` | | `{space.sampler}` |" in page
