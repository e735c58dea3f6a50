"""The scatter of latents: every class keeps its name, and what has no class is said."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text
from picture_texts import assert_legible, caption_of

from fastvae import plots
from fastvae.plots import style


class Encoder:
    """Stands in for a VAE whose posterior means are the rows."""

    n_classes = 0

    def __init__(self, n_latent: int, **card: str) -> None:
        self.n_latent = self.n_features = n_latent
        self.card = card

    def encode(self, X: Any, labels: Any = None) -> tuple[np.ndarray, None]:
        return np.asarray(X, dtype=np.float32), None


def draw(points: np.ndarray, labels: Any, **how: Any) -> Any:
    model: Any = Encoder(points.shape[1])
    return plots.latent_space(model, points, labels, **how)


def clusters(n_classes: int, n: int, n_latent: int = 2, spread: float = 2.0) -> Any:
    rng = np.random.default_rng(n_classes)
    classes = np.arange(n) % n_classes
    centres = spread * rng.normal(size=(n_classes, n_latent))
    return centres[classes] + rng.normal(size=(n, n_latent)), classes


def names_on(ax: Axes) -> list[Annotation]:
    """The names that stand at medians."""
    return [text for text in ax.texts if isinstance(text, Annotation) and text.arrow_patch]


def listed(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("spread", [3.0, 0.3, 0.0])
@pytest.mark.parametrize("n_classes", [1, 3, 10, 47])
def test_every_class_keeps_its_name(n_classes: int, spread: float) -> None:
    points, classes = clusters(n_classes, 470, spread=spread)
    ax = draw(points, classes)
    names = names_on(ax)
    assert [name.get_text() for name in names] == [str(i) for i in range(n_classes)]
    ax.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(name) for name in names]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    area = ax.get_window_extent()
    for name, box in zip(names, boxes, strict=True):
        assert area.x0 <= box.x0, name
        assert box.x1 <= area.x1
        assert area.y0 <= box.y0
        assert box.y1 <= area.y1


def test_a_line_leads_from_a_name_to_its_median() -> None:
    points = np.repeat([[0.0, 0.0], [0.01, 0.0], [5.0, 5.0]], 9, axis=0)
    first, second, alone = names_on(draw(points, np.repeat([0, 1, 2], 9)))
    for name, x in ((first, 0.0), (second, 0.01)):
        assert name.arrow_patch is not None
        assert name.arrow_patch.get_visible()
        np.testing.assert_allclose(name.xy, (x, 0.0), atol=1e-7)
    assert alone.arrow_patch is not None
    assert not alone.arrow_patch.get_visible()


@pytest.mark.parametrize(
    "names",
    [None, "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"],
)
def test_texts_can_be_read(names: str | None) -> None:
    points, classes = clusters(10, 500, n_latent=6, spread=1.0)
    labels = np.array(names.split(","))[classes] if names else classes
    assert_legible(draw(points, labels).figure)


@pytest.mark.parametrize(
    ("n_classes", "name"), [(47, "{}"), (100, "{}"), (47, "a class of name {}"), (100, "name {}")]
)
def test_a_legend_of_many_classes_fits(n_classes: int, name: str) -> None:
    points, classes = clusters(n_classes, 1000)
    ax = draw(points, classes, label_names={i: name.format(i) for i in range(n_classes)})
    texts = listed(ax)
    assert len(set(texts)) == n_classes  # shortened ones differ, too
    figure = ax.figure
    figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert legend.x1 <= figure.bbox.width
    assert legend.y0 >= 0
    assert figure.get_figwidth() < 14
    box = ax.get_window_extent()
    assert box.width > 600
    assert box.height > 600


def test_long_names_keep_beginning_and_end() -> None:
    points, classes = clusters(2, 20)
    long = "one of the many classes that are there, the "
    ax = draw(points, classes, label_names={0: f"{long}first", 1: f"{long}last"})
    first, last = listed(ax)
    assert first.startswith("one of the man")
    assert first.endswith("first")
    assert last.endswith("last")
    assert max(len(first), len(last)) <= 30


def test_classes_have_colours_and_markers_in_the_order_of_the_data() -> None:
    points, classes = clusters(12, 120)
    (dots,) = draw(points, classes).collections
    np.testing.assert_allclose(dots.get_offsets(), points, rtol=1e-6)
    paths = dots.get_paths()
    looks = {
        (to_hex(colour), paths[i].vertices.tobytes())
        for i, colour in enumerate(dots.get_facecolor())
    }
    assert len(looks) == 12
    assert to_hex(dots.get_facecolor()[1]) == style.PALETTE[1]


@pytest.mark.parametrize(
    "values",
    [np.linspace(-3, 2, 60), np.arange(60) / 7, np.arange(60.0), np.linspace(0, 1e-9, 60)],
)
def test_values_have_a_colour_bar(values: np.ndarray) -> None:
    points, _ = clusters(3, 60)
    ax = draw(points, values)
    assert listed(ax) == []
    assert names_on(ax) == []
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_array(), values)
    _, bar = ax.figure.axes
    assert bar.get_ylabel() == "label"
    assert_legible(ax.figure)


def test_values_that_are_missing_are_grey() -> None:
    points, _ = clusters(3, 60)
    values = np.linspace(0, 1, 60)
    values[::6], values[1] = np.nan, np.inf
    ax = draw(points, values)
    grey, dots = ax.collections
    assert len(grey.get_offsets()) == 11
    assert np.isfinite(dots.get_array()).all()
    assert ax.figure.axes[1].get_ylabel() == "label (no label: 11 rows, grey)"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0.0, 1.0, np.nan, 1.0], ["0", "1", "no label (1)"]),
        ([0.5, 2.5, 0.5, 2.5], ["0.5", "2.5"]),
        (["b", None, "a", None], ["a", "b", "no label (2)"]),
        ([None, 7, 7, 3], ["3", "7", "no label (1)"]),
        ([True, False, True, True], ["False", "True"]),
        (np.array([b"oak", b"elm"] * 2), ["elm", "oak"]),
        (np.array([3, 3, 3, 3], dtype=np.uint8), ["3"]),
        ([np.nan] * 4, ["no label (4)"]),
    ],
)
def test_labels_of_other_types(labels: Any, names: list[str]) -> None:
    ax = draw(np.arange(8.0).reshape(4, 2), labels)
    assert listed(ax) == names
    assert [text.get_text() for text in names_on(ax)] == [n for n in names if "no label" not in n]


def test_without_labels_there_is_no_legend() -> None:
    ax = draw(np.arange(8.0).reshape(4, 2), None)
    assert ax.get_legend() is None
    assert names_on(ax) == []
    assert draw(np.ones((1, 2)), None).get_title("left") == "Posterior means of 1 row"


def test_a_projection_says_that_it_is_one() -> None:
    points = np.random.default_rng(0).normal(size=(4000, 8)) * [2, 1.5, 1, 1, 1, 1, 1, 1]
    said = caption_of(draw(points, None).figure)
    # 6.25 of 12.25, give or take the deviation of 4000 draws.
    assert "A projection of 8 latents" in said
    assert "which show 51 % of it: overlap here is the projection's" in said
    assert "projection" not in caption_of(draw(points[:, :2], None).figure)


def test_the_model_is_named_where_it_is_known() -> None:
    model: Any = Encoder(2, name="digits", dataset="mnist", variant="grey")
    figure: Any = plots.latent_space(model, np.eye(2)).figure
    assert "Model: digits, trained on mnist (grey)." in caption_of(figure)
    model.card = {"name": 7, "data": "", "dataset": "$\\x$"}
    figure = plots.latent_space(model, np.eye(2)).figure
    assert "Model: trained on $\\x$." in caption_of(figure)
