"""Write Markdown for the docs: tables, provenance of data, figures with their captions."""

import re
from collections.abc import Sequence

from figures.study_data import Study
from qtheory.claims.page import anchor

_BAR = r"\|"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A table whose first column is aligned left.

    Args:
        columns: Headings.
        rows: Cells, as many per row as columns.
        numbers: Whether the other columns hold numbers and are aligned right.
    """
    lines = [columns, [":---" if numbers else "---", *["---:" if numbers else "---"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', _BAR) for cell in line)} |" for line in lines)


def provenance(study: Study) -> str:
    """A line that names the command, commit, machine and libraries of a study's data."""
    origin = study.provenance
    # Data files store the command as it was called at the time; the docs show today's name of it.
    command = re.sub(r"^(__main__\.py|python -m qtrain|qtrain) study ", "python -m figures run ", origin.command)
    libraries = ", ".join(f"{name} {version}" for name, version in origin.libraries.items() if name != "qcontinuum")
    hours = sum(row.seconds for row in study.rows) / 3600
    return (
        f"Data: `figures/data/{study.study}.json`, made by `{command}` at commit `{origin.commit}` "
        f"({len(study.rows)} runs, {hours:.1f} hours of one core; {origin.machine}; "
        f"Python {origin.python}, {libraries})."
    )


def figure(name: str, shows: str, caption: str, claims: Sequence[str] = ()) -> str:
    """A figure directive with its caption, for a page at the top of docs/.

    Args:
        name: The figure.
        shows: Alternative text.
        caption: Its caption.
        claims: Labels of the claims that it illustrates, which become links to their evidence.
    """
    options = f":alt: {shows}\n:name: figure-{name.replace('_', '-')}"
    links = ", ".join(f"[{label}](#{anchor(label)})" for label in claims)
    backs = f" Evidence: {links}." if claims else ""
    return f":::{{figure}} ../figures/out/{name}.svg\n{options}\n\n{caption}{backs}\n:::"
