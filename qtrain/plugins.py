"""Load the code that a configuration names, as `module:object` or by the name of an entry point.

Installed packages register estimators and tasks as entry points of the groups below. `module:object` is imported as
Python would import it in the current folder. Only the person who starts a run may name code: code named by a run folder
is not run when the run is resumed, evaluated or exported, unless that is allowed explicitly (`--allow-code`).
"""

import difflib
import hashlib
import importlib
import inspect
import re
import sys
import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from qtheory.command.names import did_you_mean
from qtrain.errors import UserError

ESTIMATORS, TASKS = "qcontinuum.estimators", "qcontinuum.tasks"
"""Entry point groups."""

_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class CodeRefused(UserError):
    """A run folder names code that the user has not allowed to run."""


def is_code(name: str) -> bool:
    """True if a name has the form `module:object`."""
    return _CODE.fullmatch(name) is not None


def refuse_code(key: str, name: str) -> CodeRefused:
    """Make the error for code that is not allowed to run."""
    return CodeRefused(
        f"{key}={name!r}: code that a run folder names is not run; if you trust it, allow it with --allow-code, "
        f"or in a command without this option copy the settings into a TOML file"
    )


def load(name: str, key: str) -> Any:
    """Import an object by its `module:object` name.

    Args:
        name: For example `mine:Larger`. The object may be a nested attribute, as in `mine:tasks.Larger`.
        key: The setting that holds the name, for the error message.

    Raises:
        UserError: The module or the object does not exist, or the module cannot be imported.
    """
    module_name, _, path = name.partition(":")
    # A console script does not search the current folder, where users keep their code. The folder is appended at the
    # end, so that none of its files shadows an installed module.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    where = f"{key}={name!r}"
    try:
        value = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"{where}: {describe(error)}") from None
        near = difflib.get_close_matches(module_name, [file.stem for file in Path.cwd().glob("*.py")], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "put it in this folder, or install it"
        raise UserError(f"{where}: no module named {error.name!r}; {hint}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: {describe(error)}") from None
    for attribute in path.split("."):
        if not hasattr(value, attribute):
            names = [name for name in vars(value) if not name.startswith("_")]
            raise UserError(f"{where}: {module_name} has no {attribute!r}; {did_you_mean(attribute, names)}")
        value = getattr(value, attribute)
    return value


def registered(group: str) -> dict[str, EntryPoint]:
    """List the entry points of a group by name."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def load_registered(group: str, name: str) -> Any:
    """Load the object that an installed package registers.

    Args:
        group: ESTIMATORS or TASKS.
        name: Name of an entry point of that group.

    Raises:
        UserError: The entry point cannot be loaded.
    """
    point = registered(group)[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        package = point.dist.name if point.dist is not None else "an installed package"
        raise UserError(f"{name!r}, which {package} registers as {point.value}: {describe(error)}") from None


def source_hash(name: str) -> str:
    """Hash the source of the module in a `module:object` name: 16 hexadecimal digits, or "" if there is no source."""
    try:
        source = inspect.getsource(sys.modules[name.partition(":")[0]])
    except (KeyError, OSError, TypeError):  # an entry point, a notebook
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def describe(error: BaseException) -> str:
    """Describe an exception of a user's code in one line: type, message, and the file and line that raised it."""
    text = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        text = error.msg
    else:
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"
