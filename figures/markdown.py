"""Markdown as the docs include it: tables, where data came from, figures with their captions."""

import re
from collections.abc import Sequence

from figures.study_data import Study
from qtheory.claims.page import anchor

_BAR = r"\|"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A table whose first column is aligned left.

    Args:
        columns: Headings.
        rows: Cells, as many a row as columns.
        numbers: Whether the other columns hold numbers and are aligned right.
    """
    lines = [columns, [":---" if numbers else "---", *["---:" if numbers else "---"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', _BAR) for cell in line)} |" for line in lines)


def provenance(study: Study) -> str:
    """A line on what made a study's data."""
    made = study.provenance
    # Data files keep the command as it was called then; shown is what makes them today.
    command = re.sub(r"^(__main__\.py|python -m qtrain|qtrain) study ", "python -m figures run ", made.command)
    libraries = ", ".join(f"{name} {version}" for name, version in made.libraries.items() if name != "qcontinuum")
    hours = sum(row.seconds for row in study.rows) / 3600
    return (
        f"Data: `figures/data/{study.study}.json`, made by `{command}` at commit `{made.commit}` "
        f"({len(study.rows)} runs, {hours:.1f} hours of one core; {made.machine}; Python {made.python}, {libraries})."
    )


def figure(name: str, shows: str, caption: str, claims: Sequence[str] = ()) -> str:
    """A figure directive with its caption, for a page at the top of docs/.

    Args:
        name: The figure.
        shows: What it shows, for those who cannot see it.
        caption: Its caption.
        claims: Labels of the claims that it shows at work, which become links to their evidence.
    """
    options = f":alt: {shows}\n:name: figure-{name.replace('_', '-')}"
    links = ", ".join(f"[{label}](#{anchor(label)})" for label in claims)
    backs = f" Evidence: {links}." if claims else ""
    return f":::{{figure}} ../figures/out/{name}.svg\n{options}\n\n{caption}{backs}\n:::"
