"""Draw the picture of the README's first screen: what the shipped model makes of digits.

    python examples/overview_picture.py --output overview.png

At the left ten test digits above their reconstructions, and ways from a digit to another; at the
right samples from the prior. Nothing is chosen by its looks: the digits are the first of their
class in the test set, and the samples are those of seed 0.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, Dataset, plots
from fastvae.plots.style import FONT_SIZE, INK, MUTED, PAPER, TITLE_SIZE

Rows = NDArray[Any]

MODEL = "mnist_variational_autoencoder"
WAYS = ((3, 8), (4, 9), (1, 7), (5, 6))
N_STEPS, N_SAMPLES = 10, 100
WIDTH, HEIGHT, DPI = 1540, 660, 100  # of the picture, in pixels
LEFT, MIDDLE, UPPER, LOWER = 24, 938, 46, 279  # places of what is drawn in it


def first_of_classes(data: Dataset) -> Rows:
    """The first test digit of each class, in the order of the classes."""
    assert data.test_labels is not None
    return np.stack([data.test[data.test_labels == label][0] for label in range(10)]) / 255


def ways(vae: VAE, digits: Rows) -> Rows:
    """What the decoder makes of latents between digits, way after way."""
    mean, _ = vae.encode(digits)
    starts, ends = (mean[[way[end] for way in WAYS]] for end in (0, 1))
    latents = plots.interpolate(starts, ends, N_STEPS, spherical=True).swapaxes(0, 1)
    return vae.decode(latents.reshape(-1, vae.n_latent))


def draw(figure: Figure, rows: Rows, left: int, top: int, scale: int, title: str) -> None:
    """Draw ten digits a line, each of their pixels as `scale` pixels of the picture."""
    tiled = plots.tile_images(rows, 10, fill=np.nan)
    height, width = (scale * side for side in tiled.shape)
    place = (left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT)
    ax = figure.add_axes(place, frameon=False)
    ax.imshow(tiled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title, loc="left", fontsize=TITLE_SIZE + 4, color=INK)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="overview.png", help="picture to write")
    parser.add_argument("--dataset", default="mnist", help="digits: mnist, synthetic_digits")
    args = parser.parse_args()
    vae, digits = fastvae.load(MODEL), first_of_classes(Dataset(args.dataset))
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    pairs = np.concatenate([digits, vae.reconstruct(digits)])
    draw(figure, pairs, LEFT, UPPER, 3, "Digits of the test set, and below each its reconstruction")
    draw(figure, ways(vae, digits), LEFT, LOWER, 3, "From one digit to another")
    samples = vae.sample(N_SAMPLES, seed=0)
    draw(figure, samples, MIDDLE, UPPER, 2, "Samples from the prior")
    said = f"The model {MODEL}, which comes with fastvae, and the digits of {args.dataset}."
    figure.text(LEFT / WIDTH, 12 / HEIGHT, said, fontsize=FONT_SIZE + 1, color=MUTED)
    figure.savefig(args.output, dpi=DPI)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
