"""Gather: rows of a data set become rows of a batch."""

import numpy as np

from ..engine.data_tasks import array_source
from ..engine.programs import new_region
from ..engine.records import GATHER
from .arguments import checked
from .programs import run


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
    out, index = check_gather(out, data, index)
    region = new_region(GATHER, n_in=data.shape[1])
    region["target"]["stride"] = data.shape[1]
    flat = out.reshape(-1)
    run([region], [flat] * 4, flat, flat, [data], index)


def check_gather(
    out: np.ndarray, data: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `out` and `index` as plain arrays, all three checked."""
    array_source(data)  # refuses what cannot be read
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
    return out, index
