"""How the documentation site is built: `python -m sphinx -W docs docs/_build/html`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/fastvae/fastvae"
sys.path.insert(0, str(DOCS / "extensions"))

import fastvae  # noqa: E402 - what is installed

project = "fastvae"
author = "The fastvae developers"
copyright = author
version = release = fastvae.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "commands",
    "docstrings",
    "gallery",
]
exclude_patterns = ["_build", "_made", "extensions"]
html_extra_path = ["_made/pages"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
copybutton_exclude = ".linenos, .gp, .go"
html_math_renderer = "mathml"
math_numfig = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types with shapes
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # words of a type are no names to be linked
napoleon_custom_sections = [("Attributes", "params_style")]
smartquotes_action = "De"  # dashes and ellipses; "relu" is to be copied as it stands
default_role = "py:obj"  # in docstrings `fit` is code, and a link where it is on a page
add_module_names = False
maximum_signature_line_length = 60

html_theme = "furo"
html_title = f"fastvae {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
}

LINK = re.compile(r"(\]\(|^\[[^\]\n]+\]: )(?![a-z]+:)([^)\s#]+)(#[^)\s]*)?", re.MULTILINE)
FROM_ABOVE = {"changelog": ROOT / "CHANGELOG.md", "contributing": ROOT / "CONTRIBUTING.md"}
"""Pages whose text stands above docs/."""


def read_from_the_repository(_app: Sphinx, name: str, source: list[str]) -> None:
    """Let a page's links hold on the site: its text is read in the repository, too.

    Those to other files than pages and pictures of docs/ lead to the repository.
    """
    file = FROM_ABOVE.get(name, DOCS / name)
    page = (DOCS / name).parent
    if name in FROM_ABOVE:
        source[0] = file.read_text(encoding="utf-8")

    def moved(found: re.Match[str]) -> str:
        before, path, fragment = found.groups("")
        target = (file.parent / path).resolve()
        if target.suffix in (".png", ".svg") or (
            target.suffix == ".md" and target.is_relative_to(DOCS)
        ):
            return f"{before}{os.path.relpath(target, page)}{fragment}"
        kind = "tree" if target.is_dir() else "blob"
        return f"{before}{REPOSITORY}/{kind}/main/{target.relative_to(ROOT)}{fragment}"

    source[0] = LINK.sub(moved, source[0])


def setup(app: Sphinx) -> None:
    """Add what stands in this file."""
    app.connect("source-read", read_from_the_repository)
