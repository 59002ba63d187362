"""Sphinx: MyST pages, the furo theme, API from docstrings; nothing is fetched from a network."""

import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

project = "qcontinuum"
author = "The qcontinuum authors"
project_copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml"]
exclude_patterns = ["_build", "tables"]  # tables/ holds parts that pages include
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes stand in the class's own text, not a second time beside its members
default_role = "literal"  # `name` in docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "qcontinuum"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False


def _figures(_: Sphinx) -> None:
    """Make the figures that the pages show from the committed data files."""
    subprocess.run(
        [sys.executable, "-m", "figures", "plot", "--all", "--only", "svg"], check=True, stdout=subprocess.DEVNULL
    )


def _plain_bars(_: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Docstrings write conditionals and magnitudes with bars, p(y|x) and |log P|, and use no substitutions."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", _figures)
    app.connect("autodoc-process-docstring", _plain_bars)
