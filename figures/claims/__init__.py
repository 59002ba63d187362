"""The claims with what the trained transformer adds to their evidence, read from the studies' data files."""

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
"""Comparisons by the claim's label."""


def with_transformer(claim: Claim) -> Claim:
    """A claim whose full check also compares the transformer's runs, if there are any for it."""
    if claim.label not in TRANSFORMER:
        return claim

    @wraps(claim.check)  # the claim's source is still the file of its check
    def check() -> Evidence:
        return Evidence((*claim.check().comparisons, *TRANSFORMER[claim.label]()))

    return replace(claim, check=check, quick=claim.quick or claim.check)


CLAIMS = by_label(map(with_transformer, THEORY.values()))
