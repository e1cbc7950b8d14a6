"""The error that is the user's to mend."""


class InputError(ValueError):
    """A file or option of the user's does not fit; the message is one line that says what to do."""
