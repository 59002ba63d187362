"""Render figures as SVG, PDF and PNG at final size, with the same bytes at every run."""

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures.markdown import figure
from figures.registry import FIGURES, TABLES, FigureEntry
from figures.study_data import DATA
from qtheory.claims import CLAIMS
from qtheory.command.files import replace_file
from qtrain.errors import UserError

OUT = Path(__file__).parent / "out"
TABLES_OUT = Path(__file__).parents[1] / "docs" / "tables"
STYLE = Path(__file__).parent / "plots" / "qcontinuum.mplstyle"

METADATA = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def figure_files(names: Iterable[str], data: Path = DATA, kinds: Iterable[str] = tuple(METADATA)) -> dict[str, bytes]:
    """Figures as bytes by file name.

    Args:
        names: Figures in the registry.
        data: Folder of the data files.
        kinds: Kinds of files: svg, pdf, png.

    Raises:
        UserError: A data file is missing or malformed.
    """
    kinds = tuple(kinds)
    return {
        f"{name}.{kind}": content for name in names for kind, content in _rendered(FIGURES[name], data, kinds).items()
    }


def _rendered(entry: FigureEntry, data: Path, kinds: Iterable[str]) -> dict[str, bytes]:
    # Ignore the user's own settings, so that the bytes are the same on every machine.
    with mpl.rc_context(), warnings.catch_warnings(action="error"):
        mpl.rcdefaults()
        mpl.use("agg")
        plt.style.use(STYLE)
        drawn = entry.plot(entry.compute(data))
        _settle(drawn)
        files = {}
        for kind in kinds:
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=kind, metadata=METADATA[kind])
            files[kind] = buffer.getvalue()
        plt.close(drawn)
    return files


def _settle(drawn: Figure) -> None:
    """Round the panels' positions: their last bits vary with the layout solver, and SVG identifiers hash them."""
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")
    for axes in drawn.axes:
        left, bottom, width, height = (round(x, 5) for x in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))


def table_files(data: Path = DATA) -> dict[str, bytes]:
    """The files that the docs include, as bytes by name: tables, and figures with their captions.

    Args:
        data: Folder of the data files.

    Raises:
        UserError: A data file is missing or malformed.
    """
    files = {f"{name}.md": table(data) for name, table in TABLES.items()}
    for name, entry in FIGURES.items():
        labels = [claim.label for claim in CLAIMS.values() if claim.figure == name]
        files[f"figure_{name}.md"] = figure(name, entry.shows, entry.caption(entry.compute(data)), labels)
    return {name: f"{text}\n".encode() for name, text in files.items()}


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write files, each atomically.

    Args:
        files: Bytes by file name.
        folder: Created if it is missing.

    Raises:
        UserError: A file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            replace_file(folder / name, content)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}; choose another --out") from None
