"""The cache's key: every source of every room is in it, so that no stale machine code is served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fastvae.data import strokes
from fastvae.kernels.machine import compilation

KERNELS = Path(compilation.__file__).resolve().parents[1]
ROOMS = ["machine/team.py", "maths/latent.py", "engine/steps.py", "arrays/random.py"]


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the kernels, which the key is made of."""
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "_KERNELS", copy)
    return copy


@pytest.mark.parametrize("file", ROOMS)
def test_an_edit_in_any_room_changes_the_key(copied, file):
    before = compilation._sources_key()
    (copied / file).write_text((copied / file).read_text() + "\n")
    assert compilation._sources_key() != before


def test_a_file_that_moves_to_another_room_changes_the_key(copied):
    before = compilation._sources_key()
    (copied / "maths" / "lists.py").rename(copied / "engine" / "lists.py")
    assert compilation._sources_key() != before


def test_the_key_is_that_of_the_kernels_alone(copied):
    assert compilation._sources_key() == compilation._sources_key()
    before = compilation._sources_key()
    (copied / "notes.txt").write_text("no source")
    assert compilation._sources_key() == before


def test_code_outside_the_kernels_has_a_folder_named_by_its_own_file(tmp_path):
    own = compilation._own_key(strokes.draw_strokes.py_func)
    assert len(own) == 20
    assert compilation._own_key(compilation.cache_folder) == ""
    elsewhere = tmp_path / "other.py"
    elsewhere.write_text("def f(): pass\n")
    scope: dict = {}
    exec(compile(elsewhere.read_text(), str(elsewhere), "exec"), scope)
    first = compilation._own_key(scope["f"])
    elsewhere.write_text("def f(): return 1\n")
    assert compilation._own_key(scope["f"]) != first
