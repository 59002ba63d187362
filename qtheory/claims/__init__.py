"""The claims: each statement of the paper with its verdict and the check that bears it out."""

from qtheory.claims.claim import Claim, Comparison, Evidence, Verification, verify
from qtheory.claims.registry import CLAIMS, by_label, get

__all__ = ["CLAIMS", "Claim", "Comparison", "Evidence", "Verification", "by_label", "get", "verify"]
