"""Writes what the reliability harnesses measured into one data file, each harness its part."""

import json
import sys
from pathlib import Path
from typing import Any

from qtrain.runs.folder import environment, write_json


def write_part(path: Path, part: str, content: dict[str, Any]) -> None:
    """Replace one part of a data file and keep the others.

    Args:
        path: The file, made where it is missing.
        part: kills, malformed or soak.
        content: Plain JSON values; what made them is added.
    """
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made = environment()
    made["command"] = " ".join(["python", "tests/qtrain/" + Path(sys.argv[0]).name, *sys.argv[1:]])
    write_json(path, {**data, part: {"provenance": made, **content}})
