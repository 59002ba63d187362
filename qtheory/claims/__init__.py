"""The claims by label: the paper's (`paper`), this project's (`own`), and helpers of their checks (`support`).

`claim` defines claims and runs checks, `command` is `qtheory verify`; `table`, `page` and `record` format the results.
"""

from qtheory import _theory as _theory
from qtheory.claims.claim import Claim, Comparison, Evidence, Verification, by_label, find, verify
from qtheory.claims.own import OWN
from qtheory.claims.paper import PAPER

__all__ = ["CLAIMS", "Claim", "Comparison", "Evidence", "Verification", "by_label", "find", "verify"]

CLAIMS = by_label([*PAPER, *OWN])
