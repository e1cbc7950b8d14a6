"""What commands print is complete at every width, and nothing in it is taken for markup."""

import errno
import io
import re

import pytest
from command_line import run
from rich.console import Console

from glioquery.dbgen.machine.files import write_text
from glioquery.errors import one_line
from glioquery.pipeline.commands.evaluation import _short
from glioquery.pipeline.terminal import printing
from glioquery.pipeline.terminal.printing import (
    lay_out,
    print_notice,
    print_step,
    said,
    show,
    show_table,
)

MATCHES = [
    {
        "rank": rank, "sample": 10 * rank**4, "score": 1.25 / rank, "dice_core": 0.6104,
        "dice_whole": 0.6862, "lambda_mm": 3.63, "rho_t": 13.3, "rho": 0.05671, "days": 234.5,
        "origin_mm": (-123.9, 163.6, 52.86), "under_resolved": False,
    }
    for rank in range(1, 16)
]  # fmt: skip

SUMMARY = {
    "queries": "synthetic", "strategy": "radiomics-standardised + rerank 500", "n": 1000,
    "top1": 88.71, "top5": 96.0, "top15": 100.0, "seconds": 1.234, "is_scaled": True,
    "regret_mean": 0.00312, "regret_worst": 0.12345,
}  # fmt: skip


@pytest.fixture
def terminal(monkeypatch):
    """The console as a terminal of some width; what it shows."""

    def open_terminal(width):
        shown = io.StringIO()
        console = Console(
            file=shown, force_terminal=True, width=width, soft_wrap=True, highlight=False
        )
        monkeypatch.setattr(printing, "console", console)
        return lambda: re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())

    return open_terminal


def cells(lines):
    """The words between two blanks."""
    return [re.split(r"\s{2,}", line.strip()) for line in lines]


def test_without_a_terminal_a_row_is_a_line(capsys):
    show_table(MATCHES, n_keys=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 16 and len({line.index("  -123.9") for line in lines[1:]}) == 1
    head, *rows = cells(lines)
    assert head == list(MATCHES[0])
    for row, match in zip(rows, MATCHES, strict=True):
        assert row == [said(value) for value in match.values()]


@pytest.mark.parametrize("width", [80, 40])
def test_what_does_not_fit_follows_with_the_name_of_its_row(terminal, width):
    shown = terminal(width)
    show_table(MATCHES, n_keys=2)
    lines = shown().splitlines()
    assert max(map(len, lines)) <= width
    found, blocks = {}, "\n".join(lines).split("\n\n")
    for block in blocks:
        head, *rows = cells(block.splitlines())
        assert head[:2] == ["rank", "sample"]
        for name in head[2:]:
            found[name] = [row[head.index(name)] for row in rows]
        assert [int(row[0]) for row in rows] == list(range(1, 16))
    assert list(found) == list(MATCHES[0])[2:]  # each once, the most important first
    for name, texts in found.items():
        assert texts == [said(match[name]) for match in MATCHES]


def test_where_not_even_one_column_fits_a_row_is_a_list(terminal):
    rows = [_short(SUMMARY), _short(SUMMARY | {"strategy": "direct"})]
    shown = terminal(40)
    show_table(rows, n_keys=2)
    assert shown().splitlines()[:4] == [
        "queries: 1000 synthetic",
        "strategy: radiomics-standardised + rerank 500",
        "top 1 (%): 88.7",
        "top 5 (%): 96",
    ]
    assert len(shown().splitlines()) == 2 * len(rows[0]) + 1
    assert "a query (s): 1.23 scaled" in shown()


def test_numbers_end_below_each_other():
    lines = lay_out([{"name": "a", "n": 5}, {"name": "bcd", "n": 1234}])
    assert lines == ["name     n", "a        5", "bcd   1234"]


@pytest.mark.parametrize("text", ["[red]x[/]", "a [1] b", ":fire:", r"\[b]", "[/]"])
def test_nothing_is_taken_for_markup(capsys, text):
    show({"path": text, "nested": {text: text}}, as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        f"path: {text}", "nested:", f"    {text}: {text}"
    ]  # fmt: skip
    show_table([{"name": text, "n": 1}])
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.00012345, "0.0001234"), (793.71, "793.7"), (123456.7, "123457"), (float("nan"), "nan")],
)
def test_numbers_keep_the_digits_that_count(value, expected):
    assert said(value) == expected


def test_a_database_is_described_in_tables(capsys):
    code, out, err = run(capsys, "describe")
    assert (code, out) == (0, "")
    lines = err.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("stored "))) :]
    assert cells(table[:2]) == [
        ["stored", "unit", "least", "median", "greatest"],
        ["dw", "mm2 day-1", "0.02008", "0.576", "1.497"],
    ]
    assert sum(int(row[-1]) for row in cells(table[9:19])) == 6500
    assert "    rho: low 0.002, high 0.2, scale uniform" in lines


def test_what_names_of_files_may_hold_is_shown_and_not_obeyed(tmp_path, terminal):
    name = "scan\x1b[2J\udcff\n.nii"  # clears a screen; a byte that is no text; a second line
    shown = r"scan\x1b[2J\udcff .nii"
    assert one_line(FileNotFoundError(f"no {name}")) == f"no {shown}"
    text = terminal(80)
    show({"file": name}, False)
    assert text() == "file: " + r"scan\x1b[2J\udcff\n.nii" + "\n"
    write_text(tmp_path / "page.html", f"<p>{name}</p>")
    assert r"\udcff" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "It is full", "/x/y"), ["/x/y: It is full", "free some"]),
        (OSError(errno.ENOSPC, "It is full"), ["It is full", "TMPDIR", "(GLIOQUERY_"]),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            ["/x/y: Perm", "name another"],
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "/x/y"),
            ["/x/y: Read-only", "name another"],
        ),
        (OSError(errno.EMFILE, "Too many open files"), ["Too many open files", "ulimit -n"]),
        (OSError(errno.ENOLCK, "No locks available", "/x/y"), ["/x/y: No locks", "flock"]),
        (OSError(errno.EIO, "Input/output error", "/x/y"), ["/x/y: Input/output error"]),
        (FileNotFoundError("there is no index:\nmake one"), ["there is no index: make one"]),
    ],
)
def test_an_error_of_the_system_names_path_cause_and_need(monkeypatch, error, told):
    monkeypatch.setenv("GLIOQUERY_CACHE", "/cache")
    line = one_line(error)
    assert "\n" not in line and "Errno" not in line
    assert all(part in line for part in told), line


def test_notices_and_steps_are_one_line_and_move_no_terminal(terminal):
    shown = terminal(80)
    print_notice("bad \x1b[2Jname\nsecond [red]")
    print_step("align \x1b[2J[red]")
    notice, step = shown().splitlines()
    assert r"bad \x1b[2Jname\nsecond [red]" in notice and r"align \x1b[2J[red]" in step


@pytest.mark.parametrize(("value", "text"), [(9999.4, "9999"), (9999.7, "10000"), (0.5, "0.5")])
def test_a_number_is_never_said_with_an_exponent_below_ten_thousand(value, text):
    assert said(value) == text
