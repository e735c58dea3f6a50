"""What docs/sampling.md shows runs, and its figures are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "sampling.md"


@pytest.mark.slow
def test_the_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 2
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "both.png"}


def test_the_picture_is_there_and_small() -> None:
    picture = DOCS / "posterior_samples.png"
    assert "(posterior_samples.png)" in PAGE.read_text("utf-8")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
