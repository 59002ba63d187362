"""Identities shown by sympy, as comparisons."""

import numpy as np
import sympy

from qtheory.claims.claim import Comparison


def vanishes(what: str, *differences: sympy.Expr) -> Comparison:
    """Show that expressions are 0 for all values of their symbols.

    Args:
        what: The identity in a few words.
        differences: Left less right side of each identity.

    Returns:
        Operations that are left of each after simplification (at least 1 unless it is 0) against 0.
    """
    simplified = [sympy.simplify(difference) for difference in differences]
    left = np.array([0 if rest == 0 else 1 + int(sympy.count_ops(rest)) for rest in simplified])
    return Comparison(f"sympy: {what}", left, np.array(0), tolerance=0, kind="absolute")
