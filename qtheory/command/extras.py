"""Say which extra of the package to install if a library that only an extra brings is missing."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

DISTRIBUTION = "qcontinuum"
EXTRAS = {"qtheory": "theory", "qtrain": "train", "figures": "figures"}
"""The extra that each command needs."""


def install_hint(module: str, program: str) -> str | None:
    """The command that installs a missing module, if an extra of this package brings it.

    Args:
        module: The name of a top-level module, for example `scipy`.
        program: The command, or the package, that needs it.

    Returns:
        The end of an error line, or None if no extra names the module.
    """
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return None
    for requirement in requirements:
        parts = re.fullmatch(r"([\w.-]+).*;\s*extra\s*==\s*['\"](\w+)['\"]", requirement)
        if parts and parts[1].replace("-", "_") == module:
            return f"pip install '{DISTRIBUTION}[{EXTRAS[program]}]'"
    return None


@contextmanager
def missing_extra_in_one_line(program: str) -> Iterator[None]:
    """End a command in one line and exit status 2 if an extra's library cannot be imported.

    Args:
        program: The command's name, which opens the line.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0]
        hint = install_hint(module, program)
        if hint is None:
            raise
        sys.stderr.write(f"{program}: {module} is not installed: {hint}\n")
        sys.exit(2)
