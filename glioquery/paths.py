"""What public functions take for a path."""

import os
from typing import TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
