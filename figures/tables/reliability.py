"""Table `reliability`: kills, malformed inputs and memory, from the file written by the harnesses in tests/qtrain."""

import json
from pathlib import Path
from typing import Any

from figures.markdown import table
from figures.study_data import DATA
from qtrain.errors import UserError


def reliability_table(folder: Path = DATA) -> str:
    """Three tables, each with its provenance.

    Raises:
        UserError: The data file is missing or malformed.
    """
    path = folder / "reliability.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        parts = [_kills(data["kills"]), _malformed(data["malformed"]["rows"]), _soak(data["soak"])]
        sources = [_source(data[name]["provenance"]) for name in ("kills", "malformed", "soak")]
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `make reliability` makes it") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read: {error!r}; `make reliability` makes it anew") from None
    return "\n\n".join(text for pair in zip(parts, sources, strict=True) for text in pair)


def _kills(part: dict[str, Any]) -> str:
    rows = [
        ["killed at a random moment", str(part["kills"]), str(part["identical"])],
        *([f"of these {place}", str(count), ""] for place, count in part["places"].items()),
        ["killed at one operation on a file each", str(part["operations"]), str(part["identical_after_operations"])],
    ]
    return table(["runs", "killed", "ended bit for bit as the one not killed"], rows)


def _malformed(rows: list[dict[str, Any]]) -> str:
    columns = ("cases", "one_line", "tracebacks", "left_something", "executed")
    cells = [[row["kind"], *(str(row[name]) for name in columns)] for row in rows]
    cells.append(["all", *(str(sum(row[name] for row in rows)) for name in columns)])
    heads = ["malformed", "cases", "one line and status 2", "tracebacks", "something left or changed", "code executed"]
    return table(heads, cells)


def _soak(part: dict[str, Any]) -> str:
    rows = [
        [f"resident memory at step {at}", f"{mib:.1f} MiB"] for at, mib in zip(part["step"], part["mib"], strict=True)
    ]
    rows.append(
        [f"slope, steps {part['steps'] // 2 + 1} to {part['steps']}", f"{part['slope']:+.2f} MiB a thousand steps"]
    )
    return table(["long run", "measured"], rows)


def _source(provenance: dict[str, Any]) -> str:
    libraries = ", ".join(
        f"{name} {version}" for name, version in provenance["libraries"].items() if name != "qcontinuum"
    )
    return (
        f"Data: `figures/data/reliability.json`, made by `{provenance['command']}` at commit `{provenance['commit']}` "
        f"({provenance['machine']}; Python {provenance['python']}, {libraries})."
    )
