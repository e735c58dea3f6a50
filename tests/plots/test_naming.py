"""Places of names: none covers another one."""

from __future__ import annotations

import numpy as np
import pytest

from fastvae.plots.naming import places

LOW, HIGH = np.zeros(2), np.array([700.0, 600.0])


def overlap(centres: np.ndarray, sizes: np.ndarray) -> bool:
    apart = np.abs(centres[:, None] - centres[None])
    both = (apart < (sizes[:, None] + sizes[None]) / 2).all(axis=2)
    return bool((both & ~np.eye(len(centres), dtype=bool)).any())


@pytest.mark.parametrize("n", [1, 2, 10, 47])
@pytest.mark.parametrize("spread", [0.0, 5.0, 60.0])
@pytest.mark.parametrize("width", [14.0, 60.0])
def test_no_name_covers_another_one(n: int, spread: float, width: float) -> None:
    rng = np.random.default_rng(n)
    anchors = np.clip(350 + spread * rng.normal(size=(n, 2)), 20, 580)
    sizes = np.column_stack([np.full(n, width), np.full(n, 18.0)])
    found = places(anchors, sizes, LOW, HIGH)
    assert not overlap(found, sizes)
    assert (found - sizes / 2 >= LOW).all()
    assert (found + sizes / 2 <= HIGH).all()
    np.testing.assert_array_equal(found, places(anchors, sizes, LOW, HIGH))


def test_names_with_room_stand_on_what_they_name() -> None:
    anchors = np.array([[100.0, 100.0], [300.0, 100.0], [310.0, 104.0]])
    found = places(anchors, np.full((3, 2), 20.0), LOW, HIGH)
    np.testing.assert_array_equal(found[0], anchors[0])
    for i in (1, 2):  # beside the other one's anchor and its own
        assert (np.abs(found[i] - anchors) >= 10).any(axis=1).all()


def test_a_leader_line_runs_through_no_name() -> None:
    anchors = np.array([[350.0, 300.0], [352.0, 301.0], [349.0, 303.0]])
    sizes = np.full((3, 2), 20.0)
    found = places(anchors, sizes, LOW, HIGH)
    for i in range(3):
        line = anchors[i] + np.linspace(0, 1, 200)[:, None] * (found[i] - anchors[i])
        for j in {0, 1, 2} - {i}:
            assert not (np.abs(line - found[j]) < sizes[j] / 2).all(axis=1).any()


def test_where_there_is_no_room_names_stay_within_the_picture() -> None:
    sizes = np.full((9, 2), 300.0)
    found = places(np.full((9, 2), 350.0), sizes, LOW, HIGH)
    assert np.isfinite(found).all()
    assert (found >= LOW).all()
    assert (found <= HIGH).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [3, 4])
def test_a_few_crowded_names_have_clear_leader_lines(n: int, seed: int) -> None:
    anchors = 330 + 8 * np.random.default_rng(seed).normal(size=(n, 2))
    sizes = np.tile([50.0, 18.0], (n, 1))
    found = places(anchors, sizes, LOW, HIGH)
    for i in range(n):
        line = anchors[i] + np.linspace(0, 1, 400)[:, None] * (found[i] - anchors[i])
        for j in {*range(n)} - {i}:
            assert not (np.abs(line - found[j]) < sizes[j] / 2).all(axis=1).any()
