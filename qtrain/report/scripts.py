"""Scripts and data inlined into the page, so that it runs from the disk and runs nothing else."""

import base64
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

OWN = ("curves.js", "samples.js")


@cache
def scripts() -> tuple[str, ...]:
    """The chart library's bundle, as its Python package ships it, and the page's own scripts, in their order."""
    from plotly.offline import get_plotlyjs

    own = [resources.files("qtrain.report").joinpath(name).read_text(encoding="utf-8") for name in OWN]
    return tuple(_closed(text) for text in (get_plotlyjs(), *own))


def script_elements() -> Markup:
    """The scripts as elements."""
    return Markup("\n").join(Markup(f"<script>{text}</script>") for text in scripts())


def policy() -> str:
    """The page's content security policy: these scripts and no other, and nothing from anywhere else."""
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts()]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{one}'" for one in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def data_element(name: str, value: Any) -> Markup:
    """JSON for the scripts. It is ASCII, and no < in it can end the element or begin another.

    Args:
        name: The element's id.
        value: Finite numbers, texts, lists and tables.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def _closed(script: str) -> str:
    """A script in which nothing reads as its element's end or as a comment's begin; both can stand in strings alone."""
    return re.sub(r"<(/script|!--)", r"\\x3c\1", script.replace("\r\n", "\n"), flags=re.IGNORECASE)
