"""The paper's tables and figures as data: their cells and reported numbers.

Numbers are percentages of arXiv 2604.25907. A collapsed cell (* in the paper) is the peak before a fall to zero.
"""

from dataclasses import dataclass
from typing import Literal

from figures.paper.cells import Cell, Data, Start

Kind = Literal["table", "training curve", "validation curve"]
"""A table reports test scores of the best checkpoint; a figure shows max c_m/M^q, or maj@16, against the step."""


@dataclass(frozen=True)
class Entry:
    """A cell of a table with the paper's report.

    Attributes:
        cell: The cell to run.
        p_at_1: Reported p@1 in percent, None if not reported.
        p_at_16: Reported p@16 in percent, None if not reported.
        maj_at_16: Reported maj@16 in percent, None if not reported.
        collapsed: Whether the paper marks it with *.
        remark: For a figure, the paper's description of the curve.
    """

    cell: Cell
    p_at_1: float | None = None
    p_at_16: float | None = None
    maj_at_16: float | None = None
    collapsed: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table or a figure of the paper."""

    title: str
    kind: Kind
    entries: tuple[Entry, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its cells in order."""
        return tuple(entry.cell for entry in self.entries)


GRPO = "grpo"


def garl(q: float) -> str:
    """GARL with the factor 1/M^q of Algorithm 1."""
    return f"garl:normalize=true,q={q:g}"


def paft(q: float) -> str:
    """PAFT with the factor 1/M^q of Algorithm 2, and K = M."""
    return f"paft:normalize=true,q={q:g}"


def _scores(data: Data, start: Start, estimator: str, p_at_1: float, p_at_16: float, maj_at_16: float) -> Entry:
    return Entry(Cell(data, start, estimator), p_at_1, p_at_16, maj_at_16)


def _warm(data: Data, estimator: str | None, maj_at_16: float, *, collapsed: bool = False) -> Entry:
    return Entry(Cell(data, "warm", estimator), maj_at_16=maj_at_16, collapsed=collapsed)


TABLES: dict[str, Table] = {
    "table1": Table(
        "Table 1: FinQA, cold start",
        "table",
        (
            _scores("finqa", "cold", GRPO, 0, 0, 0),
            _scores("finqa", "cold", garl(0), 0, 0, 0),
            _scores("finqa", "cold", garl(0.25), 0, 0, 0),
            _scores("finqa", "cold", garl(0.5), 0, 0, 0),
            _scores("finqa", "cold", garl(0.75), 30.5, 61.1, 38.3),
            _scores("finqa", "cold", garl(1), 21.9, 58.7, 33.5),
        ),
    ),
    "table2": Table(
        "Table 2: GARL from a cold start against GRPO from a warm one",
        "table",
        (
            _scores("finqa", "warm", GRPO, 18.9, 48.4, 26.9),
            _scores("finqa", "cold", garl(0.75), 30.5, 61.1, 38.3),
            _scores("finqa", "cold", garl(1), 21.9, 58.7, 33.5),
            _scores("hotpotqa", "warm", GRPO, 29.1, 55.1, 33.5),
            _scores("hotpotqa", "cold", garl(0.75), 53.5, 74.1, 57.2),
            _scores("hotpotqa", "cold", garl(1), 48.7, 75.5, 56.6),
            _scores("musique", "warm", GRPO, 13.6, 37.3, 15.8),
            _scores("musique", "cold", garl(0.75), 26.8, 58.9, 34.8),
            _scores("musique", "cold", garl(1), 21.6, 58.1, 32.5),
        ),
    ),
    "table3": Table(
        "Table 3: warm start",
        "table",
        (
            _warm("finqa", None, 12.6),
            _warm("finqa", GRPO, 26.9),
            _warm("finqa", garl(0), 38.3),
            _warm("finqa", garl(0.25), 38.7),
            _warm("finqa", garl(0.75), 37.6),
            _warm("finqa", paft(0.25), 26.6),
            _warm("finqa", paft(0.75), 28.6),
            _warm("hotpotqa", None, 22.2),
            _warm("hotpotqa", GRPO, 33.5),
            _warm("hotpotqa", garl(0), 21.6, collapsed=True),
            _warm("hotpotqa", garl(0.25), 22.9, collapsed=True),
            _warm("hotpotqa", garl(0.75), 46.8, collapsed=True),
            _warm("hotpotqa", paft(0.25), 47.0),
            _warm("hotpotqa", paft(0.75), 47.9),
            _warm("musique", None, 8.9),
            _warm("musique", GRPO, 15.8),
            _warm("musique", garl(0), 9.1, collapsed=True),
            _warm("musique", garl(0.25), 24.3, collapsed=True),
            _warm("musique", garl(0.75), 19.7, collapsed=True),
            _warm("musique", paft(0.25), 9.0),
            _warm("musique", paft(0.75), 22.4),
        ),
    ),
    "fig3": Table(
        "Figure 3: max c_m/M^q against the step, FinQA, cold start",
        "training curve",
        (
            Entry(Cell("finqa", "cold", garl(0)), remark="stays flat"),
            Entry(Cell("finqa", "cold", garl(0.25)), remark="stays flat"),
            Entry(Cell("finqa", "cold", garl(0.5)), remark="stays flat"),
            Entry(Cell("finqa", "cold", garl(0.75)), remark="rises near step 35"),
            Entry(Cell("finqa", "cold", garl(1)), remark="rises at once"),
        ),
    ),
    "fig4": Table(
        "Figure 4: maj@16 against the step, HotPotQA, warm start, q = .25",
        "validation curve",
        (
            Entry(Cell("hotpotqa", "warm", garl(0.25)), remark="peaks at step 50 (30.6), zero by step 100"),
            Entry(Cell("hotpotqa", "warm", paft(0.25)), remark="stays stable, 53.6"),
        ),
    ),
}
"""Tables and figures by their name in `python -m figures paper`."""


def home(cell: Cell) -> str:
    """The first table with the cell: its run folder is in that table's folder, and other tables read it there."""
    return next(name for name, table in TABLES.items() if cell in table.cells)
