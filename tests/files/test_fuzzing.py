"""Damaged files for every reader; ``tests/reliability.py fuzz`` makes 200,000."""

import pytest
from probes import fuzz, memory


@pytest.mark.slow
def test_no_damaged_file_does_harm() -> None:
    """A crash, a hang, much memory or another exception would be an AssertionError."""
    *_, counted = fuzz.probe(4200, seed=1)
    assert counted["inputs"] == 4200
    readers = {name.rpartition(": ")[0] for name in counted if name.endswith(("taken", "refused"))}
    assert len(readers) == 14
    for reader in readers:
        assert counted[f"{reader}: taken"] + counted[f"{reader}: refused"] == 300


@pytest.mark.slow
def test_readers_take_little_more_than_what_a_file_holds() -> None:
    *_, figures = memory.probe(20, seed=0)
    assert len(figures) == len(memory.KINDS)
    for name, figure in figures.items():
        # Of models a network is built, too; the parts of a table are joined.
        is_made = name.endswith(("models", "seed folders", "tables of pixels"))
        assert figure < (3.3 if is_made else 1.4), name
