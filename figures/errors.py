"""The exception whose message is meant for the user: one line saying what, where and how to mend it."""


class DataError(ValueError):
    """A data file is missing or not what it should be. The command line prints the message and exits with status 2."""
