"""PyTorch on several ranks at its best: DistributedDataParallel over gloo.

As `bench.torch_vae`, with gradients averaged by DistributedDataParallel: they are views of its
buckets, its graph is static, so that nothing is sought for in each step, and the exchange of one
bucket goes on while the next is computed. Each rank permutes its own rows, as PyTorch's
DistributedSampler does, and takes its share of each batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from bench.torch_vae import CompiledTorchVAE, TorchVAE
from bench.workload import Sizes

Tensor = Any
BUCKETS_MB = (25, 4)
"""PyTorch's own choice, and one by which the 1024-wide model has several buckets."""


def _variants(classes: tuple[type[TorchVAE], ...]) -> list[dict[str, Any]]:
    return [
        {**variant, "compiled": issubclass(which, CompiledTorchVAE), "bucket_mb": size}
        for which in classes
        for variant in which.training_variants
        for size in BUCKETS_MB
    ]


class _Loss(torch.nn.Module):
    """The loss of a batch as a module, which is what DistributedDataParallel takes."""

    def __init__(self, model: TorchVAE) -> None:
        super().__init__()
        self.layers = model.layers
        self._losses = model.losses

    def forward(self, data: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        loss, _, _ = self._losses(data, index, noise)
        return loss


class TorchRanks:
    """One rank of a training; see `bench.torch_vae.TorchVAE`.

    Parameters
    ----------
    sizes : Sizes
    compiled : whether the loss of a batch and its gradient are compiled
    bucket_mb : megabytes of gradients that are exchanged at once
    settings : of `TorchVAE` or `CompiledTorchVAE`
    """

    training_variants: ClassVar[list[dict[str, Any]]] = _variants((TorchVAE, CompiledTorchVAE))

    def __init__(self, sizes: Sizes, *, compiled: bool, bucket_mb: int, **settings: Any) -> None:
        self._model = (CompiledTorchVAE if compiled else TorchVAE)(sizes, **settings)
        self._bucket_mb = bucket_mb
        self.prepare = self._model.prepare

    def set_parameters(self, named: dict[str, Any]) -> None:
        """Take parameters, the same on all ranks."""
        self._model.set_parameters(named)
        loss = DistributedDataParallel(
            _Loss(self._model),
            bucket_cap_mb=self._bucket_mb,
            gradient_as_bucket_view=True,
            static_graph=True,
        )
        self._model.losses = lambda *batch: (loss(*batch), None, None)

    def fit(self, data: Tensor, epochs: int, batch_size: int) -> list[float]:
        """Train on the rows of this rank, with its share of batches of so many rows."""
        return self._model.fit(data, epochs, batch_size // dist.get_world_size())


@contextmanager
def group(rank: int, size: int, folder: Path) -> Iterator[None]:
    """The group of processes, which find each other by a file in a folder that all see."""
    store = f"file://{folder / 'gloo'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()
