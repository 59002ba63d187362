"""Verifications as a page of the docs: each claim with its verdict, evidence, file, figure and command."""

from collections.abc import Iterable

from qtheory.claims.claim import Claim, Comparison, Verification
from qtheory.claims.table import VERDICTS

INTRODUCTION = """\
# Claims

Every statement of the paper, then this project's own (QC), each with what its check measured. The verdict *holds with
a condition* means that the check also shows a case outside the condition in which the statement fails; those rows have
the sign ≠. A row gives the entry on which its outcome hangs: the farthest of all its values, or for ≠ the nearest.
Bounds are relative (rel.) to the predicted value or absolute (abs.).
This page is written by

```sh
python -m figures claims --page docs/claims.md
```

which adds the trained transformer's runs to the evidence of QC-4 and QC-6; `qtheory verify` leaves those out.
"""


def claims_page(verifications: Iterable[Verification]) -> str:
    """The page as MyST Markdown.

    Args:
        verifications: Claims with their evidence, in the order of the page.

    Returns:
        The text, with one newline at its end.
    """
    done = list(verifications)
    return "\n".join([INTRODUCTION, *overview([one.claim for one in done]), "", *map(_section, done)])


def overview(claims: Iterable[Claim]) -> list[str]:
    """A table with one row a claim, as lines: label, verdict, file and figure, each a link."""
    rows = [
        f"| [{one.label}](#{anchor(one.label)}) | {VERDICTS[one.verdict]} | {_source(one)} | {_figure(one)} |"
        for one in claims
    ]
    return ["| claim | verdict | file | figure |", "|---|---|---|---|", *rows]


def heading(claim: Claim) -> str:
    """What the page says of a claim before any measurement."""
    condition = "" if claim.condition is None else f" if {_text(claim.condition)}"
    return (
        f"({anchor(claim.label)})=\n"
        f"## {claim.label}\n\n"
        f"> {_text(claim.statement)}\n\n"
        f"**{VERDICTS[claim.verdict].capitalize()}**{condition}.\n\n"
        f'File {_source(claim)}; figure {_figure(claim)}; command `qtheory verify "{claim.label}"`.\n'
    )


def anchor(label: str) -> str:
    """The name of a claim's place on the page: "Prop 4.1" -> "claim-prop-4-1"."""
    return "claim-" + label.lower().replace(" ", "-").replace(".", "-")


def _section(one: Verification) -> str:
    rows = [_row(comparison) for comparison in one.evidence.comparisons]
    table = ["| compared | measured | | predicted | off | bound | values |", "|---|--:|:-:|--:|--:|--:|--:|", *rows]
    return "\n".join([heading(one.claim), *table, ""])


def _row(one: Comparison) -> str:
    sign, bound = {"=": ("=", "≤"), "<=": ("≤", "≤"), "!=": ("≠", ">")}[one.relation]
    cells = [
        _text(one.what),
        f"{one.measured[one.worst]:.6g}",
        sign,
        f"{one.predicted[one.worst]:.6g}",
        f"{one.distance[one.worst]:.2g}",
        f"{bound} {one.tolerance:g} {one.kind[:3]}.",
        str(one.measured.size),
    ]
    return f"| {' | '.join(cells)} |"


def _source(claim: Claim) -> str:
    return f"[`{claim.source}`](../{claim.source})"


def _figure(claim: Claim) -> str:
    return "none" if claim.figure is None else f"[{claim.figure}](#figure-{claim.figure.replace('_', '-')})"


def _text(words: str) -> str:
    """Plain words in Markdown: signs that would be markup or end a table's cell are escaped."""
    for sign in "\\`*_|<>[]{}$~^":
        words = words.replace(sign, f"\\{sign}")
    return words
