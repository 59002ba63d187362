"""Table `report_speed`: time that a browser takes for a long report, from the command's file."""

import json
from pathlib import Path

from figures.markdown import table
from figures.study_data import DATA
from qtrain.errors import UserError

COMMAND = "python tests/qtrain/report_speed.py --json figures/data/report_speed.json"
ROWS = {
    "until all curves are drawn, in a browser that runs": "load",
    "until all curves are drawn, the browser's first page": "first_load",
    "to hide or show an estimator": "toggle",
    "to write the page, on one core": "written",
}


def report_speed_table(folder: Path = DATA) -> str:
    """Seconds by kind of wait.

    Raises:
        UserError: The data file is missing or malformed.
    """
    path = folder / "report_speed.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = [[label, f"{data[name]:.2f}"] for label, name in ROWS.items()]
        what = f"{data['runs']} runs of {data['steps']:,} steps with {data['metrics']} numbers a step"
        machine = ", ".join(f"{key} {value}" for key, value in data["machine"].items())
        note = (
            f"A page of {what}, {data['megabytes']} MB. Data: `figures/data/report_speed.json`, made by `{COMMAND}`. "
            f"Load and toggle are medians of {data['repeats']} repeats; {machine}."
        )
    except FileNotFoundError:
        raise UserError(f"{path}: missing; `{COMMAND}` makes it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read: {error}; `{COMMAND}` makes it anew") from None
    return "\n\n".join([table(["waiting", "seconds"], rows), note])
