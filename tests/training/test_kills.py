"""Runs that are killed and resumed; ``tests/reliability.py kills`` makes a thousand kills."""

import pytest
from probes import kills


@pytest.mark.slow
def test_killed_runs_go_on_to_the_bit_and_lose_no_file() -> None:
    *_, counted = kills.probe(20, seed=1)
    assert counted["kills"] == 20
    assert counted["runs equal to the whole one"] >= 1
    assert counted["files read after a kill"] >= 20
