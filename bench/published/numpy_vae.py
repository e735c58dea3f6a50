"""`python -m bench.published numpy_vae`: the NumPy system that the seed cites, beside fastvae.

Both start from the same weights and are trained on the same rows with the same objective. The
curves are of held-out rows, all with the same noise.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from bench.published.numpy_reference import NumpySystem, start, watched
from bench.published.records import Call
from bench.published.settings.numpy_vae import Settings
from fastvae import VAE, RMSprop
from fastvae.callbacks import Callback
from fastvae.plots import save_figure
from fastvae.plots.style import (
    FONT_SIZE,
    INK,
    PALETTE,
    label_axes,
    new_figure,
    set_title,
    style_chart,
)

NAME = "numpy_vae"
PICTURE = "numpy-loss.png"
NOTEBOOK, OWN_NOISE, OURS = "the notebook", "the notebook with the draw's own noise", "fastvae"
_LOOKS = {OURS: (PALETTE[0], "-"), NOTEBOOK: (PALETTE[3], "-"), OWN_NOISE: (PALETTE[1], "--")}
"""Colour and style of each system's curves."""


class Watch(Callback):
    """The figures of held-out rows in the course of a training.

    Parameters
    ----------
    settings : Settings
    held_out : (n, features) uint8
    seed : of the noise
    """

    def __init__(self, settings: Settings, held_out: NDArray[np.uint8], seed: int) -> None:
        self.settings = settings
        self.rows = held_out[: settings.n_watched]
        self.pixels = self.rows / 255
        shape = len(self.rows), settings.n_latent
        self.noise = np.random.Generator(np.random.Philox(seed + 2)).standard_normal(shape)
        self.images: list[int] = []
        self.points: list[list[float]] = []
        self.n_rows = 0

    def look(self, model: Any, n_images: int, *, pixels: bool) -> None:
        """Add a point: the figures after so many images."""
        rows = self.pixels if pixels else self.rows
        found = watched(model, rows, self.pixels, self.noise)
        self.images.append(n_images)
        self.points.append([round(value, 5) for value in found])

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        """The point before the first update."""
        self.n_rows = n_rows
        self.look(vae, 0, pixels=False)

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        """A point after each run of updates; where those end does not depend on the machine."""
        self.look(vae, (epoch - 1) * self.n_rows + n_done, pixels=False)


def run(call: Call) -> None:
    """Train all three with each seed; write the curves and their picture after each seed."""
    settings = Settings().shortened() if call.quick else Settings()
    images = np.concatenate(call.images())
    figures: dict[str, Any] = {}
    began = time.perf_counter()
    for seed in settings.seeds:
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(images))
        n_train = int(settings.train_share * len(images))
        train, held_out = images[order[:n_train]], images[order[n_train:]]
        for name in (NOTEBOOK, OWN_NOISE, OURS):
            watch = Watch(settings, held_out, seed)
            start_seconds = time.perf_counter()
            if name == OURS:
                _train_ours(settings, train, seed, watch, call)
            else:
                _train_theirs(settings, train, seed, watch, own_noise=name == OWN_NOISE)
            seconds = time.perf_counter() - start_seconds
            figures.setdefault(name, []).append(
                {
                    "seed": seed,
                    "images": watch.images,
                    "squared_error": [point[0] for point in watch.points],
                    "kl_per_latent": [point[1] for point in watch.points],
                    "sigma": [point[2] for point in watch.points],
                    "seconds": round(seconds, 1),
                }
            )
            error, kl, sigma = watch.points[-1]
            print(f"{name}: squared error {error:.4f}, KL {kl:.3f}, sigma {sigma:.2f}", flush=True)
        draw(figures, call.places.pictures)
        call.write(NAME, settings, figures, time.perf_counter() - began)


def _train_theirs(
    settings: Settings, train: NDArray[np.uint8], seed: int, watch: Watch, *, own_noise: bool
) -> None:
    system = NumpySystem(settings, seed, own_noise=own_noise)
    watch.look(system, 0, pixels=True)
    n_updates = 0
    for epoch in range(settings.epochs):
        for first in range(0, len(train), settings.batch_size):
            batch = train[first : first + settings.batch_size] / 255
            system.step(batch)
            n_updates += 1
            if n_updates % settings.every == 0:
                watch.look(system, epoch * len(train) + first + len(batch), pixels=True)


def our_model(settings: Settings, seed: int) -> VAE:
    """Return a model of fastvae with the notebook's layers, loss and start."""
    vae = VAE.from_sizes(
        settings.n_features,
        settings.hidden,
        settings.n_latent,
        "relu",
        likelihood="gaussian",
        output_activation="identity",
        reconstruction_weight=settings.reconstruction_weight,
        beta=settings.beta,
        seed=seed,
    )
    for layer, (weight, bias) in zip(
        vae.named_layers().values(), start(settings, seed).values(), strict=True
    ):
        layer.weight, layer.bias = weight.T, bias
    return vae


def _train_ours(
    settings: Settings, train: NDArray[np.uint8], seed: int, watch: Watch, call: Call
) -> None:
    our_model(settings, seed).fit(
        train,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        optimizer=RMSprop(decay=settings.decay, eps=settings.eps),
        callbacks=[watch],
        verbose=False,
        n_threads=call.n_threads,
    )


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Draw the curves of all three: squared error, KL and sigma against the images seen."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(9.6, 3.4)
    titles = {
        "squared_error": "squared error of a pixel",
        "kl_per_latent": "KL of a latent, nats",
        "sigma": "mean sigma",
    }
    for place, (key, title) in enumerate(titles.items(), 1):
        axes = figure.add_subplot(1, 3, place)
        for name, runs in figures.items():
            for number, one in enumerate(runs):
                label = name if number == 0 else None
                colour, style = _LOOKS[name]
                axes.plot(one["images"][1:], one[key][1:], style, color=colour, lw=1, label=label)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        style_chart(axes)
        label_axes(axes, "images seen", "")
        set_title(axes, title)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=FONT_SIZE,
        labelcolor=INK,
    )
    save_figure(figure, folder / PICTURE)
