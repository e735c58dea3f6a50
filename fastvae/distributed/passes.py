"""Passes over many rows, spread over ranks: each does some, and all get what was found of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastvae.data.labelled import RowSource, part
from fastvae.distributed.ranks import Ranks

CHUNK_ROWS = 512
"""Rows that are done by one rank: what a rank begins at is a multiple of it."""


def spread_pass(
    ranks: Ranks,
    X: RowSource,
    call: Callable[[Any, int], Sequence[NDArray[Any]]],
    outputs: Sequence[tuple[tuple[int, ...], DTypeLike]],
) -> list[NDArray[Any]]:
    """What a function finds of all rows.

    Parameters
    ----------
    ranks : Ranks
    X : rows
        The same on all ranks, of which each reads its own.
    call : callable
        Returns arrays of a value, or some, for each row, of rows and the number of the first one.
    outputs : sequence of (shape, dtype)
        What these values are.
    """
    if ranks.size == 1:
        return list(call(X, 0))
    n_rows = len(X)
    n_chunks = -(-n_rows // CHUNK_ROWS)
    ends = [
        min(n_rows, rank * n_chunks // ranks.size * CHUNK_ROWS) for rank in range(ranks.size + 1)
    ]
    first, last = ends[ranks.rank : ranks.rank + 2]
    results = [np.zeros((n_rows, *shape), dtype) for shape, dtype in outputs]
    if last > first:
        for result, found in zip(results, call(part(X, slice(first, last)), first), strict=True):
            result[first:last] = found
    for result in results:
        ranks.complete(result, ends)
    return results
