"""What stands in for the further files of a virtual patient, and what their headers hold."""

ANOTHER_ROLE = {"flair": "t1", "t1c": "t1", "recurrence": "seg"}
"""Which file a further one is a copy of."""

SECRET = b"born 1961"
"""In the free text of every header."""
