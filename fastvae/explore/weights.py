"""Parameters as a page holds them: base64 of float16 where that is precise enough, else float32."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.explore.rows import Chosen
from fastvae.model.vae import VAE

Type: TypeAlias = Literal["float16", "float32", "uint8"]

MEANS_TOLERANCE, LATENTS_TOLERANCE = 1e-3, 2e-3
"""What rounding may change of decoded and of encoded means, relative where they are above 1."""
_N_PROBES = 256
_SPREAD = 1.5
"""Latents that are tried lie further out than those of the prior: a slider leads there."""


class Precision(NamedTuple):
    """How weights are kept: those of which layers as float32; the most that rounding changes."""

    wide: frozenset[str]
    means_error: float
    latents_error: float

    def type_of(self, layer: str) -> Type:
        """What the weights of a layer are kept as."""
        return "float32" if layer in self.wide or layer == "prior" else "float16"


def packed(array: NDArray[Any], kind: Type = "float32") -> dict[str, str]:
    """An array's bytes, little-endian and row by row, as JSON takes them."""
    content = np.ascontiguousarray(array).astype(np.dtype(kind).newbyteorder("<"))
    return {"type": kind, "data": base64.b64encode(content.tobytes()).decode("ascii")}


def precision(vae: VAE, chosen: Chosen, seed: int) -> Precision:
    """Find which layers float16 is precise enough for, by what it changes of the model's results.

    A layer that float16 cannot hold is kept as float32 at once; others one after the other, those
    first without whose rounding the results are nearest.
    """
    z, labels = _probes(vae, chosen, seed)
    names = [name for name in vae.named_layers() if name != "prior"]
    rounded = copy.deepcopy(vae)
    narrow = {name for name in names if _round(rounded, name)}

    def decoded(model: VAE) -> NDArray[Any]:
        return model.decode(z, labels=labels)

    decoder = [name for name in names if name.startswith("decoder.")]
    encoder = [name for name in names if name not in decoder]
    latents = _settle(vae, rounded, encoder, narrow, chosen.means_by, LATENTS_TOLERANCE)
    means = _settle(vae, rounded, decoder, narrow, decoded, MEANS_TOLERANCE)
    return Precision(frozenset(set(names) - narrow), means, latents)


def _probes(vae: VAE, chosen: Chosen, seed: int) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Latents that are decoded to see what rounding does, and their labels."""
    noise = np.empty((_N_PROBES, vae.n_latent), vae.dtype)
    kernels.normal(noise, seed, kernels.STREAM_PRIOR, 0)
    z = np.concatenate([_SPREAD * noise, chosen.means.astype(vae.dtype)])
    return z, np.arange(len(z)) % vae.n_classes if vae.n_classes else None


def _round(model: VAE, name: str) -> bool:
    """Round the weights of a layer to float16, if it can hold them; return whether it can."""
    layer = model.named_layers()[name]
    weight = layer.weight
    if np.abs(weight).max() > np.finfo(np.float16).max:
        return False
    layer.weight = weight.astype(np.float16)
    return True


def _settle(
    exact: VAE,
    rounded: VAE,
    names: Iterable[str],
    narrow: set[str],
    results: Callable[[VAE], NDArray[Any]],
    tolerance: float,
) -> float:
    """Take layers out of `narrow` until results are precise enough; return what their error is."""
    wanted = results(exact)
    layers, exact_layers = rounded.named_layers(), exact.named_layers()

    def error_without(name: str) -> float:
        layer, kept = layers[name], layers[name].weight
        layer.weight = exact_layers[name].weight
        error = _error(wanted, results(rounded))
        layer.weight = kept
        return error

    error = _error(wanted, results(rounded))
    left = [name for name in names if name in narrow]
    while error > tolerance and left:
        errors = {name: error_without(name) for name in left}
        best = min(errors, key=errors.__getitem__)
        layers[best].weight = exact_layers[best].weight
        left.remove(best)
        narrow.remove(best)
        error = errors[best]
    return error


def _error(exact: NDArray[Any], found: NDArray[Any]) -> float:
    """The greatest difference, relative where values are above 1."""
    return float(np.max(np.abs(found - exact) / np.maximum(np.abs(exact), 1.0)))
