"""A quick part of the probe that damages files of machine code."""

from __future__ import annotations

import pytest
from probes import flips


@pytest.mark.slow
def test_damaged_machine_code_is_noticed() -> None:
    *_, counted = flips.probe(count=flips.PER_PROCESS, seed=3)
    assert counted["bits flipped"] == counted["bits flipped: noticed"] > 20
    assert counted["processes that trained with damaged files"] == 1
