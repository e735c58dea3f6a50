"""What docs/data.md shows runs, and every form that it lists has a reader."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastvae.data import NAMES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_its_python_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    exec(compile("\n".join(blocks), "docs/data.md", "exec"), {})


def test_it_names_all_that_can_be_had_by_name() -> None:
    for name in NAMES:
        assert f'`"{name}"`' in PAGE
