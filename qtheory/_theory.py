"""Check that the extra `theory` is installed; every package of the theory imports this module first."""

from importlib.util import find_spec

for library in ("scipy", "sympy", "mpmath"):
    if find_spec(library) is None:
        raise ModuleNotFoundError(f"{library} is not installed: pip install 'qcontinuum[theory]'", name=library)
