"""The directive `made`: runs a command when the page is built, and shows what it wrote above it.

The content is one command of fastvae. The file is its last word, or what `:shows:` names; a picture
is shown, a page (.html) is linked. A command that fails ends the build.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

MADE = Path(__file__).resolve().parents[1] / "_made"
PAGES = MADE / "pages"


class Made(SphinxDirective):
    """One command and its picture."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {"shows": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Run the command; the argument says what is seen."""
        (command,) = self.content
        program, *arguments = shlex.split(command)
        if program != "fastvae":
            raise self.error(f"a command of fastvae is expected, not {command!r}")
        name = self.options.get("shows", arguments[-1])
        folder = PAGES if name.endswith(".html") else MADE
        folder.mkdir(parents=True, exist_ok=True)
        if "shows" in self.options:
            run, _, file = name.partition("/")
            if not file:
                raise self.error(f":shows: names a file in the folder of a run, not {name!r}")
            shutil.rmtree(folder / run, ignore_errors=True)
        else:
            (folder / name).unlink(missing_ok=True)
        words = [sys.executable, "-m", "fastvae", *arguments]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode or not (folder / name).exists():
            raise ExtensionError(f"{command} failed: {done.stderr or 'it wrote no file'}")
        shown = self.page(name) if folder == PAGES else self.picture(name)
        return [shown, nodes.literal_block(text=command, language="bash")]

    def picture(self, name: str) -> nodes.Node:
        """Return the picture, and below it what it shows."""
        image = nodes.image(uri=f"/{MADE.name}/{name}", alt=self.arguments[0])
        text = nodes.caption(text=self.arguments[0])
        return nodes.figure("", image, text)

    def page(self, name: str) -> nodes.Node:
        """Return a link to the page, which stands beside the site's own."""
        above = "../" * self.env.docname.count("/")
        link = nodes.reference("", self.arguments[0], refuri=f"{above}{name}", internal=False)
        return nodes.paragraph("", "", link)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive; the folder is there before the build looks for it."""
    PAGES.mkdir(parents=True, exist_ok=True)
    app.add_directive("made", Made)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
