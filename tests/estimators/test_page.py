"""The Python of docs/scikit-learn.md runs from top to bottom."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scikit-learn.md"


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    program = "\n".join(blocks)
    assert "GridSearchCV" in program
    program += "\nassert latents.shape == (1797, 8) and X_hat.shape == X.shape == (1797, 64)"
    program += "\nassert drawn.shape == (5, 64) and is_outlier.sum() == 36"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
