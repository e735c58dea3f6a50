"""Formulas as MathML, which browsers draw by themselves: no script, no request to another host."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html import HTML5Translator

SPACE = '<mspace width="0.17em"/>'
FUNCTION = r"<mi>(?:log|exp)</mi>"
AFTER = re.compile(rf"({FUNCTION})(?!<mo[ >]|</)")
BEFORE = re.compile(rf"(</(?:mi|mn|msub|msup|mfrac)>)({FUNCTION})")


def mathml(text: str, display: str) -> str:
    """Return a formula with the spaces around functions' names that TeX would leave."""
    spaced = AFTER.sub(rf"\1{SPACE}", convert(text, display=display))
    return BEFORE.sub(rf"\1{SPACE}\2", spaced)


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_displaymath(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula with a line of its own, and its number."""
    identifiers = {"ids": node["ids"]} if node["ids"] else {}
    translator.body.append(translator.starttag(node, "div", CLASS="formula", **identifiers))
    translator.body.append(mathml(node.astext(), "block"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this formula")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
