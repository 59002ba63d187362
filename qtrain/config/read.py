"""Read a configuration from TOML or JSON, with `key=value` overrides as they are typed in a shell."""

import datetime
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from qtheory.estimators import ESTIMATORS
from qtrain.config.estimator import EstimatorChoice
from qtrain.config.tables import Config, check_config, set_dotted
from qtrain.errors import UserError, nearest_path

SHIPPED = Path(__file__).parents[1] / "configs"
"""Folder of the configurations that come with the package."""


def read_config(path: Path, overrides: tuple[str, ...] = (), *, allow_code: bool = False) -> Config:
    r"""Read a TOML (or a run folder's JSON) configuration.

    Args:
        path: The file.
        overrides: `key=value` strings with dotted keys. The value is read as TOML. A value that is not TOML is text:
            white space at its ends is kept, and the escapes \n, \t and \r (and no others) are replaced.
        allow_code: Whether code that a JSON file names as module:object may run. Code named by a TOML file always
            may. Run folders hold JSON, and whoever evaluates another person's run has not chosen its code.

    Raises:
        UserError: One line that names the file, the key, the mistake and the nearest valid name.
    """
    try:
        # Some editors put a byte-order mark at the start of a file.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = nearest_path(path)
        hint = f"did you mean {str(near)!r}? " if near is not None else ""
        raise UserError(f"{path}: no such configuration; {hint}shipped ones: {_shipped()}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; {_configurations_in(path)}") from None
    except (OSError, ValueError) as error:  # a null byte in a name is a ValueError
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        table = json.loads(text) if kind == "JSON" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a bare ValueError: a number of thousands of digits
        raise UserError(f"{path}: not valid {kind}: {error}") from None
    if not isinstance(table, dict):
        raise UserError(f"{path}: a table of settings is needed, not a {type(table).__name__}")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise UserError(f"override {override!r}: write key=value, for example optimizer.lr=1e-3")
        set_dotted(table, key.strip(), _value(value))
    return check_config(table, str(path), code_allowed=allow_code or kind == "TOML")


def _value(text: str) -> Any:
    """Parse a value typed in a shell: as TOML, or else as text with escaped line breaks and tabs."""
    if text.strip().lower() in {"none", "null"}:
        return None
    number = text.strip()
    # TOML needs a digit before the point, but people type `.75`.
    try:
        table = tomllib.loads(f"v = {'0' + number if number.startswith('.') else number}")
    except tomllib.TOMLDecodeError:
        table = {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"override with the value {text[:20]!r}...: not valid TOML: {error}") from None
    # Text of several lines may define more keys than v. No setting is a date, but a folder's name may look like one.
    if list(table) == ["v"] and not isinstance(table["v"], datetime.date | datetime.time):
        return table["v"]
    return _ESCAPES.sub(lambda match: _ESCAPED[match[0]], text)


_ESCAPED = {r"\n": "\n", r"\t": "\t", r"\r": "\r"}
_ESCAPES = re.compile(r"(?<!\\)\\[ntr]")
"""Escapes that a shell passes on as two characters. No others are replaced, so that regular expressions are kept."""


def _configurations_in(folder: Path) -> str:
    """A hint at the configurations in a folder that was given instead of a file."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".toml", ".json"})
    first = next((path for path in paths if path.name == "config.json"), paths[0] if paths else None)
    return f"did you mean {str(first)!r}?" if first else f"give a file; shipped ones: {_shipped()}"


def _shipped() -> str:
    return ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def check_estimator(text: str) -> EstimatorChoice:
    """Read an estimator from the command line (`garl:q=.25`).

    Raises:
        UserError: It is not a known estimator with valid parameters.
    """
    try:
        return EstimatorChoice.parse(text)
    except ValueError as error:
        raise UserError(f"--estimator {text!r}: {error}; registered: {', '.join(ESTIMATORS)}") from None
