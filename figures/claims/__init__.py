"""The theory's claims, extended by comparisons with the trained transformer's runs from the studies' data files."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps

from figures.claims import adam, baseline
from qtheory.claims import CLAIMS as THEORY
from qtheory.claims import Claim, Comparison, Evidence, by_label

TRANSFORMER: Mapping[str, Callable[[], tuple[Comparison, ...]]] = {
    "QC-4": baseline.on_the_transformer,
    "QC-6": adam.on_the_transformer,
}
"""Functions that return a claim's further comparisons, by its label."""


def with_transformer(claim: Claim) -> Claim:
    """The claim, with the transformer's runs added to its full check if there are any for it."""
    if claim.label not in TRANSFORMER:
        return claim

    @wraps(claim.check)  # keeps the source file that the claim names
    def check() -> Evidence:
        return Evidence((*claim.check().comparisons, *TRANSFORMER[claim.label]()))

    return replace(claim, check=check, quick=claim.quick or claim.check)


CLAIMS = by_label(map(with_transformer, THEORY.values()))
