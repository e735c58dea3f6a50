"""Gather: rows of a data set become rows of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from ..engine.data_tasks import gather_row, source_of
from ..machine.compilation import parallel_kernel
from ..machine.memory import advance, pointer
from .arguments import checked


@parallel_kernel
def _gather(out: Any, source: Any, index: Any) -> None:
    n = out.shape[1]
    for b in prange(out.shape[0]):
        address = source[0] + index[b] * source[1]
        gather_row(advance(pointer(out), np.int64(b) * n), n, address, source[2], source[3])


def gather(out: np.ndarray, data: np.ndarray, index: np.ndarray) -> None:
    """out = data[index]; uint8 is read as value / 255.

    Parameters
    ----------
    out : ndarray of float32 or float64, shape (B, I), C-contiguous
        Written.
    data : ndarray of uint8, float32 or float64, shape (N, I)
        Any strides, read-only or memory-mapped.
    index : ndarray of int64, shape (B,), entries in [0, N)
    """
    source = np.array(source_of(data))
    out, index = checked("BI B:int64", 1, in_place=False, out=out, index=index)
    n_rows, n_columns = data.shape
    if out.shape[1] != n_columns:
        raise ValueError(f"out must have {n_columns} columns, as data has; got shape {out.shape}")
    if index.size and not 0 <= index.min() <= index.max() < n_rows:
        raise ValueError(
            f"index must lie between 0 and {n_rows - 1}, the rows of data; "
            f"got values from {index.min()} to {index.max()}"
        )
    if np.may_share_memory(out, data):
        raise ValueError("out must not overlap data")
    _gather(out, source, index)
