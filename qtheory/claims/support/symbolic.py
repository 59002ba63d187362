"""Show identities with sympy, as comparisons."""

import numpy as np
import sympy

from qtheory.claims.claim import Comparison


def vanishes(what: str, *differences: sympy.Expr) -> Comparison:
    """Show that expressions are 0 for all values of their symbols.

    Args:
        what: The identity in a few words.
        differences: Left less right side of each identity.

    Returns:
        The number of operations left of each after simplification (at least 1 unless it is 0), compared with 0.
    """
    simplified = [sympy.simplify(difference) for difference in differences]
    remaining = np.array([0 if difference == 0 else 1 + int(sympy.count_ops(difference)) for difference in simplified])
    return Comparison(f"sympy: {what}", remaining, np.array(0), tolerance=0, kind="absolute")
