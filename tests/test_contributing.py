"""The table of rooms for developers names each room that there is."""

import re
from pathlib import Path

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
