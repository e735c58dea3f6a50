"""What the documentation shows runs: Python of a page from top to bottom, and its commands.

A line `<!-- not run: REASON -->` right before a block leaves it out. Commands are those lines of
shell blocks that begin with `fastvae`; other lines of such blocks install, or run what other tests
do. The tutorials are run when the site is built, and the README's lines that install by `.ci/run`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("howto/*.md"))]
# What a page needs beside the package; torch is in no extra.
NEEDS = {
    "exchange": ["torch"],
    "onnx": ["onnx", "onnxruntime"],
    "sampling": ["sklearn"],
    "scikit-learn": ["sklearn"],
}
WHOLE = {"faq"}
"""Pages that say what comes of their epochs: these are seconds."""
WITHOUT_MNIST = ('Dataset("mnist")', 'Dataset("synthetic_digits")')
LARGEST_PICTURE = 500_000


FENCE = re.compile(
    r"^(?P<mark><!-- not run: .+ -->\n)?```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S
)


def lines_of(page: Path, language: str) -> list[str]:
    """The page's lines, at their places; empty where they stand in no such block that is run."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for block in FENCE.finditer(text):
        if block["language"] == language and not block["mark"]:
            first = text.count("\n", 0, block.start("text"))
            inside = block["text"].splitlines()
            lines[first : first + len(inside)] = inside
    return lines


def commands(page: Path) -> list[str]:
    """Lines of shell blocks that begin with `fastvae`, without their comments."""
    lines = [re.sub(r"\s+#.*", "", line) for line in lines_of(page, "bash")]
    return [line for line in lines if line.startswith("fastvae ")]


def shorter(text: str) -> str:
    """The same with a fiftieth of the epochs, and one at least: it shows as well that it runs."""
    return re.sub(
        r"(epochs[ =])(\d+)", lambda found: f"{found[1]}{max(1, int(found[2]) // 50)}", text
    )


def identity(page: Path) -> str:
    return str(page.relative_to(ROOT).with_suffix(""))


def with_some(of: str) -> list[Path]:
    there = commands if of == "bash" else lambda page: "".join(lines_of(page, of))
    return [page for page in PAGES if there(page)]


def run(words: list[str], folder: Path, data: Path) -> None:
    environment = os.environ | {
        "MPLBACKEND": "Agg",
        "FASTVAE_DATA": str(data),
        "FASTVAE_EPOCHS": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", with_some("python"), ids=identity)
def test_the_python_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, mnist_if_there: Path | None
) -> None:
    for package in NEEDS.get(page.stem, []):
        pytest.importorskip(package)
    program = "\n".join(lines_of(page, "python"))
    if page.stem not in WHOLE:
        program = shorter(program)
    if mnist_if_there is None:
        program = program.replace(*WITHOUT_MNIST)
    path = tmp_path / f"{page.stem}_page.py"  # its lines have the page's numbers
    path.write_text(program, encoding="utf-8")
    run([sys.executable, "-W", "error", str(path)], tmp_path, mnist_if_there or tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_some("bash"), ids=identity)
def test_the_commands_run_in_their_order(
    page: Path, tmp_path: Path, mnist_if_there: Path | None
) -> None:
    if mnist_if_there is None:
        pytest.skip("the runs are named after MNIST")
    assert shutil.which("fastvae", path=str(Path(sys.executable).parent))
    for command in commands(page):
        run(["bash", "-c", shorter(command)], tmp_path, mnist_if_there)


def test_pages_and_commands_are_found() -> None:
    assert len(with_some("python")) > 8
    assert {"README", "docs/conditional"} <= set(map(identity, with_some("bash")))


def test_pictures_are_pictures_and_small() -> None:
    pictures = list(DOCS.glob("*.png")) + list(DOCS.glob("published/*.png"))
    assert len(pictures) > 5
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG"), picture.name
        assert picture.stat().st_size < LARGEST_PICTURE, picture.name
