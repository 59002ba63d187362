"""Load code that a configuration names: `module:object`, or a name that an installed package registers.

An installed package registers estimators and tasks by entry points of the groups below. `module:object` is imported as
Python would import it in the present folder. Only the person who starts a run names code: a run folder that names some
runs none of it when it is resumed, evaluated or exported, unless that is allowed explicitly (`--allow-code`).
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
"""Groups of entry points."""

_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class CodeRefused(UserError):
    """A run folder names code, and nobody has allowed that it runs."""


def is_code(name: str) -> bool:
    """Whether a name has the form `module:object`."""
    return _CODE.fullmatch(name) is not None


def refuse_code(key: str, name: str) -> CodeRefused:
    """The error for code that must not run."""
    return CodeRefused(
        f"{key}={name!r}: code that a run folder names is not run; if you trust it, allow it with --allow-code"
    )


def load(name: str, key: str) -> Any:
    """Import what `module:object` names.

    Args:
        name: As in `mine:Larger`; the object may be an attribute of an attribute.
        key: The setting that names it, for the error line.

    Raises:
        UserError: There is no such module or object, or the module cannot be imported. One line.
    """
    module_name, _, path = name.partition(":")
    # A console script does not look into the present folder, which is where users write their code. It comes last, so
    # that no file there takes the place of an installed module.
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
    """The entry points of a group by name."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def load_registered(group: str, name: str) -> Any:
    """Load what an installed package registers.

    Args:
        group: ESTIMATORS or TASKS.
        name: One of its entry points.

    Raises:
        UserError: It cannot be loaded.
    """
    point = registered(group)[name]
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        package = point.dist.name if point.dist is not None else "an installed package"
        raise UserError(f"{name!r}, which {package} registers as {point.value}: {describe(error)}") from None


def source_hash(name: str) -> str:
    """Sixteen hexadecimal digits that stand for the source of the module that `module:object` names, "" without any."""
    try:
        source = inspect.getsource(sys.modules[name.partition(":")[0]])
    except (KeyError, OSError, TypeError):  # an entry point, a notebook
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def describe(error: BaseException) -> str:
    """An exception of foreign code in one line: its type, message, and the file and line that raised it."""
    text = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        text = error.msg
    else:
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"
