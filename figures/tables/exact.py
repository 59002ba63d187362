"""Tables `exact_accuracy` and `exact_speed`: accuracy and speed of the exact moments, from the commands' files."""

import json
from pathlib import Path
from typing import Any

from figures.markdown import table
from figures.study_data import DATA
from qtrain.errors import UserError

COMMANDS = {"exact_accuracy": "python -m figures accuracy", "exact_speed": "python -m figures speed"}
"""Commands that make each data file, with --json figures/data/NAME.json."""


def exact_accuracy_table(folder: Path = DATA) -> str:
    """The largest errors by form.

    Raises:
        UserError: The data file is missing or malformed.
    """
    names = ("mean", "bias", "variance", "second_moment")
    rows = [
        [row["form"], str(row["cells"]), *(f"{row[name]:.1e}" for name in names)]
        for row in _read("exact_accuracy", folder)["rows"]
    ]
    return "\n\n".join(
        [table(["form", "cells", *(name.replace("_", " ") for name in names)], rows), _source("exact_accuracy")]
    )


def exact_speed_table(folder: Path = DATA) -> str:
    """Cells a second, and simulation at equal accuracy.

    Raises:
        UserError: The data file is missing or malformed.
    """
    data = _read("exact_speed", folder)
    heads = ["moments of", "cells a second", "seconds a cell by simulation, to 1e-3", "times as long", "to 1e-12"]
    rows = [
        [
            row["what"],
            f"{row['cells_per_second']:.2g}",
            f"{row['equal_seconds'][0]:.2g}",
            *(f"{x:.2g}" for x in row["ratio"]),
        ]
        for row in data["rows"]
    ]
    machine = ", ".join(f"{key} {value}" for key, value in data["machine"].items())
    return "\n\n".join(
        [table(heads, rows), f"{_source('exact_speed')} Medians of {data['repeats']} repeats; {machine}."]
    )


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not data["rows"] or data.get("quick"):
            raise UserError(f"{path}: holds a quick run; `{COMMANDS[name]} --json {path}` makes the full one")
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `{COMMANDS[name]} --json {path}` makes it") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read: {error}; `{COMMANDS[name]} --json {path}` makes it anew") from None
    return data


def _source(name: str) -> str:
    return f"Data: `figures/data/{name}.json`, made by `{COMMANDS[name]} --json figures/data/{name}.json`."
