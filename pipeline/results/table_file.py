"""A table of text, as spreadsheet programs, statistics packages and BIDS tools write it.

Their differences change nothing: commas, semicolons or tabs; UTF-8 with or without a mark, UTF-16
with one; any line end; empty rows and columns; lines of comment. Cells stay text: the caller
decides what `57,3` or `n/a` means. pandas and `csv.Sniffer` examine more of a file and still miss
heads after a mark or a comment.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError

SEPARATORS = ",;\t"
"""Possible separators: the one that yields the most known heads is used, the first on a tie."""

COMMENT = "#"

MOST_BYTES = 64 * 2**20
"""Largest size of a table; a hundred thousand patients take a tenth."""

OTHER_FILES = {
    b"PK\x03\x04": "a workbook (.xlsx, .ods) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls)",
    b"\x1f\x8b": "a file compressed by gzip",
}
"""Kind of a file by its first bytes."""

SHOWN_FAULTS = 10


@dataclass(frozen=True)
class TableFile:
    """Rows of text under heads.

    Attributes
    ----------
    heads : tuple of str
        Known ones as the reader knows them, others as the file has them; each once.
    rows : tuple of (int, mapping of str to str)
        The line on which a row ends, and its cells by head, without blanks around them.
    notices : tuple of str
        Notices about parts of the file that were left out or assumed.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]
    notices: tuple[str, ...]


def read_table(path: Path, known: Collection[str], name: str) -> TableFile:
    """Read a table; empty rows and columns are left out.

    Parameters
    ----------
    path : Path
    known : collection of str
        Heads to recognise, in lower case with underscores, however the file writes them (`Seg`,
        `Brain mask`, `brain-mask`).
    name : str
        Begins the messages.

    Returns
    -------
    TableFile

    Raises
    ------
    InputError
        If the file is no table, a head occurs twice, or a row has another length than the head; the
        message gives the lines of the file.
    """
    text, notices = _read_text(path, name)
    lines = io.StringIO(text, newline=None).readlines()  # whatever ends a line, as "\n"
    start = next((i for i, line in enumerate(lines) if _is_head(line)), len(lines))
    separator = max(SEPARATORS, key=lambda s: len(_known(_first_row(lines[start:], s), known)))
    kept, n_comments = _without_comments(lines[start:])
    reader = csv.reader(kept, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        found = [(start + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        where = start + reader.line_num
        raise InputError(f"{name}: line {where} cannot be read as a table's ({error})") from None
    filled = [(line, cells) for line, cells in found if any(cells)]
    rows = [(line, cells) for line, cells in filled if not cells[0].startswith(COMMENT)]
    n_comments += len(filled) - len(rows)
    if n_comments:
        notices.append(f"{n_comments} rows below the head begin with {COMMENT} and are left out.")
    heads = [_as_known(head, known) for head in (rows.pop(0)[1] if rows else [])]
    _require_equal_lengths(heads, rows, name)
    nameless = [
        i + 1
        for i, head in enumerate(heads)
        if not head and any(cells[i] for _, cells in rows if i < len(cells))
    ]
    if nameless:
        notices.append(f"Columns without a head are left out: {', '.join(map(str, nameless))}.")
    named = [head for head in heads if head]
    twice = [head for head in named if named.count(head) > 1]
    if twice:
        raise InputError(f"{name}: the column {twice[0]!r} occurs twice")
    return TableFile(
        tuple(named),
        tuple(
            (line, {head: cell for head, cell in zip(heads, cells, strict=False) if head})
            for line, cells in rows
        ),
        tuple(notices),
    )


def listed(faults: Sequence[str]) -> str:
    """Faults on one line; of many, the first."""
    more = len(faults) - SHOWN_FAULTS
    return "; ".join(faults[:SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")


def _read_text(path: Path, name: str) -> tuple[str, list[str]]:
    """A file's text, and notices about its encoding."""
    if path.is_dir():
        raise InputError(
            f"{name}: expected a table, got a folder; name the file in it (a database comes before "
            "the table)"
        )
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check the path") from None
    kind = next((what for start, what in OTHER_FILES.items() if data.startswith(start)), None)
    if kind is not None:
        raise InputError(f"{name}: expected a table of text, got {kind}; save it as CSV (UTF-8)")
    if len(data) > MOST_BYTES:
        raise InputError(f"{name}: expected a table, got more than {MOST_BYTES >> 20} MB")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    notices = []
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        try:
            text = data.decode("utf-16" if wide else "cp1252")
        except UnicodeDecodeError:
            raise InputError(
                f"{name}: cannot be read as text ({error.reason} at byte {error.start}); save it "
                "as CSV (UTF-8)"
            ) from None
        notices.append(
            "The table is not UTF-8; it was read as Windows-1252, which spreadsheet programs of "
            "western languages write. If letters look wrong, save it as CSV (UTF-8)."
        )
    if "\0" in text:
        raise InputError(
            f"{name}: expected a table of text, got binary data, or UTF-16 without its mark; save "
            "it as CSV (UTF-8)"
        )
    return text, notices


def _is_head(line: str) -> bool:
    """Whether a line says something that is neither a comment nor Excel's `sep=;`."""
    said = line.strip(SEPARATORS + '" \n')
    return bool(said) and not said.lower().startswith((COMMENT, "sep="))


def _without_comments(lines: Sequence[str]) -> tuple[list[str], int]:
    """The lines with those of comment made empty, and the number of these.

    A comment may hold any quotes. A line inside a quoted cell is none.
    """
    kept, n, is_open = [], 0, False
    for line in lines:
        if not is_open and line.lstrip().startswith(COMMENT):
            kept.append("\n")
            n += 1
        else:
            kept.append(line)
            is_open ^= line.count('"') % 2 == 1
    return kept, n


def _first_row(lines: Sequence[str], separator: str) -> list[str]:
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return next(reader, [])
    except csv.Error:  # quotes that are none with this separator
        return []


def _known(heads: Sequence[str], known: Collection[str]) -> set[str]:
    return {_as_known(head, known) for head in heads} & set(known)


def _as_known(head: str, known: Collection[str]) -> str:
    plain = re.sub(r"[\s-]+", "_", head.strip()).lower()
    return plain if plain in known else head.strip()


def _require_equal_lengths(
    heads: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], name: str
) -> None:
    """Refuse rows with cells beyond the head, unless they are empty, or with too few."""
    faults = [
        f"line {line}: expected {len(heads)} cells, as in the head, got {len(cells)}"
        for line, cells in rows
        if len(cells) < len(heads) or any(cells[len(heads) :])
    ]
    if faults:
        raise InputError(f"{name}: {listed(faults)}; a cell that holds the separator needs quotes")
