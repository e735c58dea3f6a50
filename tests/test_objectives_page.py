"""What docs/objectives.md shows runs, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "objectives.md"


@pytest.mark.slow
def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    exec("\n".join(blocks), {"__name__": "page"})
    shown = capsys.readouterr().out.splitlines()
    said = [line.rpartition("# ")[2] for line in "\n".join(blocks).splitlines() if "# " in line]
    assert said == ["iwae, 5 samples", "elbo, 0.1 free nats a latent"]
    assert set(said) <= set(shown)
    bound, elbo = map(float, shown[shown.index(said[0]) + 1].split())
    assert elbo < bound
