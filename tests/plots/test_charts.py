"""The charts of activity and losses say what they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from picture_texts import assert_legible, caption_of

from fastvae import VAE, plots
from fastvae.training.history import History


class Encoder:
    """Stands in for a VAE whose posterior means are the rows."""

    n_classes = 0

    def encode(self, X: Any, labels: Any = None) -> tuple[np.ndarray, None]:
        return np.asarray(X, dtype=np.float64), None


@pytest.mark.parametrize("n_latent", [1, 2, 32, 200])
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-6])
def test_activity_is_dots_and_a_line_with_its_name(n_latent: int, scale: float) -> None:
    model: Any = Encoder()
    deviations = scale * np.logspace(0, -3, n_latent)
    means = np.random.default_rng(0).normal(size=(100, n_latent)) * deviations
    ax: Any = plots.activity(model, means)
    assert not ax.patches
    assert "active above 0.01" in [text.get_text() for text in ax.texts]
    dots = np.concatenate([line.get_xydata() for line in ax.lines[:2]])
    assert len(dots) == n_latent
    low, high = ax.get_ylim()
    assert (dots[:, 1] > low).all()
    assert (dots[:, 1] < high).all()
    assert low < 0.01 < high
    assert ("do not vary at all" in caption_of(ax.figure)) == (scale == 0)
    assert_legible(ax.figure)


def test_the_line_is_named_by_its_height() -> None:
    model: Any = Encoder()
    ax = plots.activity(model, np.eye(3), threshold=0.25)
    assert "active above 0.25" in [text.get_text() for text in ax.texts]


def test_losses_say_when_they_were_measured() -> None:
    history = {name: [3.0, 2.0, 1.5] for name in ("elbo", "reconstruction", "kl")}
    said = caption_of(plots.losses(history))
    assert "Training figures are each epoch's running mean" in said
    assert "validation" not in said
    both = history | {f"val_{name}": values for name, values in history.items()}
    both |= {"bound": [2.0, 2.0, 1.0]}
    figure = plots.losses(both)
    assert "validation figures are measured at its end" in caption_of(figure)
    styles = [line.get_linestyle() for line in figure.axes[1].lines]
    assert styles == ["-", "--"]
    assert_legible(figure)


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [([2e11, 3e9, 3e8], True), ([205.0, 3.0, 2.0], True), ([190.0, 3.0, 2.0], False),
     ([-2.0, 1e6], False), ([0.0, 1e6], False), ([5.0], False), ([], False)],
)  # fmt: skip
def test_losses_over_decades_have_a_logarithmic_axis(
    values: list[float], is_logarithmic: bool
) -> None:
    history = {"elbo": [-1.0] * len(values), "reconstruction": values, "kl": [1.0] * len(values)}
    figure = plots.losses(history)
    assert [ax.get_yscale() for ax in figure.axes] == [
        "linear", "log" if is_logarithmic else "linear", "linear"
    ]  # fmt: skip
    said = caption_of(figure)
    assert ("Reconstruction, log scale" in said) == is_logarithmic
    assert_legible(figure)


def test_losses_of_a_training_name_the_variant() -> None:
    vae = VAE.from_sizes(9, (4,), 2)
    history: History = vae.fit(np.random.default_rng(0).random((20, 9)), epochs=2, verbose=False)
    figure = plots.losses(history)
    assert "data: grey" in caption_of(figure)
    assert_legible(figure)
