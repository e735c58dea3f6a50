"""The same VAE in PyTorch at its best: eager, and compiled.

The rows are one tensor in memory, each epoch takes them by one random permutation, there is no
DataLoader, Adam is the fused one, gradients are dropped rather than zeroed, losses are summed on
the tensor side, and nothing is read back before the epoch is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bench.workload import (
    BETA1,
    BETA2,
    EPS,
    LEARNING_RATE,
    Array,
    Sizes,
    join_heads,
    split_heads,
)

Tensor = Any
Losses = tuple[Tensor, Tensor, Tensor]
"""Sums over the rows of a batch: loss (with its graph), reconstruction and KL."""


class TorchVAE:
    """Eager PyTorch; see `bench.contestants.Contestant`.

    Parameters
    ----------
    sizes : Sizes
    storage : "float32" or "uint8", the type that the rows have in memory
    chunk : rows per pass of `encode` and `decode`, and latents of `log_likelihood`; 0: all at once
    """

    training_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32"},
        {"storage": "uint8"},
    ]
    pass_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32", "chunk": 0},
        {"storage": "float32", "chunk": 1000},
        {"storage": "uint8", "chunk": 1000},
    ]
    sampling_variants: ClassVar[list[dict[str, Any]]] = [
        {"chunk": chunk} for chunk in (250, 500, 1000, 5000)
    ]

    def __init__(self, sizes: Sizes, *, storage: str = "float32", chunk: int = 0) -> None:
        self.sizes = sizes
        self._float = storage == "float32"
        self._chunk = chunk
        self._layers = torch.nn.ModuleList(
            torch.nn.Linear(n_in, n_out) for n_in, n_out in sizes.dense_shapes
        )
        self._optimizer = self._new_optimizer()
        self._losses: Callable[..., Losses] = self._batch_losses
        self._encode: Callable[[Tensor], Tensor] = self._encode_rows
        self._decode: Callable[[Tensor], Tensor] = self._decode_latents
        self._weights: Callable[..., Tensor] = self._log_weights

    def set_parameters(self, named: dict[str, Array]) -> None:
        with torch.no_grad():
            given = join_heads(named, self.sizes)
            for layer, (weight, bias) in zip(self._layers, given, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        self._optimizer = self._new_optimizer()

    def get_parameters(self) -> dict[str, Array]:
        layers = [
            (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self._layers
        ]
        return split_heads(layers, self.sizes)

    def save(self, path: Path) -> None:
        save_file(self.get_parameters(), path)

    def prepare(self, rows: NDArray[np.uint8]) -> Tensor:
        data = torch.from_numpy(np.array(rows))
        return data.float().mul_(1 / 255) if self._float else data

    def fit(self, data: Tensor, epochs: int, batch_size: int) -> list[float]:
        self._optimizer = self._new_optimizer()
        losses = []
        for _ in range(epochs):
            batches = torch.randperm(len(data)).split(batch_size)
            noises = torch.randn(len(data), self.sizes.n_latent).split(batch_size)
            total = torch.zeros(())
            for index, noise in zip(batches, noises, strict=True):
                total += self._update(data, index, noise)
            losses.append(total.item() / len(data))
        return losses

    def gradients(
        self, rows: NDArray[np.uint8], noise: Array
    ) -> tuple[float, float, dict[str, Array]]:
        index = torch.arange(len(rows))
        self._optimizer.zero_grad(set_to_none=True)
        data, drawn = self.prepare(rows), torch.from_numpy(noise)
        loss, reconstruction, kl = self._losses(data, index, drawn)
        loss.backward(_inverse(len(rows)))
        layers = [(layer.weight.grad.numpy(), layer.bias.grad.numpy()) for layer in self._layers]
        named = split_heads(layers, self.sizes)
        return reconstruction.item() / len(rows), kl.item() / len(rows), named

    def step(self, rows: NDArray[np.uint8], noise: Array) -> None:
        self._update(self.prepare(rows), torch.arange(len(rows)), torch.from_numpy(noise))

    @torch.inference_mode()
    def encode(self, data: Tensor) -> tuple[Tensor, Tensor]:
        heads = self._in_chunks(self._encode, data, 2 * self.sizes.n_latent)
        return heads.split(self.sizes.n_latent, 1)

    @torch.inference_mode()
    def decode(self, latents: Array) -> Tensor:
        return self._in_chunks(self._decode, torch.from_numpy(latents), self.sizes.n_features)

    @torch.inference_mode()
    def sample(self, n: int) -> Tensor:
        latents = torch.randn(n, self.sizes.n_latent)
        return self._in_chunks(self._decode, latents, self.sizes.n_features)

    @torch.inference_mode()
    def evaluate(self, data: Tensor) -> tuple[float, float]:
        noise = torch.randn(len(data), self.sizes.n_latent)
        _, reconstruction, kl = self._batch_losses(data, torch.arange(len(data)), noise)
        return reconstruction.item() / len(data), kl.item() / len(data)

    @torch.inference_mode()
    def log_likelihood(self, data: Tensor, n_samples: int) -> float:
        x = self._pixels(data)
        mean, log_var = self._heads(x).split(self.sizes.n_latent, 1)
        chunk = min(self._chunk or n_samples, n_samples)
        total = torch.zeros((), dtype=torch.float64)
        for row in zip(x, mean, log_var, strict=True):
            weights = [
                self._weights(*row, torch.randn(min(chunk, n_samples - first), len(row[1])))
                for first in range(0, n_samples, chunk)
            ]
            total += torch.logsumexp(torch.cat(weights).double(), 0)
        return total.item() / len(x) - math.log(n_samples)

    def _log_weights(self, x: Tensor, mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        """log p(x | z) p(z) / q(z | x) of some latents of a row (Burda et al. 2016, eq. 8)."""
        z = torch.addcmul(mean, torch.exp(0.5 * log_var), noise)
        logits = self._logits(z)
        log_p = logits @ x - F.softplus(logits).sum(1)
        return log_p + 0.5 * (noise.square().sum(1) + log_var.sum() - z.square().sum(1))

    def _new_optimizer(self) -> Any:
        return torch.optim.Adam(
            self._layers.parameters(),
            lr=LEARNING_RATE,
            betas=(BETA1, BETA2),
            eps=EPS,
            fused=True,
        )

    def _update(self, data: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """Do one update; return the batch's loss, summed over its rows."""
        self._optimizer.zero_grad(set_to_none=True)
        loss, _, _ = self._losses(data, index, noise)
        loss.backward(_inverse(len(index)))
        self._optimizer.step()
        return loss.detach()

    def _pixels(self, rows: Tensor) -> Tensor:
        return rows if self._float else rows.float() * (1 / 255)

    def _encode_rows(self, rows: Tensor) -> Tensor:
        return self._heads(self._pixels(rows))

    def _heads(self, x: Tensor) -> Tensor:
        for layer in self._layers[: self.sizes.n_encoder]:
            x = F.relu(layer(x))
        return self._layers[self.sizes.n_encoder](x)

    def _logits(self, z: Tensor) -> Tensor:
        for layer in self._layers[self.sizes.n_encoder + 1 : -1]:
            z = F.relu(layer(z))
        return self._layers[-1](z)

    def _decode_latents(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self._logits(z))

    def _batch_losses(self, data: Tensor, index: Tensor, noise: Tensor) -> Losses:
        x = self._pixels(data.index_select(0, index))
        mean, log_var = self._heads(x).split(self.sizes.n_latent, 1)
        logits = self._logits(mean + torch.exp(0.5 * log_var) * noise)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (log_var.exp() + mean.square() - 1 - log_var).sum()
        return reconstruction + kl, reconstruction.detach(), kl.detach()

    def _in_chunks(self, function: Callable[[Tensor], Tensor], rows: Tensor, width: int) -> Tensor:
        if not self._chunk:
            return function(rows)
        out = torch.empty(len(rows), width)
        for part, place in zip(rows.split(self._chunk), out.split(self._chunk), strict=True):
            place.copy_(function(part))
        return out


class CompiledTorchVAE(TorchVAE):
    """The same with `torch.compile`: gather, forward and backward are compiled, Adam is fused.

    Parameters
    ----------
    sizes, storage, chunk
        See `TorchVAE`.
    mode : a mode of `torch.compile`
    """

    training_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32", "mode": "default"},
        {"storage": "uint8", "mode": "default"},
        {"storage": "float32", "mode": "max-autotune-no-cudagraphs"},
    ]
    pass_variants: ClassVar[list[dict[str, Any]]] = [
        {"storage": "float32", "mode": "default", "chunk": 0},
        {"storage": "float32", "mode": "default", "chunk": 1000},
        {"storage": "uint8", "mode": "default", "chunk": 1000},
    ]
    sampling_variants: ClassVar[list[dict[str, Any]]] = [
        {"mode": "default", "chunk": chunk} for chunk in (250, 500, 1000, 5000)
    ]

    def __init__(
        self, sizes: Sizes, *, storage: str = "float32", mode: str = "default", chunk: int = 0
    ) -> None:
        super().__init__(sizes, storage=storage, chunk=chunk)
        # One graph per batch size: the last, smaller batch must not make the others dynamic.
        self._losses = torch.compile(self._batch_losses, dynamic=False, mode=mode)
        self._encode = torch.compile(self._encode_rows, dynamic=False, mode=mode)
        self._decode = torch.compile(self._decode_latents, dynamic=False, mode=mode)
        self._weights = torch.compile(self._log_weights, dynamic=False, mode=mode)


@cache
def _inverse(n_rows: int) -> Tensor:
    """1 / n as a tensor: given to `backward`, it saves a division in each step's graph."""
    return torch.tensor(1 / n_rows)
