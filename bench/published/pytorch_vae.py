"""`python -m bench.published pytorch_vae`: the example of pytorch/examples, and its start.

With PyTorch's start of weights and biases, and with fastvae's, and with each part of either: which
of them makes the difference.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.published.records import Call
from bench.published.settings.pytorch_vae import ABLATION, Settings, Start
from fastvae import VAE, Adam
from fastvae.model.layers import Dense

NAME = "pytorch_vae"


def run(call: Call) -> None:
    """Train with each start and each seed, and write the test figures."""
    settings = Settings().shortened() if call.quick else Settings()
    train, test = call.images()
    figures: dict[str, Any] = {}
    began = time.perf_counter()
    for title, start in ABLATION.items():
        found = [_one(start, settings, seed, train, test, call) for seed in settings.seeds]
        figures[title] = {"minus_elbo": [round(-elbo, 3) for elbo, _ in found]}
        figures[title]["seconds"] = round(statistics.median(seconds for _, seconds in found), 1)
        mean = statistics.fmean(figures[title]["minus_elbo"])
        print(f"{title}: -ELBO {mean:.2f} nats, mean of {len(found)}", flush=True)
    call.write(NAME, settings, figures, time.perf_counter() - began)


def _one(
    start: Start,
    settings: Settings,
    seed: int,
    train: NDArray[np.uint8],
    test: NDArray[np.uint8],
    call: Call,
) -> tuple[float, float]:
    """The test ELBO, one draw a row, and the seconds of the training."""
    vae = started(start, settings, seed)
    eps = 1e-8 / settings.batch_size if start.epsilon else 1e-8
    history = vae.fit(
        train,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        optimizer=Adam(eps=eps),
        verbose=False,
        n_threads=call.n_threads,
    )
    return vae.elbo(test, seed=seed).elbo, sum(history["seconds"])


def started(start: Start, settings: Settings, seed: int) -> VAE:
    """Return a new model whose layers start as is said.

    The example's layers are PyTorch's `Linear`: weights and biases from U(-b, b) with
    b = 1 / sqrt(fan_in). An output bias that is not all 0 stays when training begins.
    """
    vae = VAE.from_sizes(settings.n_features, settings.hidden, settings.n_latent, "relu", seed=seed)
    generator = np.random.Generator(np.random.Philox(seed))
    layers: list[Dense] = list(vae.named_layers().values())
    for layer in layers:
        bound = 1 / np.sqrt(layer.n_in)
        weight = generator.uniform(-bound, bound, (layer.n_out, layer.n_in))
        bias = generator.uniform(-bound, bound, layer.n_out)
        if start.weights:
            layer.weight = weight
        if start.output_bias if layer is layers[-1] else start.hidden_biases:
            layer.bias = bias
    return vae
