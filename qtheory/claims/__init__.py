"""The claims and their registry: an entry here is known to `qtheory verify` and to the tests."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from qtheory.claims.app_c_1 import APP_C_1
from qtheory.claims.claim import Claim, Comparison, Evidence, Verification, verify
from qtheory.claims.cor_b_3 import COR_B_3
from qtheory.claims.eq_1_3 import EQ_1_3
from qtheory.claims.eq_6 import EQ_6
from qtheory.claims.eq_7_9 import EQ_7_9
from qtheory.claims.prop_4_1 import PROP_4_1
from qtheory.claims.prop_6_2 import PROP_6_2
from qtheory.claims.prop_a_1 import PROP_A_1
from qtheory.claims.prop_b_1 import PROP_B_1
from qtheory.claims.prop_c_1 import PROP_C_1
from qtheory.claims.prop_c_2 import PROP_C_2
from qtheory.claims.prop_d_2 import PROP_D_2
from qtheory.claims.prop_d_3 import PROP_D_3
from qtheory.claims.prop_d_4 import PROP_D_4
from qtheory.claims.qc_1 import QC_1
from qtheory.claims.qc_2 import QC_2
from qtheory.claims.qc_3 import QC_3
from qtheory.claims.qc_4 import QC_4
from qtheory.claims.qc_5 import QC_5
from qtheory.claims.qc_6 import QC_6
from qtheory.claims.qc_7 import QC_7
from qtheory.claims.qc_r import QC_R
from qtheory.claims.sec_6_1_1 import SEC_6_1_1
from qtheory.claims.thm_3_1 import COR_B_2, THM_3_1
from qtheory.claims.thm_5_1 import THM_5_1
from qtheory.claims.thm_5_2 import THM_5_2
from qtheory.claims.thm_6_1 import THM_6_1
from qtheory.claims.v2 import V2

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


CLAIMS = by_label(
    [
        EQ_1_3,
        PROP_A_1,
        THM_3_1,
        COR_B_2,
        COR_B_3,
        PROP_B_1,
        PROP_4_1,
        EQ_6,
        THM_5_1,
        THM_5_2,
        APP_C_1,
        PROP_C_1,
        PROP_C_2,
        EQ_7_9,
        THM_6_1,
        PROP_6_2,
        SEC_6_1_1,
        PROP_D_2,
        PROP_D_3,
        PROP_D_4,
        V2,
        QC_1,
        QC_2,
        QC_3,
        QC_4,
        QC_5,
        QC_6,
        QC_7,
        QC_R,
    ]
)


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
