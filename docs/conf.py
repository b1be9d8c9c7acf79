"""The settings of Sphinx; `make docs` builds the site."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.site import reference  # noqa: E402 - found by the line above
from migrate.version import __version__  # noqa: E402

project = "migrate"
author = "The migrate authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docs.site.links",
]
exclude_patterns = ["examples", "site", "build"]

html_theme = "furo"
html_title = f"migrate {release}"
html_show_sphinx = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
repository_url = "https://github.com/migrate-jax/migrate"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
default_role = "code"  # docstrings have single backticks, as Markdown
napoleon_numpy_docstring = False
napoleon_use_ivar = True

reference.write()


def setup(app: Sphinx) -> None:
    """Lets docstrings contain bars, which reStructuredText would read as substitutions."""
    app.connect("autodoc-process-docstring", _escape_bars)


def _escape_bars(_app: Sphinx, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace("|", "\\|") for line in lines]
