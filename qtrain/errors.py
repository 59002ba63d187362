"""The exception for bad input, and the nearest existing path for its message."""

import difflib
import itertools
import os
from pathlib import Path


class UserError(Exception):
    """Bad input. Its message is one line that says what is wrong, where, and how to mend it.

    The command line prints the message without a traceback and exits with status 2.
    """


def nearest_path(path: Path) -> Path | None:
    """Find an existing path whose name is close to a missing one, to suggest it in an error message.

    Any part of the path may be mistyped, and a `~` that the shell has not expanded is expanded here. None if no name
    is close.
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
    except (OSError, RuntimeError, ValueError):  # no home folder, a loop of symbolic links, a null byte
        return None
    return folder / near[0] if near else None
