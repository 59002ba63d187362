"""Write verifications as a page of the docs: each claim with verdict, evidence, file, figure and command."""

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
        The text, with a final newline.
    """
    done = list(verifications)
    return "\n".join([INTRODUCTION, *overview([verification.claim for verification in done]), "", *map(_section, done)])


def overview(claims: Iterable[Claim]) -> list[str]:
    """Lines of a table with one row per claim: label, verdict, file and figure, with links."""
    rows = [
        f"| [{claim.label}](#{anchor(claim.label)}) | {VERDICTS[claim.verdict]} | {_source(claim)} | {_figure(claim)} |"
        for claim in claims
    ]
    return ["| claim | verdict | file | figure |", "|---|---|---|---|", *rows]


def heading(claim: Claim) -> str:
    """The part of a claim's section that precedes its measurements."""
    condition = "" if claim.condition is None else f" if {_text(claim.condition)}"
    return (
        f"({anchor(claim.label)})=\n"
        f"## {claim.label}\n\n"
        f"> {_text(claim.statement)}\n\n"
        f"**{VERDICTS[claim.verdict].capitalize()}**{condition}.\n\n"
        f'File {_source(claim)}; figure {_figure(claim)}; command `qtheory verify "{claim.label}"`.\n'
    )


def anchor(label: str) -> str:
    """The anchor of a claim on the page: "Prop 4.1" -> "claim-prop-4-1"."""
    return "claim-" + label.lower().replace(" ", "-").replace(".", "-")


def _section(verification: Verification) -> str:
    rows = [_row(comparison) for comparison in verification.evidence.comparisons]
    table = ["| compared | measured | | predicted | off | bound | values |", "|---|--:|:-:|--:|--:|--:|--:|", *rows]
    return "\n".join([heading(verification.claim), *table, ""])


def _row(comparison: Comparison) -> str:
    sign, bound = {"=": ("=", "≤"), "<=": ("≤", "≤"), "!=": ("≠", ">")}[comparison.relation]
    cells = [
        _text(comparison.what),
        f"{comparison.measured[comparison.worst]:.6g}",
        sign,
        f"{comparison.predicted[comparison.worst]:.6g}",
        f"{comparison.distance[comparison.worst]:.2g}",
        f"{bound} {comparison.tolerance:g} {comparison.kind[:3]}.",
        str(comparison.measured.size),
    ]
    return f"| {' | '.join(cells)} |"


def _source(claim: Claim) -> str:
    return f"[`{claim.source}`](../{claim.source})"


def _figure(claim: Claim) -> str:
    return "none" if claim.figure is None else f"[{claim.figure}](#figure-{claim.figure.replace('_', '-')})"


def _text(text: str) -> str:
    """Plain text as Markdown: characters that are markup or separate table cells are escaped."""
    for sign in "\\`*_|<>[]{}$~^":
        text = text.replace(sign, f"\\{sign}")
    return text
