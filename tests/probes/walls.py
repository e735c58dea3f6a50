"""Kernels and models on arrays that end at memory that cannot be touched, or begin after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wall_cases import INSTRUCTION_SETS, run

TITLE = "Arrays between walls"
TEXT = """
Arrays end at an inaccessible page, or begin right after one, so that a single element read or
written past them would end the process; what is only read stands in pages that cannot be written.
Every public kernel runs with sizes at the edges of vectors, tiles and panels (0 to 17, 31 to 33, 63
to 65, 127 to 130 for each axis), in float32 and float64; `gather` with all widths of these, from
uint8, float32 and float64 in twelve memory layouts; sparse rows and labels as programs of the
engine read them; models of random sizes are trained and used with data, latents, noise and outputs
in these layouts. All is done with each instruction set that the processor has, and the engine's own
memory stands between walls as well: each matrix of a workspace, each arena, list and table. Results
must be equal, to the bit, to those of ordinary arrays, and nothing beside an output may change.
"""
COUNT = 300_000
"""Cases of each instruction set; more than there are of kernels, gather and sources."""
MOST = {"kernels": 1.0, "gather": 1.0, "sources": 1.0, "models": 0.003}
"""Cases of each kind, as a share."""


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Run cases of each kind with each instruction set.

    Yields
    ------
    Counter
        Cases by kind and instruction set; faults, of which there are none.

    Raises
    ------
    AssertionError
        If a process ends by a fault, or a result differs.
    """
    counted = Counter[str]()
    for isa in INSTRUCTION_SETS:
        for kind, share in MOST.items():
            counted[f"{kind}, {isa}"] += run(kind, max(1, int(count * share)), seed, isa)
            counted["faults"] += 0
            yield counted
