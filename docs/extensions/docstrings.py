"""What docstrings say in plain text, as the site shows it: links to pages and to formulas."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from inspect import getdoc, isclass
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

FORMULAS = re.compile(r"\bdocs/theory\.md,(?:(?:\s|,|and|to)+\(\d+\))+")
CHANGES = (
    (re.compile(r"\|"), r"\|"),  # the bars of |x| and KL(q || p) mark no substitution
    (re.compile(r"(?<=[\s(])(`\.[^`]*`)"), r"`\1`"),  # of `.gz` the point would go
    (re.compile(r"(?<!`)`((?:VAE|Dataset|History|Dense|MLP)\b[\w.]*)`"), r"`\1 <fastvae.\1>`"),
    (re.compile(r"`?\bdocs/([\w/-]+)\.md`?"), r":doc:`/\1`"),
)


def numbered(found: re.Match[str]) -> str:
    """The formulas of the theory page by their numbers, as links."""
    return re.sub(r"\((\d+)\)", r":eq:`\1`", found[0])


def shown(_app: Sphinx, kind: str, _name: str, value: Any, _options: Any, lines: list[str]) -> None:
    """Change the lines of a docstring; that of a constant is its type's, and goes."""
    if kind == "data":
        lines.clear()
    if isinstance(value, property):  # before a colon napoleon has seen a type
        lines[:] = [*(getdoc(value) or "").splitlines(), ""]
    text = FORMULAS.sub(numbered, "\n".join(lines))
    for what, by in CHANGES:
        text = what.sub(by, text)
    lines[:] = text.split("\n")


def called(
    _app: Sphinx, kind: str, _name: str, value: Any, _options: Any, given: str | None, back: Any
) -> tuple[str | None, Any]:
    """Show how it is called: a default that is a class, such as NumPy's float32, by its name alone.

    A dataclass by its fields; a protocol, which nobody calls, not at all.
    """
    if isclass(value) and getattr(value, "_is_protocol", False):
        return "", back
    if isclass(value) and is_dataclass(value):
        fields = signature(value.__init__, bound_method=True)
        given = stringify_signature(fields, show_annotation=False, show_return_annotation=False)
    return given and re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", given), back


def setup(app: Sphinx) -> dict[str, Any]:
    """Let autodoc ask for it, after napoleon has read the sections."""
    app.connect("autodoc-process-docstring", shown, priority=600)
    app.connect("autodoc-process-signature", called)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
