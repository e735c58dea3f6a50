"""`python -m bench.published kingma2013`: the manifold and the samples of Kingma & Welling 2013."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.published.records import Call
from bench.published.settings.kingma2013 import Settings
from fastvae import VAE, plots
from fastvae.plots.style import new_figure, set_title

NAME = "kingma2013"
MANIFOLD, SAMPLES = "kingma2013-manifold.png", "kingma2013-samples.png"


def run(call: Call) -> None:
    """Train a model of each latent size; write both pictures and the test figures."""
    settings = Settings().shortened() if call.quick else Settings()
    train, test = call.images()
    figures: dict[str, Any] = {}
    models = {}
    began = time.perf_counter()
    for n_latent in settings.n_latents:
        vae = models[n_latent] = _trained(settings, n_latent, train, call)
        found = vae.elbo(test)
        assert vae.history is not None
        figures[str(n_latent)] = {
            "minus_elbo": round(-found.elbo, 2),
            "reconstruction": round(found.reconstruction, 2),
            "kl": round(found.kl, 2),
            "train_minus_elbo": round(-vae.history["elbo"][-1], 2),
            "seconds": round(sum(vae.history["seconds"]), 1),
        }
        print(f"{n_latent} latents: -ELBO of the test set {-found.elbo:.2f} nats", flush=True)
    seconds = time.perf_counter() - began
    _draw(models, settings, call)
    call.write(NAME, settings, figures, seconds)


def _trained(settings: Settings, n_latent: int, train: NDArray[Any], call: Call) -> VAE:
    vae = VAE.from_sizes(settings.n_features, settings.hidden, n_latent, "tanh", seed=settings.seed)
    generator = np.random.Generator(np.random.Philox(settings.seed))
    for layer in vae.named_layers().values():
        layer.weight = generator.normal(0, settings.start_deviation, (layer.n_out, layer.n_in))
        layer.bias = generator.normal(0, settings.start_deviation, layer.n_out)
    vae.fit(
        train,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        verbose=False,
        n_threads=call.n_threads,
    )
    return vae


def _draw(models: dict[int, VAE], settings: Settings, call: Call) -> None:
    call.places.pictures.mkdir(parents=True, exist_ok=True)
    figure = new_figure(5.4, 5.6)
    plots.manifold(models[2], settings.manifold_side, ax=figure.add_subplot())
    plots.save_figure(figure, call.places.pictures / MANIFOLD)
    figure = new_figure(9.6, 2.7)
    for place, (n_latent, vae) in enumerate(models.items(), 1):
        axes = figure.add_subplot(1, len(models), place)
        set_title(plots.samples(vae, settings.n_samples, ax=axes), f"{n_latent} latents")
    plots.save_figure(figure, call.places.pictures / SAMPLES)
