"""Opening an index before a person's eyes."""

from __future__ import annotations

import functools

from ...query.index import opening
from ..terminal.printing import print_notice
from ..terminal.progress import progress_bar

open_index = functools.partial(opening.open_index, bars=progress_bar, tell=print_notice)
"""`query.index.opening.open_index`, whose build and whose notices are shown."""
