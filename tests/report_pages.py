"""Reports as their reader sees them."""

import re


def without_meanings(page):
    """A page's HTML without what its terms tell under the pointer."""
    return re.sub(r"</?abbr[^>]*>", "", page)
