"""The one exception whose message is meant for the user: one line saying what, where and how to mend it."""

import difflib
import itertools
import os
from pathlib import Path


class UserError(Exception):
    """Bad input. The command line prints the message alone, without a traceback, and exits with status 2."""


def nearest_path(path: Path) -> Path | None:
    """What lies here under nearly the name of a path that does not, for the end of an error line.

    Each part of it may be mistyped, and `~` may have come through a shell unread. None where nothing is near.
    """
    try:
        if (home := path.expanduser()) != path:
            return home if os.path.lexists(home) else nearest_path(home)
        if os.path.lexists(path):
            return path
        folder = nearest_path(path.parent)
        if folder is None or path == path.parent:
            return None
        names = [other.name for other in itertools.islice(folder.iterdir(), 5_000)]
        near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    except (OSError, RuntimeError, ValueError):  # no home, a loop of links, a null byte
        return None
    return folder / near[0] if near else None
