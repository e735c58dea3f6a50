"""What a page is told of a model: its layers, its likelihood, its classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastvae import kernels
from fastvae.explore.rows import kinds_of
from fastvae.explore.weights import Precision, Type, packed
from fastvae.files.mixtures import PosteriorMixture
from fastvae.kernels.maths.activations import LEAKY_SLOPE
from fastvae.kernels.maths.row_likelihoods import LOG_RATE_MAX
from fastvae.model.kinds import KINDS
from fastvae.model.layers import Dense
from fastvae.model.vae import VAE


def check_finite(vae: VAE) -> None:
    """Raise a ValueError that names the first layer that a page cannot hold."""
    for name, layer in vae.named_layers().items():
        for part in (layer.weight, layer.bias):
            if not (np.abs(part) <= np.finfo(np.float32).max).all():
                raise ValueError(f"{name} holds a number that is not finite as float32")


def facts(vae: VAE) -> list[str]:
    """What is said of the model under its name."""
    hidden = [layer.n_out for layer in vae.encoder]
    back = [layer.n_out for layer in vae.decoder][:-1]
    sizes = [vae.n_features, *hidden, vae.n_latent, *back, vae.n_features]
    kinds = dict.fromkeys(kind for kind, _ in kinds_of(vae))
    *titles, last = (KINDS[kind].title for kind in kinds)
    title = f"{', '.join(titles)} and {last}" if titles else last
    found = ["–".join(map(str, sizes)), f"{title} likelihood"]
    if vae.n_classes:
        found.append(f"conditional on {vae.n_classes} classes")
    if vae.epochs:
        found.append(f"trained for {vae.epochs:,} epoch{'s' * (vae.epochs != 1)}")
    return found


def model_data(vae: VAE, kept: Precision) -> dict[str, Any]:
    """The model as the scripts take it."""
    layers = {name: _layer(layer, kept.type_of(name)) for name, layer in vae.named_layers().items()}
    last = f"decoder.{len(vae.decoder) - 1}"
    # Further outputs say what sigma is, which no mean depends on.
    layers[last] = _layer(vae.decoder.layers[-1], kept.type_of(last), vae.n_features)

    def stack(part: str) -> list[dict[str, Any]]:
        return [layer for name, layer in layers.items() if name.startswith(f"{part}.")]

    return {
        "nFeatures": vae.n_features,
        "nLatent": vae.n_latent,
        "nClasses": vae.n_classes,
        "classNames": vae.class_names,
        "kinds": kinds_of(vae),
        "ignoresMissing": vae.missing == "ignore",
        "encoder": stack("encoder"),
        "mean": layers["sampler.mean"],
        "logVar": layers["sampler.log_var"],
        "decoder": stack("decoder"),
        "prior": layers.get("prior"),
        "mixture": _mixture(vae.posterior_mixture),
        "leakySlope": LEAKY_SLOPE,
        "logRateMax": LOG_RATE_MAX,
        "logVarMin": kernels.LOG_VAR_MIN,
        "logVarMax": kernels.LOG_VAR_MAX,
    }


def _layer(layer: Dense, kind: Type, n_outputs: int | None = None) -> dict[str, Any]:
    """A layer, or its first outputs alone."""
    weight, bias = layer.weight[:n_outputs], layer.bias[:n_outputs]
    return {
        "nIn": weight.shape[1],
        "nOut": weight.shape[0],
        "activation": layer.activation,
        "weight": packed(weight, kind),
        "bias": packed(bias),
    }


def _mixture(mixture: PosteriorMixture | None) -> dict[str, Any] | None:
    if mixture is None:
        return None
    return {
        "weights": mixture.weights.tolist(),
        "means": packed(mixture.means),
        "cholesky": packed(mixture.cholesky),
    }
