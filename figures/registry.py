"""The figures and tables by name. To add one: a file here, and one entry below."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from figures import cold_start, escape_exponents, learning_rates
from figures.escape_table import escape_table
from figures.estimator_table import estimator_table
from figures.rate_table import learning_rate_table
from figures.success_table import adam_alike_table, adam_conflict_table, cold_start_table


@dataclass(frozen=True)
class FigureEntry:
    """A figure and what can be said of it without making it.

    Attributes:
        shows: What it shows, one line; also the text for those who cannot see it.
        studies: Data files it is made from: `qtrain study NAME` makes each.
        compute: Data folder to data.
        plot: Data to figure.
        caption: Data to caption.
    """

    shows: str
    studies: tuple[str, ...]
    compute: Callable[[Path], Any]
    plot: Callable[[Any], Figure]
    caption: Callable[[Any], str]


FIGURES: Mapping[str, FigureEntry] = {
    "cold_start": FigureEntry(
        "Success against training step: the cold start under one learning rate, and two cases under Adam",
        ("cold_start", "adam_conflict", "adam_alike"),
        cold_start.compute,
        cold_start.plot,
        cold_start.caption,
    ),
    "learning_rates": FigureEntry(
        "Success at the end against learning rate for each estimator, and at the best rate of each",
        ("learning_rates", "best_learning_rates"),
        learning_rates.compute,
        learning_rates.plot,
        learning_rates.caption,
    ),
    "escape_exponents": FigureEntry(
        "Escape steps against the initial success probability with fitted power laws, and the score norm on the way",
        ("escape_exponents",),
        escape_exponents.compute,
        escape_exponents.plot,
        escape_exponents.caption,
    ),
}

TABLES: Mapping[str, Callable[[Path], str]] = {
    "cold_start": cold_start_table,
    "adam_conflict": adam_conflict_table,
    "adam_alike": adam_alike_table,
    "learning_rates": learning_rate_table,
    "escape_exponents": escape_table,
    "estimators": estimator_table,
}
