"""The picture of classes by styles, and labels in the other pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows

from fastvae import VAE, plots

K, SIDE = 3, 5


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE.from_sizes(
        SIDE * SIDE, (4,), 2, n_classes=K, prior="label", class_names=["a", "b", "$\\c_1$"]
    )


def tile(ax: Any, line: int, column: int) -> Any:
    shown = ax.images[0].get_array()
    top, left = line * (SIDE + 1), column * (SIDE + 1)
    return np.asarray(shown[top : top + SIDE, left : left + SIDE]).ravel()


def test_lines_are_classes_and_columns_draws(vae: VAE) -> None:
    ax = plots.classes_by_styles(vae, 4, seed=2)
    for label in range(K):
        samples = vae.sample(4, seed=2, label=label)
        for column in range(4):
            np.testing.assert_array_equal(tile(ax, label, column), samples[column])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "$\\c_1$"]


def test_names_are_no_mathematics(vae: VAE, tmp_path: Path) -> None:
    """A name that is none that mathematics could be read from."""
    for drawn in (plots.classes_by_styles(vae, 2), plots.samples(vae, 2, label=2)):
        plots.save_figure(drawn, tmp_path / "a.png")


def test_classes_are_chosen_by_name_and_number(vae: VAE) -> None:
    ax = plots.classes_by_styles(vae, 2, classes=["b", 0])
    np.testing.assert_array_equal(tile(ax, 0, 1), vae.sample(2, seed=0, label=1)[1])
    np.testing.assert_array_equal(tile(ax, 1, 0), vae.sample(2, seed=0, label="a")[0])


def test_what_is_refused(vae: VAE) -> None:
    plain = VAE.from_sizes(SIDE * SIDE, (4,), 2)
    with pytest.raises(ValueError, match="is not conditional and takes no classes"):
        plots.classes_by_styles(plain)
    with pytest.raises(ValueError, match="at least one class"):
        plots.classes_by_styles(vae, classes=[])
    with pytest.raises(ValueError, match="one of the classes 'a'"):
        plots.classes_by_styles(vae, classes=["d"])
    with pytest.raises(ValueError, match="n_styles must be"):
        plots.classes_by_styles(vae, 0)
    with pytest.raises(ValueError, match="is too large"):
        plots.classes_by_styles(vae, 10**6)


def test_interpolation_changes_its_label_half_way(vae: VAE) -> None:
    rows = pixel_rows(2, SIDE * SIDE)
    ax = plots.interpolation(vae, rows[:1], rows[1:], labels=([0], [2]), n_steps=5)
    ends = vae.reconstruct(rows, labels=[0, 2])
    np.testing.assert_allclose(tile(ax, 0, 0), ends[0], rtol=1e-5)
    np.testing.assert_allclose(tile(ax, 0, 4), ends[1], rtol=1e-5)
    one = plots.interpolation(vae, rows[0], rows[1], labels=(0, 2), n_steps=5)
    np.testing.assert_array_equal(tile(one, 0, 4), tile(ax, 0, 4))


def test_the_manifold_is_of_one_class(vae: VAE) -> None:
    ax = plots.manifold(vae, 3, label="b")
    assert "of class b" in ax.get_title(loc="left")
    with pytest.raises(ValueError, match="is of one class"):
        plots.manifold(vae, 3)


def test_other_pictures_take_labels(vae: VAE) -> None:
    rows, labels = pixel_rows(6, SIDE * SIDE), np.arange(6) % K
    ax = plots.reconstructions(vae, rows, labels=labels)
    assert ax.images
    plots.latent_space(vae, rows, labels)
    plots.activity(vae, rows, labels=labels)
    assert "10 samples of class $\\c_1$" in plots.samples(vae, 10, label=2).get_title(loc="left")
    with pytest.raises(ValueError, match="it needs labels="):
        plots.reconstructions(vae, rows)
