"""Verifications as a table for the terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qtheory.claims.claim import Comparison, Verification

VERDICTS = {"holds": "holds", "conditional": "holds with a condition", "fails": "fails"}


def claims_table(verifications: Iterable[Verification], *, detail: bool = True) -> Table:
    """A row for each claim, readable at 80 columns.

    Args:
        verifications: Claims with their evidence.
        detail: Show every comparison, and not only those that are off and of each relation the one that comes
            closest to its bound.

    Returns:
        The table. A row whose evidence contradicts the verdict says so, and so does each comparison that is
        off.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("label\nverdict", min_width=11, max_width=13)
    table.add_column("statement\ncondition", ratio=2)
    table.add_column("measured, predicted", ratio=3)
    table.add_column("s", justify="right", no_wrap=True)
    for verification in verifications:
        claim = verification.claim
        verdict = Text(VERDICTS[claim.verdict], "green" if verification.agrees else "red")
        if not verification.agrees:
            verdict.append("\nCONTRADICTED", "bold red")
        statement = Text(claim.statement)
        if claim.condition is not None:
            statement.append(f"\nif {claim.condition}", "italic")
        comparisons = verification.evidence.comparisons
        shown = comparisons if detail else _closest(comparisons)
        lines = [_line(one) for one in shown]
        if len(shown) < len(comparisons):
            lines.append(Text(f'and {len(comparisons) - len(shown)} more: qtheory verify "{claim.label}"', "dim"))
        table.add_row(
            Text(f"{claim.label}\n", "bold").append_text(verdict),
            statement,
            Text("\n").join(lines),
            f"{verification.seconds:.1f}",
        )
    return table


def _closest(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that are off, and of each relation the one nearest to its bound, in their order."""

    def slack(one: Comparison) -> float:
        """The share of the bound that is left: what exceeds 0 counts for a bound of 0."""
        distance = float(one.distance[one.worst])
        nearest, farthest = sorted((distance, one.tolerance))
        return 1 - nearest / farthest if farthest > 0 else 1.0

    chosen = {
        id(min((one for one in comparisons if one.relation == relation), key=slack, default=None))
        for relation in ("=", "<=", "!=")
    }
    return [one for one in comparisons if id(one) in chosen or not one.agrees]


def _line(one: Comparison) -> Text:
    """The outcome at the entry on which it hangs, and the bound that its distance has to keep."""
    values = "1 value" if one.measured.size == 1 else f"{one.measured.size} values"
    sign, bound = {"=": ("=", "≤"), "<=": ("≤", "≤"), "!=": ("≠", ">")}[one.relation]
    line = Text(f"{one.what}: {one.measured[one.worst]:.6g} {sign} {one.predicted[one.worst]:.6g}")
    line.append(f" (off {one.distance[one.worst]:.2g} {bound} {one.tolerance:g} {one.kind}, {values})", "dim")
    if not one.agrees:
        line.append(" NOT SO", "bold red")
    return line
