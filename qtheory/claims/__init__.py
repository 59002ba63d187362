"""The claims and their registry: an entry here is known to `qtheory verify` and to the tests."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from qtheory.claims.claim import Claim, Comparison, Evidence, Verification, verify
from qtheory.claims.eq_1_3 import EQ_1_3
from qtheory.claims.prop_4_1 import PROP_4_1
from qtheory.claims.prop_6_2 import PROP_6_2
from qtheory.claims.prop_d_2 import PROP_D_2
from qtheory.claims.prop_d_3 import PROP_D_3
from qtheory.claims.sec_6_1_1 import SEC_6_1_1
from qtheory.claims.thm_3_1 import COR_B_2, THM_3_1

__all__ = ["CLAIMS", "Claim", "Comparison", "Evidence", "Verification", "by_label", "get", "verify"]


def by_label(claims: Iterable[Claim]) -> Mapping[str, Claim]:
    """A read-only mapping from labels to claims.

    Args:
        claims: In the order in which tables show them.

    Returns:
        The mapping.

    Raises:
        ValueError: Two share a label.
    """
    labels: dict[str, Claim] = {}
    for claim in claims:
        if claim.label in labels:
            raise ValueError(f"claim {claim.label!r} is registered twice: merge the two")
        labels[claim.label] = claim
    return MappingProxyType(labels)


CLAIMS = by_label([EQ_1_3, THM_3_1, COR_B_2, PROP_4_1, PROP_6_2, SEC_6_1_1, PROP_D_2, PROP_D_3])


def get(label: str) -> Claim:
    """Look a claim up.

    Args:
        label: Its registered label.

    Returns:
        The claim.

    Raises:
        ValueError: No such label; the nearest is given.
    """
    if label in CLAIMS:
        return CLAIMS[label]
    near = difflib.get_close_matches(label, CLAIMS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(repr(known) for known in CLAIMS)}"
    raise ValueError(f"unknown claim {label!r}; {hint}")
