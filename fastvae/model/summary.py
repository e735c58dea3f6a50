"""The printed summary of a model: its layers, their shapes and parameter counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastvae.model.layers import Dense
    from fastvae.model.structure import Model

PRINTED_ACTIVATIONS = {
    "identity": "Identity",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
}


def dense_summary(layer: Dense) -> str:
    """The block that describes one layer."""
    title = f"DENSE {layer.n_in} -> {layer.n_out} [{PRINTED_ACTIVATIONS[layer.activation]}]"
    rule = "-" * (len(title) + 1)
    lines = [
        rule,
        title,
        rule,
        f"Total parameters: {layer.n_parameters}",
        f"---> WEIGHTS: ({layer.n_out}, {layer.n_in})",
        f"---> BIASES: ({layer.n_out},)",
        rule,
    ]
    return "\n".join(lines)


def vae_summary(vae: Model) -> str:
    """The summary of a whole model."""
    encoder, sampler, decoder = vae.encoder, vae.sampler, vae.decoder
    parts = [
        "-" * 20 + " VARIATIONAL AUTOENCODER (VAE) " + "-" * 20,
        f"TOTAL PARAMETERS = {vae.n_parameters}",
        _part("ENCODER", _numbered(encoder)),
        _part("SAMPLER", [("MEAN", sampler.mean), ("LOG_VAR", sampler.log_var)]),
        _part("DECODER", _numbered(decoder)),
        "-" * 70,
    ]
    return "\n\n".join(parts)


def _numbered(layers: Iterable[Dense]) -> list[tuple[str, Dense]]:
    return [(f"{number}.", layer) for number, layer in enumerate(layers, start=1)]


def _part(name: str, layers: list[tuple[str, Dense]]) -> str:
    """One of the three parts: a headline and its layers' blocks."""
    headline = "\n".join(["#" * 15, f"#   {name}   #", "#" * 15])
    blocks = [f" *** {title} Layer: ***\n{dense_summary(layer)}" for title, layer in layers]
    return "\n\n".join([headline, *blocks])
