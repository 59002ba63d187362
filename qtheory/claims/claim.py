"""Claims, the evidence that their checks return, and the rule by which evidence supports a verdict."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from qtheory.command.names import did_you_mean

Verdict = Literal["holds", "conditional", "fails"]
Relation = Literal["=", "<=", "!="]
Kind = Literal["relative", "absolute"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two arrays that a claim relates, and how closely.

    Attributes:
        what: Short description of the comparison, unique within its evidence.
        measured: Not empty, any shape; from the project's code or an experiment with it.
        predicted: The same shape, or one that broadcasts to it; from the paper's formula or a slow reference.
        tolerance: Largest allowed distance of each entry. For "!=", the distance that each entry must exceed.
        kind: Whether distances are divided by |predicted|.
        relation: "="; "<=", for which only an excess counts as distance; or "!=" for a counterexample, which measures
            the claim's statement outside its condition.

    Raises:
        ValueError: The arrays are empty or their shapes do not fit.
    """

    what: str
    measured: np.ndarray
    predicted: np.ndarray
    tolerance: float
    kind: Kind
    relation: Relation = "="
    distance: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        measured = np.asarray(self.measured, dtype=float)
        if measured.size == 0:
            raise ValueError(f"{self.what}: nothing was measured, so nothing is shown")
        given = np.asarray(self.predicted, dtype=float)
        try:
            predicted = np.broadcast_to(given, measured.shape)
        except ValueError:
            raise ValueError(f"{self.what}: {measured.shape} measured values, {given.shape} predicted ones") from None
        object.__setattr__(self, "measured", measured)
        object.__setattr__(self, "predicted", predicted)
        object.__setattr__(self, "distance", self._distance(measured, predicted))

    def _distance(self, measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        excess = measured - predicted
        distance = np.maximum(excess, 0) if self.relation == "<=" else np.abs(excess)
        if self.kind == "absolute":
            return distance
        size = np.abs(predicted)
        # A predicted 0 must be met exactly; NaN stays NaN, which never agrees.
        return np.where(size > 0, distance / np.where(size > 0, size, 1), np.where(distance > 0, np.inf, distance))

    @property
    def worst(self) -> tuple[int, ...]:
        """Index of the decisive entry: the nearest for "!=", otherwise the farthest, NaN first."""
        flat = np.argmin(self.distance) if self.relation == "!=" else np.argmax(self.distance)
        return tuple(int(i) for i in np.unravel_index(flat, self.distance.shape))

    @property
    def agrees(self) -> bool:
        """Whether every entry satisfies the relation."""
        distance = self.distance[self.worst]
        return bool(distance > self.tolerance if self.relation == "!=" else distance <= self.tolerance)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The comparisons that support a verdict, each with its arrays.

    Raises:
        ValueError: There is no comparison, or two have the same name.
    """

    comparisons: tuple[Comparison, ...]

    def __post_init__(self) -> None:
        names = [comparison.what for comparison in self.comparisons]
        if not names:
            raise ValueError("evidence without a comparison shows nothing")
        if len(set(names)) < len(names):
            raise ValueError(f"two comparisons have one name: {', '.join(names)}")

    @property
    def agrees(self) -> bool:
        """Whether every comparison satisfies its relation."""
        return all(comparison.agrees for comparison in self.comparisons)

    @property
    def has_counterexample(self) -> bool:
        """Whether a comparison shows that the statement fails."""
        return any(comparison.relation == "!=" for comparison in self.comparisons)


class MissingEvidence(ValueError):
    """A file that a check reads is missing or malformed; the message names the command that makes it."""


@dataclass(frozen=True)
class Claim:
    """A statement with the verdict that its check must support.

    Attributes:
        label: The paper's label, or QC-n.
        statement: One sentence.
        verdict: "holds", "conditional" (then both sides of the condition are shown) or "fails".
        condition: The condition in words; set if and only if the verdict is "conditional".
        check: Returns the evidence; takes no arguments, is deterministic and takes seconds at most.
        figure: Name of the figure in `python -m figures` that illustrates the claim, None for none.
        quick: The check on fewer or smaller cases, for `qtheory verify --quick`; None if the check is quick.

    Raises:
        ValueError: The verdict is unknown or does not match the condition.
    """

    label: str
    statement: str
    verdict: Verdict
    condition: str | None
    check: Callable[[], Evidence]
    figure: str | None = None
    quick: Callable[[], Evidence] | None = None

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"{self.label}: verdict {self.verdict!r}: choose one of {', '.join(get_args(Verdict))}")
        if (self.verdict == "conditional") != (self.condition is not None):
            raise ValueError(f"{self.label}: the verdict is {self.verdict!r} and the condition {self.condition!r}")

    @property
    def source(self) -> str:
        """The file of the check, relative to the repository."""
        return f"{self.check.__module__.replace('.', '/')}.py"


@dataclass(frozen=True, eq=False)
class Verification:
    """A claim whose check was run.

    Attributes:
        claim: The claim.
        evidence: The evidence that its check returned.
        seconds: Wall-clock time of the check.
    """

    claim: Claim
    evidence: Evidence
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether the evidence supports the verdict: "holds" without a counterexample, the others with one."""
        return self.evidence.agrees and self.evidence.has_counterexample == (self.claim.verdict != "holds")


def verify(claim: Claim, *, quick: bool = False) -> Verification:
    """Run a claim's check.

    Args:
        claim: The claim.
        quick: Run the quick check if there is one.

    Returns:
        The evidence, timed.
    """
    start = time.perf_counter()
    evidence = (claim.quick if quick and claim.quick else claim.check)()
    return Verification(claim, evidence, time.perf_counter() - start)


def by_label(claims: Iterable[Claim]) -> Mapping[str, Claim]:
    """A read-only mapping from labels to claims.

    Args:
        claims: Claims in the order in which tables show them.

    Returns:
        The mapping.

    Raises:
        ValueError: Two claims share a label.
    """
    labels: dict[str, Claim] = {}
    for claim in claims:
        if claim.label in labels:
            raise ValueError(f"claim {claim.label!r} is registered twice: merge the two")
        labels[claim.label] = claim
    return MappingProxyType(labels)


def find(label: str, claims: Mapping[str, Claim]) -> Claim:
    """Look a claim up.

    Args:
        label: The registered label.
        claims: All claims by label.

    Returns:
        The claim.

    Raises:
        ValueError: There is no such label; the message suggests the nearest.
    """
    if label in claims:
        return claims[label]
    raise ValueError(f"unknown claim {label!r}; {did_you_mean(label, claims)}")
