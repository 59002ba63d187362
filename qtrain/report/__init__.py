"""The command `qtrain report`: read run folders, write one self-contained HTML page and a picture of its curves."""

import sys
from pathlib import Path

from qtheory.command.files import replace_file
from qtrain.errors import UserError
from qtrain.report.overview import overview_png
from qtrain.report.page import render_page
from qtrain.report.records import read_section
from qtrain.runs.folder import environment

PAGE_ENDINGS = (".html", ".htm")


def report_command(runs: tuple[Path, ...], output: Path) -> None:
    """Write the page, and `<stem>.png` beside it with the curves of all sections.

    Args:
        runs: Comparisons or single runs, one section each in this order.
        output: The page; an existing one is replaced. Nothing is written unless all runs can be read and drawn.

    Raises:
        UserError: A folder holds no finished run or comparison, or the page cannot be written.
    """
    if not runs:
        raise UserError("report: no run given; name folders that `qtrain compare` or `qtrain train` wrote")
    if output.suffix.lower() not in PAGE_ENDINGS:
        raise UserError(f"--output {output}: is an HTML page; end its name in .html")
    if not output.parent.is_dir():
        raise UserError(f"--output {output}: no folder {output.parent}; make it first")
    if output.is_dir():
        raise UserError(f"--output {output}: is a folder; name a file in it")
    sections = [read_section(folder) for folder in runs]
    page, picture = render_page(sections, environment()["command"]), overview_png(sections)
    _replace(output.with_suffix(".png"), picture)
    _replace(output, page.encode())
    sys.stdout.write(f"{output}\n")


def _replace(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
