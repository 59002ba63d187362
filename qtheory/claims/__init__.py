"""The claims by label: the paper's (`paper`), this project's own (`own`), and what checks share (`support`)."""

from qtheory import _theory as _theory
from qtheory.claims.claim import Claim, Comparison, Evidence, Verification, by_label, find, verify
from qtheory.claims.own import OWN
from qtheory.claims.paper import PAPER

__all__ = ["CLAIMS", "Claim", "Comparison", "Evidence", "Verification", "by_label", "find", "verify"]

CLAIMS = by_label([*PAPER, *OWN])
