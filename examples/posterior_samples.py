"""How much do samples look like digits? Those of the prior beside those of the posterior mixture.

    python examples/posterior_samples.py --output posterior_samples.png

A classifier (scikit-learn's MLPClassifier, 256 hidden units) learns the digits of MNIST. Of samples
from each model it is asked how probable it finds its own answer: the mean of the largest class
probability, and the share of samples in which that is above 0.9. What is no digit gets lower ones,
as a rule. That says nothing about whether samples are varied, so the shares of the digits are
looked at, too. Models are the two of MNIST that come with fastvae, and the default one after 10
epochs; their mixtures are fitted to the training rows as `fit_posterior` does by default. A table
in Markdown is printed, and a picture written.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import fastvae
from fastvae import VAE, Dataset, plots
from fastvae.plots.style import CAPTION_SIZE, INK, new_figure

Rows = NDArray[Any]

SURE = 0.9
SHIPPED = ("mnist_variational_autoencoder", "mnist_two_dimensional")
N_SHOWN, N_COLUMNS = 36, 12


def models(data: Dataset, n_epochs: int) -> Iterator[tuple[str, VAE]]:
    """What samples are drawn from, by its name."""
    for name in SHIPPED:
        yield name, fastvae.load(name)
    vae = VAE.from_sizes(seed=0)
    vae.fit(data, epochs=n_epochs, verbose=False)
    yield f"the default model, {n_epochs} epochs", vae


def classifier_of(data: Dataset, n_epochs: int) -> MLPClassifier:
    """A classifier of the training rows."""
    classifier = MLPClassifier((256,), max_iter=n_epochs, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are given
        classifier.fit(as_floats(data.train), data.train_labels)
    return classifier


def as_floats(rows: Rows) -> Rows:
    """Rows as samples are."""
    return rows.astype(np.float32) / 255 if rows.dtype == np.uint8 else rows


def figures(classifier: MLPClassifier, rows: Rows) -> dict[str, float]:
    """How sure a classifier is, and how often it answers the rarest and the commonest digit."""
    probabilities = classifier.predict_proba(as_floats(rows))
    largest = probabilities.max(axis=1)
    shares = np.bincount(probabilities.argmax(axis=1), minlength=10) / len(rows)
    return {
        "mean": float(largest.mean()),
        "sure": float((largest > SURE).mean()),
        "rarest": float(shares.min()),
        "commonest": float(shares.max()),
    }


def line(name: str, source: str, found: Mapping[str, float]) -> str:
    """A line of the table."""
    return (
        f"| {name} | {source} | {found['mean']:.3f} | {found['sure']:.1%} | "
        f"{found['rarest']:.1%} to {found['commonest']:.1%} |"
    )


def draw(ax: Axes, rows: Rows, title: str) -> None:
    """Draw some rows in a grid."""
    tiled = plots.tile_images(rows[:N_SHOWN], N_COLUMNS, fill=1)
    ax.imshow(tiled, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=CAPTION_SIZE, color=INK, loc="left")


def main() -> None:
    """Train the classifier, draw the samples, print the table and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="posterior_samples.png", help="picture to write")
    parser.add_argument("--dataset", default="mnist", help="digits: mnist, synthetic_digits")
    parser.add_argument("--train-size", type=int, help="training rows (default: all)")
    parser.add_argument("-n", type=int, default=2000, help="samples of each kind")
    parser.add_argument("--epochs", type=int, default=10, help="of the default model")
    parser.add_argument("--classifier-epochs", type=int, default=20)
    args = parser.parse_args()

    data = Dataset(args.dataset, args.train_size)
    classifier = classifier_of(data, args.classifier_epochs)
    right = classifier.score(as_floats(data.test), data.test_labels)
    print(f"The classifier is right on {right:.2%} of the {len(data.test):,} test rows.\n")
    print("| model | samples from | mean largest probability | above 0.9 | share of a digit |")
    print("|---|---|---:|---:|---:|")
    print(line("none", "the test rows", figures(classifier, data.test)))
    found = []
    for name, vae in models(data, args.epochs):
        vae.fit_posterior(data)
        for source in ("prior", "posterior"):
            rows = vae.sample(args.n, seed=0, source=source)
            measured = figures(classifier, rows)
            print(line(name, f"the {source}", measured), flush=True)
            found.append((rows, f"{name}, {source}: {measured['sure']:.0%} above {SURE}"))
    figure = new_figure(9.6, 4.4)
    for ax, (rows, title) in zip(figure.subplots(3, 2).ravel(), found, strict=True):
        draw(ax, rows, title)
    plots.save_figure(figure, args.output)


if __name__ == "__main__":
    main()
