"""What one process, or each rank that mpiexec starts, does of a measurement.

`python -m bench.ranks.worker ORDER`, an `Order` as JSON; rank 0 prints what it found as JSON.
Processes live for one measurement: ranks that waited for their next order would spin meanwhile.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import contestants
from bench.workload import Sizes, initial_parameters
from fastvae import VAE
from fastvae.commands.launch import n_ranks
from fastvae.distributed.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Order:
    """What is to be measured.

    Attributes
    ----------
    contestant : "fastvae" or "torch"
    rows : the .npy file of the uint8 rows
    n_fits : of each setting, after a warm one of two updates; the median is reported
    settings : each one more measurement: its `batch_size`, and of fastvae `n_blocks` (0: as it
        comes), of PyTorch `variant`
    """

    contestant: str
    hidden: tuple[int, ...]
    n_latent: int
    rows: str
    folder: str
    n_threads: int
    n_fits: int
    settings: list[dict[str, Any]]

    def sizes(self, n_features: int) -> Sizes:
        """The model's sizes."""
        return Sizes(n_features, tuple(self.hidden), self.n_latent)


Setting = dict[str, Any]


def _ranks() -> Ranks:
    """The processes that a launcher has started; where it has not, MPI is left alone."""
    if n_ranks() == 1:
        return ALONE
    from mpi4py import MPI

    return Ranks(MPI.COMM_WORLD)


def _fastvae(order: Order, ranks: Ranks, rows: Any, setting: Setting) -> Callable[[int], object]:
    """A fit on the first rows."""
    sizes = order.sizes(rows.shape[1])
    vae = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent)
    spread: dict[str, Any] = {} if ranks.size == 1 else {"comm": ranks.comm}
    if setting["n_blocks"]:
        spread["n_blocks"] = setting["n_blocks"]

    def fit(n_rows: int) -> None:
        vae.fit(
            rows[:n_rows], epochs=1, batch_size=setting["batch_size"], verbose=False,
            n_threads=order.n_threads, **spread,
        )  # fmt: skip

    return fit


def _torch(order: Order, ranks: Ranks, rows: Any, setting: Setting) -> Callable[[int], object]:
    """A fit on this rank's part of the first rows."""
    sizes, rank, size = order.sizes(rows.shape[1]), ranks.rank, ranks.size
    variant = setting["variant"]
    if size == 1:
        model: Any = contestants.build(variant["contestant"], sizes, **variant["arguments"])
    else:
        from bench.ranks.torch_ranks import TorchRanks

        model = TorchRanks(sizes, **variant["arguments"])
    model.set_parameters(initial_parameters(sizes, rows))
    own = model.prepare(rows[rank * len(rows) // size : (rank + 1) * len(rows) // size])
    return lambda n_rows: model.fit(own[: n_rows // size], 1, setting["batch_size"])


def _seconds(
    ranks: Ranks, fit: Callable[[int], object], n_rows: int, batch_size: int, n_fits: int
) -> float:
    """Seconds of a step, of the median fit."""
    fit(2 * batch_size)
    found = []
    for _ in range(n_fits):
        ranks.of_all(None)
        begun = time.perf_counter()
        fit(n_rows)
        ranks.of_all(None)
        found.append(time.perf_counter() - begun)
    return statistics.median(found) * batch_size / n_rows


def _all(
    order: Order, ranks: Ranks, prepare: Callable[..., Callable[[int], object]]
) -> list[float]:
    rows = np.load(order.rows, mmap_mode="r" if order.contestant == "fastvae" else None)
    return [
        _seconds(
            ranks,
            prepare(order, ranks, rows, setting),
            len(rows),
            setting["batch_size"],
            order.n_fits,
        )
        for setting in order.settings
    ]


def _with_torch(order: Order, ranks: Ranks) -> list[float]:
    """PyTorch, in a group of its own where there are several ranks."""
    import torch

    torch.set_num_threads(order.n_threads)
    if ranks.size == 1:
        return _all(order, ranks, _torch)
    from bench.ranks.torch_ranks import group

    with group(ranks.rank, ranks.size, Path(order.folder)):
        return _all(order, ranks, _torch)


def main(order: Order) -> None:
    """Measure, and print what rank 0 found."""
    ranks = _ranks()
    torch = order.contestant == "torch"
    found = _with_torch(order, ranks) if torch else _all(order, ranks, _fastvae)
    if ranks.is_first:
        print(json.dumps(found))


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
