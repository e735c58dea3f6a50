"""How far a step can be shared, counted: the arithmetic, the file, the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import report, scaling
from bench.scaling import TEAMS, Region, Step
from bench.workload import Sizes


def region(
    name: str, microseconds: float, tasks: int, phase: int, *, alone: bool = False
) -> Region:
    n = len(TEAMS)
    return Region(name, microseconds, 7, [tasks] * n, [alone] * n, [phase] * n)


def test_the_bound_is_amdahl_s() -> None:
    """90 us in 10 tasks, and 10 us that the leader does alone."""
    regions = [
        region("layer", 60.0, 10, 0),
        region("gradient", 30.0, 10, 0),
        region("totals", 10.0, 1, 1, alone=True),
    ]
    step = Step(20, regions)
    assert step.meetings(0) == 1
    assert step.microseconds == 100.0
    found = [(step.serial(i), step.bound(i)) for i in range(len(TEAMS))]
    assert [serial for serial, _ in found] == [10.0] * len(TEAMS)
    # ceil(10 / T) tasks of 9 us each.
    wanted = [100 / (10 + 9 * n) for n in (5, 3, 2, 1, 1, 1)]
    assert [bound for _, bound in found] == pytest.approx(wanted)


def test_a_step_is_timed_and_counted(tmp_path: Path) -> None:
    rows = np.zeros((64, 784), np.uint8)
    rows[:, ::5] = 200
    step = scaling.profile(rows, 32, Sizes(784, (64,), 8))
    names = [region.name for region in step.regions]
    assert names[0] == "gathering"
    assert "last layer with loss 64 x 784" in names
    for one in step.regions:
        assert one.microseconds > 0
        assert one.phases[0] <= one.phases[-1]
    assert 1.0 <= step.bound(0) <= TEAMS[0]
    assert step.bound(0) <= step.bound(len(TEAMS) - 1) <= TEAMS[-1]
    scaling.write([step], tmp_path / "scaling.json")
    (again,), where = scaling.read(tmp_path / "scaling.json")
    assert again == step
    text = report.scaling_text([again], where)
    assert f"| 32 | {step.microseconds:,.0f} | {step.bound(0):.1f} ({step.serial(0):.1f}, " in text
    assert "| gathering |" in report.regions_text(again)
