"""Gather rows and make them binary: each value becomes 1 or 0."""

import numpy as np

from ..engine.binary_tasks import run_binary_task
from ..engine.programs import new_region
from ..engine.records import GATHER
from ..engine.regions import task_address
from ..maths.binary import BINARIZATIONS
from .arguments import checked, whole_number
from .gather import check_gather
from .programs import run


def gather_binary(
    out: np.ndarray, data: np.ndarray, index: np.ndarray, keys: np.ndarray,
    binarization: int, seed: int,
) -> None:  # fmt: skip
    """out = data[index], each value p in [0, 1] made 1 or 0: see `maths.binary`.

    By "threshold" it becomes 1 from 0.5 on. By "dynamic" and "fixed" it becomes 1 where u <= p,
    with u in (0, 1] a function of the row's key, the column and, by "dynamic", the seed.

    Parameters
    ----------
    out : ndarray of float32 or float64, shape (B, I), C-contiguous
        Written.
    data : ndarray of uint8, float32 or float64, shape (N, I)
        Any strides, read-only or memory-mapped; uint8 is read as value / 255.
    index : ndarray of int64, shape (B,), entries in [0, N)
    keys : ndarray of int64, shape (N,)
        The key of each row: its number, for the draws of `VAE.fit` and `VAE.elbo`.
    binarization : int
        A code of `BINARIZATIONS`.
    seed : int
        Key (64 bits) of the random numbers.
    """
    out, index = check_gather(out, data, index)
    (keys,) = checked("N:int64", 0, keys=keys)
    if len(keys) != len(data):
        raise ValueError(f"keys must have shape ({len(data)},), as data has; got {keys.shape}")
    if np.may_share_memory(out, keys):
        raise ValueError("out must not overlap keys")
    region = new_region(
        GATHER,
        n_in=data.shape[1],
        mode=whole_number(binarization, "binarization", 0, len(BINARIZATIONS) - 1),
        row_keys=keys.ctypes.data,
        task_address=task_address(out.dtype, run_binary_task),
    )
    region["target"]["stride"] = data.shape[1]
    flat, seed = out.reshape(-1), whole_number(seed, "seed", 0, 2**64 - 1)
    run([region], [flat] * 4, flat, flat, [data], index, seed=seed)
