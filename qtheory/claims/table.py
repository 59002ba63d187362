"""Format verifications as a table for the terminal."""

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
        detail: Show every comparison; otherwise those that disagree and, of each relation, the one closest to its
            bound.

    Returns:
        The table. Rows whose evidence contradicts the verdict, and comparisons that disagree, are marked.
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
        lines = [_line(comparison) for comparison in shown]
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
    """The comparisons that disagree, and of each relation the one nearest to its bound, in order."""

    def slack(comparison: Comparison) -> float:
        """The unused share of the bound; 1 if distance and bound are both 0."""
        distance = float(comparison.distance[comparison.worst])
        nearest, farthest = sorted((distance, comparison.tolerance))
        return 1 - nearest / farthest if farthest > 0 else 1.0

    chosen = {
        id(min((comparison for comparison in comparisons if comparison.relation == relation), key=slack, default=None))
        for relation in ("=", "<=", "!=")
    }
    return [comparison for comparison in comparisons if id(comparison) in chosen or not comparison.agrees]


def _line(comparison: Comparison) -> Text:
    """The values at the decisive entry, and the bound on their distance."""
    values = "1 value" if comparison.measured.size == 1 else f"{comparison.measured.size} values"
    sign, bound = {"=": ("=", "≤"), "<=": ("≤", "≤"), "!=": ("≠", ">")}[comparison.relation]
    at = comparison.worst
    line = Text(f"{comparison.what}: {comparison.measured[at]:.6g} {sign} {comparison.predicted[at]:.6g}")
    off = f"off {comparison.distance[at]:.2g} {bound} {comparison.tolerance:g} {comparison.kind}"
    line.append(f" ({off}, {values})", "dim")
    if not comparison.agrees:
        line.append(" NOT SO", "bold red")
    return line
