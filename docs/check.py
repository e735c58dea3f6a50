"""Whether what the documentation names is there: `python docs/check.py`.

In Markdown files of the repository it looks for relative links and their headings; for paths in
backticks that begin with a top-level folder (a module may go without `.py`); and for names in
parentheses after such a path, as in `kernels/maths/latent.py` (`kl_slope`): the file must hold the
name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("*.md", "docs/**/*.md", "bench/README.md")
TOP = ("kernels", "fastvae", "tests", "bench", "docs", "examples", ".ci", ".github")
MADE = ("bench/quick/", "bench/mine.json")
"""Paths that are written by the benchmarks and not kept."""

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TOP_PATH = rf"(?:{'|'.join(map(re.escape, TOP))})/[\w./-]*"
PATH = re.compile(rf"`({TOP_PATH})`")
NAMES = re.compile(rf"`({TOP_PATH}\.\w+)` \((`[^)]+`)\)")


def anchor(heading: str) -> str:
    """The fragment that a heading is linked by."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def missing(document: Path) -> Iterator[str]:
    """Yield what a document names and the repository lacks."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = target.partition("#")
        file = document.parent / path if path else document
        if not file.exists():
            yield f"link to {target}"
        elif fragment and fragment not in map(anchor, HEADING.findall(file.read_text("utf-8"))):
            yield f"heading of {target}"
    for path in PATH.findall(text):
        if path not in MADE and not ((ROOT / path).exists() or (ROOT / f"{path}.py").exists()):
            yield path
    for path, names in NAMES.findall(text):
        if (ROOT / path).is_file():
            source = (ROOT / path).read_text(encoding="utf-8")
            for name in re.findall(r"`([^`]+)`", names):
                if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", source):
                    yield f"{name} in {path}"


def main() -> int:
    """Print what is missing; return 1 if anything is."""
    found = [
        f"{document.relative_to(ROOT)}: there is no {what}"
        for pattern in DOCUMENTS
        for document in sorted(ROOT.glob(pattern))
        for what in dict.fromkeys(missing(document))
    ]
    print("\n".join(found) or "everything that the documentation names is there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
