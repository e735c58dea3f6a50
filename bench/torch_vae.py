"""The same VAE in PyTorch at its best: eager, and compiled.

The rows are one tensor in memory, each epoch takes them by one random permutation, there is no
DataLoader, Adam is the fused one, gradients are dropped rather than zeroed, losses are summed on
the tensor side, and nothing is read back before the epoch is over. Subnormal numbers are flushed to
zero in all threads, as XLA does for JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    Estimate,
    Sizes,
    importance_estimate,
    join_heads,
    split_heads,
)

# A setting of this thread, which those of the pool inherit that its first operation starts.
torch.set_flush_denormal(True)

Tensor = Any
Losses = tuple[Tensor, Tensor, Tensor]
"""Sums over the rows of a batch: loss (with its graph), reconstruction and KL."""


def _likelihood_variants() -> list[dict[str, Any]]:
    """Block sizes, what threads share, and whose product, for `log_likelihood`."""
    products = ["MKL", "oneDNN"] if torch.backends.mkldnn.is_available() else ["MKL"]
    return [
        {"block": block, "split": split, "product": product}
        for product in products
        for split, blocks in (("operation", (500, 1000)), ("rows", (125, 250, 500)))
        for block in blocks
    ]


class TorchVAE:
    """Eager PyTorch; see `bench.contestants.Contestant`.

    Parameters
    ----------
    sizes : Sizes
    storage : "float32" or "uint8", the type that the rows have in memory
    chunk : rows per pass of `encode` and `decode`; 0: all at once
    block : samples per pass of `log_likelihood`
    split : what threads share there, the work of each "operation" or the "rows"
    product : of the last layer there: "MKL", or "oneDNN" with weights that it has packed
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
    likelihood_variants: ClassVar[list[dict[str, Any]]] = _likelihood_variants()

    def __init__(
        self,
        sizes: Sizes,
        *,
        storage: str = "float32",
        chunk: int = 0,
        block: int = 500,
        split: str = "operation",
        product: str = "MKL",
    ) -> None:
        self.sizes = sizes
        self._float = storage == "float32"
        self._chunk = chunk
        self._block = block
        self._split = split
        self._product = product
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(n_in, n_out) for n_in, n_out in sizes.dense_shapes
        )
        self._optimizer = self._new_optimizer()
        self.losses: Callable[..., Losses] = self._batch_losses
        self._encode: Callable[[Tensor], Tensor] = self._encode_rows
        self._decode: Callable[[Tensor], Tensor] = self._decode_latents
        self._draw: Callable[..., tuple[Tensor, Tensor]] = self._draw_latents
        self._weigh: Callable[..., Tensor] = self._weigh_latents

    def set_parameters(self, named: dict[str, Array]) -> None:
        with torch.no_grad():
            given = join_heads(named, self.sizes)
            for layer, (weight, bias) in zip(self.layers, given, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
        self._optimizer = self._new_optimizer()

    def get_parameters(self) -> dict[str, Array]:
        layers = [
            (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in self.layers
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
        loss, reconstruction, kl = self.losses(data, index, drawn)
        loss.backward(_inverse(len(rows)))
        layers = [(layer.weight.grad.numpy(), layer.bias.grad.numpy()) for layer in self.layers]
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
    def log_likelihood(self, data: Tensor, n_samples: int) -> Estimate:
        x = self._pixels(data)
        mean, log_var = self._encode_rows(data).split(self.sizes.n_latent, 1)
        weights = self._log_weights(x, mean, log_var, n_samples)
        largest = weights.amax(1)
        weights.sub_(largest[:, None]).exp_()
        total, squares = weights.sum(1), weights.square_().sum(1)
        return importance_estimate(largest.numpy(), total.numpy(), squares.numpy(), n_samples)

    def _log_weights(self, x: Tensor, mean: Tensor, log_var: Tensor, n_samples: int) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) of draws z for each row, (rows, samples).

        x . logits = h . (W^T x) + b . x with the last hidden layer h: the logits are read once.
        """
        last = self.layers[-1]
        given = x @ last.weight, mean, (0.5 * log_var).exp()
        weights = ((x @ last.bias) + 0.5 * log_var.sum(1))[:, None].repeat(1, n_samples)
        if self._split == "operation":
            self._add_log_weights(weights, *given)
            return weights
        n_threads = torch.get_num_threads()
        parts = (tensor.tensor_split(n_threads) for tensor in (weights, *given))
        try:
            with ThreadPoolExecutor(n_threads, initializer=_alone) as pool:
                list(pool.map(self._add_log_weights, *parts))
        finally:
            torch.set_num_threads(n_threads)
        return weights

    @torch.inference_mode()
    def _add_log_weights(self, weights: Tensor, slopes: Tensor, mean: Tensor, std: Tensor) -> None:
        """Add what is not the same for all draws to the rows' log weights."""
        product = self._last_product()
        noises = torch.empty(self._block, self.sizes.n_latent)
        for out, slope, m, s in zip(weights, slopes, mean, std, strict=True):
            for part in out.split(self._block):
                noise = noises[: len(part)].normal_()
                z, hidden = self._draw(noise, m, s)
                part += self._weigh(product(hidden), hidden, slope, noise, z)

    def _last_product(self) -> Callable[[Tensor], Tensor]:
        """The last layer: from its inputs to logits that may be overwritten."""
        last = self.layers[-1]
        if self._product == "MKL":
            return last
        # What `torch.compile` calls for packed weights: oneDNN's product, which has no public name.
        packed = torch.ops.mkldnn._reorder_linear_weight(last.weight, self._block)
        linear = torch.ops.mkldnn._linear_pointwise
        return lambda hidden: linear(hidden, packed, last.bias, "none", [], "")

    def _draw_latents(self, noise: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Latents, and the last hidden layer."""
        h = z = torch.addcmul(mean, noise, std)
        for layer in self.layers[self.sizes.n_encoder + 1 : -1]:
            h = F.relu(layer(h))
        return z, h

    def _weigh_latents(
        self, logits: Tensor, hidden: Tensor, slope: Tensor, noise: Tensor, z: Tensor
    ) -> Tensor:
        softplus = F.softplus(logits, 1, 20, out=logits).sum(1)
        return (hidden @ slope).sub_(softplus).add_(_log_densities(noise, z))

    def _new_optimizer(self) -> Any:
        return torch.optim.Adam(
            self.layers.parameters(),
            lr=LEARNING_RATE,
            betas=(BETA1, BETA2),
            eps=EPS,
            fused=True,
        )

    def _update(self, data: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """Do one update; return the batch's loss, summed over its rows."""
        self._optimizer.zero_grad(set_to_none=True)
        loss, _, _ = self.losses(data, index, noise)
        loss.backward(_inverse(len(index)))
        self._optimizer.step()
        return loss.detach()

    def _pixels(self, rows: Tensor) -> Tensor:
        return rows if self._float else rows.float() * (1 / 255)

    def _encode_rows(self, rows: Tensor) -> Tensor:
        return self._heads(self._pixels(rows))

    def _heads(self, x: Tensor) -> Tensor:
        for layer in self.layers[: self.sizes.n_encoder]:
            x = F.relu(layer(x))
        return self.layers[self.sizes.n_encoder](x)

    def _logits(self, z: Tensor) -> Tensor:
        for layer in self.layers[self.sizes.n_encoder + 1 : -1]:
            z = F.relu(layer(z))
        return self.layers[-1](z)

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
    sizes, storage, chunk, block, split, product
        See `TorchVAE`.
    mode : a mode of `torch.compile`
    factors : in `log_likelihood`, of how many 1 + exp(-|logit|) one logarithm is taken
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
    likelihood_variants: ClassVar[list[dict[str, Any]]] = [
        variant | {"factors": factors}
        for variant in _likelihood_variants()
        for factors in (1, 8)
        if factors > 1 or variant["block"] == 500
    ]

    def __init__(
        self,
        sizes: Sizes,
        *,
        storage: str = "float32",
        mode: str = "default",
        chunk: int = 0,
        block: int = 500,
        split: str = "operation",
        product: str = "MKL",
        factors: int = 1,
    ) -> None:
        super().__init__(
            sizes, storage=storage, chunk=chunk, block=block, split=split, product=product
        )
        # One graph per batch size: the last, smaller batch must not make the others dynamic.
        self.losses = torch.compile(self._batch_losses, dynamic=False, mode=mode)
        self._encode = torch.compile(self._encode_rows, dynamic=False, mode=mode)
        self._decode = torch.compile(self._decode_latents, dynamic=False, mode=mode)
        self._factors = factors
        self._compiles_weights = True

    def _log_weights(self, x: Tensor, mean: Tensor, log_var: Tensor, n_samples: int) -> Tensor:
        if self._compiles_weights:
            # Programs count towards a limit of their code; those of other variants are done with.
            torch.compiler.reset()
            options: dict[str, Any] = {"cpp.threads": 1 if self._split == "rows" else -1}
            self._draw = torch.compile(self._draw_latents, dynamic=False, options=options)
            self._weigh = torch.compile(self._weigh_latents, dynamic=False, options=options)
            self._compiles_weights = False
        return super()._log_weights(x, mean, log_var, n_samples)

    def _weigh_latents(
        self, logits: Tensor, hidden: Tensor, slope: Tensor, noise: Tensor, z: Tensor
    ) -> Tensor:
        softplus = _softplus_sums(logits, self._factors)
        return (hidden * slope).sum(1) - softplus + _log_densities(noise, z)


def _log_densities(noise: Tensor, z: Tensor) -> Tensor:
    """log p(z) - log q(z | x), without what is the same for all draws."""
    return 0.5 * (noise.square().sum(1) - z.square().sum(1))


def _softplus_sums(logits: Tensor, factors: int) -> Tensor:
    """Sums over each row of log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|))."""
    if factors == 1 or logits.shape[1] % factors:
        return F.softplus(logits).sum(1)
    total: Tensor = 0
    product: Tensor = 1
    for part in logits.chunk(factors, 1):
        total = total + part.clamp_min(0)
        product = product * (1 + torch.exp(-part.abs()))
    return (total + torch.log(product)).sum(1)


def _alone() -> None:
    """Set a thread that shares nothing with others; it flushes subnormals as its parent does."""
    torch.set_num_threads(1)


@cache
def _inverse(n_rows: int) -> Tensor:
    """1 / n as a tensor: given to `backward`, it saves a division in each step's graph."""
    return torch.tensor(1 / n_rows)
