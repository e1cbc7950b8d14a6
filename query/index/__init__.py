"""The index of a database's outlines: built, opened, mapped."""
