"""Damaged files for every reader; ``tests/reliability.py fuzz`` makes 200,000."""

import pytest
from probes import fuzz


@pytest.mark.slow
def test_no_damaged_file_does_harm() -> None:
    """A crash, a hang, much memory or another exception would be an AssertionError."""
    *_, counted = fuzz.probe(2700, seed=1)
    assert counted["inputs"] == 2700
    readers = {name.rpartition(": ")[0] for name in counted if name.endswith(("taken", "refused"))}
    assert len(readers) == 9
    for reader in readers:
        assert counted[f"{reader}: taken"] + counted[f"{reader}: refused"] == 300
