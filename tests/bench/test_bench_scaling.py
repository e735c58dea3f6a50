"""How far a step can be shared, counted: the arithmetic, the file, the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import report, scaling
from bench.scaling import TEAMS, Region, Work
from bench.workload import Sizes
from fastvae import VAE


def region(name: str, microseconds: float, tasks: int, *, alone: bool = False) -> Region:
    n = len(TEAMS)
    return Region(name, microseconds, 7, [tasks] * n, [alone] * n)


def test_the_bound_is_amdahl_s() -> None:
    """90 us in 10 tasks, and 10 us that the leader and Python do alone."""
    regions = [
        region("layer", 60.0, 10),
        region("gradient", 30.0, 10),
        region("totals", 7.0, 1, alone=True),
    ]
    step = Work("a step", regions, 3.0, [1] * len(TEAMS))
    assert step.microseconds == 100.0
    found = [(step.serial(i), step.bound(i)) for i in range(len(TEAMS))]
    assert [serial for serial, _ in found] == [10.0] * len(TEAMS)
    # ceil(10 / T) tasks of 9 us each.
    wanted = [100 / (10 + 9 * n) for n in (5, 3, 2, 1, 1, 1)]
    assert [bound for _, bound in found] == pytest.approx(wanted)


@pytest.fixture(scope="module")
def rows() -> NDArray[np.uint8]:
    rows = np.zeros((640, 784), np.uint8)
    rows[:, ::5] = 200
    return rows


SIZES = Sizes(784, (64,), 8)


def check(work: Work) -> None:
    """What holds of everything that is timed and counted."""
    assert work.python > 0
    for one in work.regions:
        assert one.microseconds > 0
    assert all(n > 0 for n in work.meetings)
    assert 1.0 <= work.bound(0) <= TEAMS[0]
    assert work.bound(0) <= work.bound(len(TEAMS) - 1) <= TEAMS[-1]


def test_a_step_is_timed_and_counted(rows: NDArray[np.uint8], tmp_path: Path) -> None:
    step = scaling.training(rows, 32, SIZES)
    check(step)
    names = [region.name for region in step.regions]
    assert names[0] == "gathering"
    assert "last layer with loss 64 x 784" in names
    scaling.write([step], tmp_path / "scaling.json")
    (again,), where = scaling.read(tmp_path / "scaling.json")
    assert again == step
    text = report.scaling_text([again], where)
    start = f"| training step, batch 32 | {step.microseconds:,.0f} | {step.bound(0):.1f} "
    assert f"{start}({step.serial(0):.0f}, {step.meetings[0]}) |" in text
    assert "| gathering |" in report.regions_text(again)


def test_passes_are_timed_and_counted(
    rows: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "N_SAMPLES", 700)
    monkeypatch.setattr(scaling, "N_LIKELIHOOD_ROWS", 3)
    found = list(scaling.passes(rows, SIZES))
    for work in found:
        check(work)
    assert [work.title for work in found] == [
        "encoding 640 rows",
        "decoding 640 latents",
        "log p(x) of 3 rows, 700 samples each",
    ]
    names = [[region.name for region in work.regions] for work in found]
    assert names[0] == ["gathering", "layer 784 x 64", "layer 64 x 16", "mean and log-variance"]
    assert names[1] == ["gathering", "layer 8 x 64", "layer 64 x 784"]
    assert names[2][3:] == [
        "latents drawn 64 x 16",
        "layer 8 x 64",
        "last layer with loss 64 x 784",
        "losses of the rows",
        "weights added",
    ]
    # Two blocks of 512 rows at most: two threads take some rows each through all of them.
    assert found[0].meetings[0] == 2


def test_nothing_is_left_of_the_recording(rows: NDArray[np.uint8]) -> None:
    model = VAE.from_sizes(784, (64,), 8, seed=0)
    before = model.encode(rows)
    list(scaling.passes(rows, SIZES))
    np.testing.assert_array_equal(model.encode(rows), before)
