"""The errors that a person meets, and the one line that each prints.

Behind a `GlioqueryError` stands a file, an option or a machine. Its message says what was expected,
what came and what to do. Any other exception is a bug.
"""

from __future__ import annotations

import errno
import tempfile
import traceback
from typing import ClassVar

from .cache import CACHE_VARIABLE, cache_folder

FULL = (errno.ENOSPC, errno.EDQUOT)

NEEDS = {
    **dict.fromkeys(FULL, "free some space there, or name another folder"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "change its permissions, or name another",
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files with `ulimit -n`"),
    **dict.fromkeys((errno.ENOLCK, errno.ENOTSUP), "it takes a file system with locks (flock)"),
}
"""The remedy for errors of the operating system."""


class GlioqueryError(Exception):
    """An error that is no bug; the message is one line that says what to do.

    Attributes
    ----------
    exit_code : int
        What a command ends with: 2 for bad input, 1 for work that failed.
    """

    exit_code: ClassVar[int] = 1


class InputError(GlioqueryError, ValueError):
    """A file, an option or an argument does not fit."""

    exit_code = 2


class MissingError(InputError, FileNotFoundError):
    """Something that has to be made first is missing."""


class ExtraError(InputError, ImportError):
    """An optional dependency is not installed."""


class FailedError(GlioqueryError, RuntimeError):
    """The request was right, but the work failed: no space, a dead process, no usable answer."""


def one_line(error: BaseException) -> str:
    """An error's message on one line; for the operating system's errors, path, cause and remedy."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        text = error.strerror or text
        if error.filename is not None:
            text = f"{error.filename}: {text}"
        need = NEEDS.get(error.errno)
        if error.errno in FULL and error.filename is None:
            folders = f"temporary files (TMPDIR, now {tempfile.gettempdir()})"
            cache = cache_folder()
            if cache is not None:
                folders += f", or the cache ({CACHE_VARIABLE}, now {cache})"
            need = f"free some space where the results lie, or for the {folders}"
        text += f": {need}" if need else ""
    return visible(" ".join(text.split())) or type(error).__name__


def visible(text: str) -> str:
    """Text whose control characters and surrogates, which file names may hold, are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_bug(error: BaseException) -> bool:
    """Whether an error is neither one of this package's nor the operating system's own."""
    if isinstance(error, OSError) and error.errno is not None:
        return False
    return not isinstance(error, GlioqueryError)


def exit_code_of(error: BaseException) -> int:
    """What a command ends with: 2 for bad input, 1 for failed work and for bugs."""
    if isinstance(error, GlioqueryError):
        return error.exit_code
    is_misnamed = isinstance(error, FileNotFoundError | FileExistsError) and not is_bug(error)
    return 2 if is_misnamed else 1


def explained(error: BaseException) -> str:
    """The one line to print for an error; for a bug, it names a file with the traceback.

    The file is made in the folder of temporary files, under a new name, for its owner alone.
    """
    if not is_bug(error):
        return one_line(error)
    told = visible(" ".join(traceback.format_exception_only(error)[-1].split()))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="glioquery-", suffix=".txt", encoding="utf-8", errors="backslashreplace",
            delete=False,
        ) as file:  # fmt: skip
            file.writelines(traceback.format_exception(error))
    except OSError as refusal:
        return f"unexpected {told} (no traceback is kept: {one_line(refusal)})"
    return f"unexpected {told} (please report it, with the traceback in {file.name})"
