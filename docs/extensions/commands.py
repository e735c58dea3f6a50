"""The directive `commands`: the help of every command, as the command line prints it."""

from __future__ import annotations

import argparse
import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fastvae.commands.parser import build_parser

COLUMNS = "88"


class Commands(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        os.environ["COLUMNS"] = COLUMNS  # argparse folds lines by it
        (subparsers,) = (
            action
            for action in build_parser()._actions
            if isinstance(action, argparse._SubParsersAction)
        )
        sections: list[nodes.Node] = []
        for name, parser in subparsers.choices.items():
            section = nodes.section(ids=[name], names=[name])
            section += nodes.title("", "", nodes.literal(text=f"fastvae {name}"))
            section += nodes.literal_block(text=parser.format_help(), language="text")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
