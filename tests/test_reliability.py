"""The command that counts what is done to fastvae on purpose, and the page that it writes."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import reliability


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Record and page in a folder of the test, and a probe that counts to what it is told."""

    def count_up(count: int, seed: int) -> Iterator[Counter[str]]:
        counted = Counter[str]()
        for number in range(count):
            assert number < 5, "too many"
            counted["tries"] += 1
            counted["longest try"] = number + seed
            yield counted

    module = SimpleNamespace(TITLE="Counting", TEXT="It counts.", COUNT=3, probe=count_up)
    monkeypatch.setattr(importlib, "import_module", lambda name: module)
    monkeypatch.setattr(reliability, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(reliability, "PAGE", tmp_path / "page.md")
    return tmp_path


def test_page_is_the_one_that_the_record_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = reliability.PAGE.read_text("utf-8")
    monkeypatch.setattr(reliability, "PAGE", tmp_path / "page.md")
    reliability.write_page()
    assert (tmp_path / "page.md").read_text("utf-8") == kept


@pytest.mark.parametrize("name", reliability.PROBES)
def test_probe_says_what_it_does(name: str) -> None:
    module = importlib.import_module(f"probes.{name}")
    assert module.TITLE
    assert module.TEXT.strip()
    assert module.COUNT > 0
    assert callable(module.probe)


def test_runs_add_up_and_the_longest_counts(own_files: Path) -> None:
    reliability.run("own", 3, 1, afresh=False)
    reliability.run("own", 2, 7, afresh=False)
    runs = json.loads(reliability.RECORD.read_text("utf-8"))["own"]
    assert reliability.total(runs) == {"tries": 5, "longest try": 8, reliability.FAULTS: 0}
    reliability.write_page()
    page = reliability.PAGE.read_text("utf-8")
    assert "## Counting" in page
    assert "| tries | 5 |" in page
    assert "seeds 1, 7" in page


def test_seed_counts_once_unless_afresh(own_files: Path) -> None:
    reliability.run("own", 3, 1, afresh=False)
    with pytest.raises(SystemExit, match="seed 1"):
        reliability.run("own", 3, 1, afresh=False)
    reliability.run("own", 2, 1, afresh=True)
    runs = json.loads(reliability.RECORD.read_text("utf-8"))["own"]
    assert reliability.total(runs) == {"tries": 2, "longest try": 2, reliability.FAULTS: 0}


def test_probe_that_fails_keeps_what_it_reached(own_files: Path) -> None:
    with pytest.raises(AssertionError, match="too many"):
        reliability.run("own", 9, 0, afresh=False)
    (run,) = json.loads(reliability.RECORD.read_text("utf-8"))["own"]
    assert run["figures"] == {"tries": 5, "longest try": 4, reliability.FAULTS: 1}
