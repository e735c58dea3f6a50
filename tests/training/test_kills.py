"""Runs that are killed and resumed; a thousand kills are made by ``python tests/kills.py 1000``."""

import pytest
from kills import make_kills


@pytest.mark.slow
def test_killed_runs_go_on_to_the_bit_and_lose_no_file() -> None:
    counted = make_kills(20, seed=1)
    assert counted["kills"] == 20
    assert counted["runs equal to the whole one"] >= 1
    assert counted["files read after a kill"] >= 20
