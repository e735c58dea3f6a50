"""Pictures of many rows: images without gaps where there are none, and profiles of other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from picture_texts import assert_legible, boxes, caption_of
from PIL import Image

from fastvae import VAE, Dataset, plots
from fastvae.commands.cli import main

MINUS = "\N{MINUS SIGN}"
ROWS = np.random.default_rng(0).random((40, 64), dtype=np.float32)
TABLE = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32)
NAMES = ["height", "width", "$\\depth$", "weight", "age"]


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE.from_sizes(64, (8,), 2, seed=1)


@pytest.fixture(scope="module")
def table() -> VAE:
    return VAE.from_sizes(5, (8,), 2, likelihood="gaussian", seed=1)


def pixels(figure: Any, folder: Path) -> np.ndarray:
    return np.asarray(Image.open(plots.save_figure(figure, folder / "a.png")).convert("RGB"))


def profiles(ax: Any) -> list[np.ndarray]:
    """The lines of each group, all with the same number of points."""
    groups = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.array([path.vertices for path in group.get_paths()]) for group in groups]


# --- images ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "title"),
    [(1, "1 sample"), (2, "2 samples"), (7, "7 samples"), (1000, "1,000 samples")],
)
def test_any_number_of_samples_is_a_picture_of_moderate_size(vae, n, title):
    ax: Any = plots.samples(vae, n)
    assert ax.get_title("left") == f"{title} from the prior"
    width, height = ax.figure.get_size_inches() * ax.figure.dpi
    assert 600 <= width <= 1200
    assert height <= 1200
    assert ax.get_window_extent().height >= 100
    assert_legible(ax.figure)


def test_an_image_by_itself_is_not_huge(vae):
    assert plots.samples(vae, 1).get_window_extent().width <= 300


@pytest.mark.parametrize("n", [7, 8, 11])
@pytest.mark.parametrize("shade", [0.0, 1.0])
def test_empty_cells_are_the_ground(vae, tmp_path, monkeypatch, n, shade):
    monkeypatch.setattr(VAE, "sample", lambda *_, **__: np.full((n, 64), shade))
    ax: Any = plots.samples(vae, n)
    image = pixels(ax, tmp_path)
    box = ax.get_window_extent()
    n_columns = int(np.ceil(np.sqrt(n)))
    n_empty = -n % n_columns
    top = len(image) - round(box.y0 + (box.height + 8) / n_columns) + 12
    left = round(box.x1 - n_empty * box.width / n_columns) + 12
    assert n_empty
    assert (image[top : len(image) - round(box.y0), left:] == 255).all()


def test_gaps_are_seen_between_light_images(vae, tmp_path, monkeypatch):
    for shade, gap in ((0.0, (255, 255, 255)), (1.0, (143, 168, 200))):
        monkeypatch.setattr(VAE, "sample", lambda *_, shade=shade, **__: np.full((4, 64), shade))
        ax: Any = plots.samples(vae, 4)
        image = pixels(ax, tmp_path)
        box = ax.get_window_extent()
        middle = image[len(image) - round((box.y0 + box.y1) / 2), round((box.x0 + box.x1) / 2)]
        assert tuple(middle) == gap


def test_lines_say_what_they_are(vae):
    ax: Any = plots.reconstructions(vae, ROWS[:25])
    labels = ["original", "reconstruction"] * 3
    assert [text.get_text() for text in ax.get_yticklabels()] == labels
    shown = ax.images[0].get_array()
    places = np.ceil(ax.get_yticks()).astype(int)
    for place, rows in zip(places[:2], (ROWS[:1], vae.reconstruct(ROWS[:1])), strict=True):
        np.testing.assert_allclose(shown[place, :8], rows.reshape(8, 8)[4], rtol=1e-5)
    assert_legible(ax.figure)


def test_labels_that_would_cover_each_other_are_left_out():
    vae = VAE.from_sizes(16, (8,), 2)
    ax: Any = plots.reconstructions(vae, np.zeros((2000, 16), np.float32))
    assert len(ax.get_yticks()) == 0
    assert_legible(ax.figure)


@pytest.mark.parametrize("n_steps", [2, 3, 11, 30, 101])
def test_steps_are_labelled_where_there_is_room(vae, n_steps):
    ax: Any = plots.interpolation(vae, ROWS[0], ROWS[1], n_steps=n_steps)
    texts = [text.get_text() for text in ax.get_xticklabels()]
    assert texts[0] == "0 %"
    assert texts[-1] == "100 %"
    assert_legible(ax.figure)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_the_manifold_has_ticks_where_latents_lie(vae, n):
    ax: Any = plots.manifold(vae, n)
    assert "spaced by the prior's quantiles" in ax.get_title("left")
    for axis in (ax.xaxis, ax.yaxis):
        texts = [text.get_text() for text in axis.get_ticklabels()]
        assert texts == [f"{MINUS}2", f"{MINUS}1", "0", "1", "2"]
        below = [text.get_text() for text in axis.get_ticklabels(minor=True)]
        outer = ["2 %", "98 %"] if n > 1 else ["", ""]  # one image has no room for them
        assert below == [outer[0], "16 %", "50 %", "84 %", outer[1]]
    # Half of the prior lies at the left of 0, in the middle of the picture; 15.87 % below -1.
    side = 8 * n
    assert ax.get_xticks()[2] == side / 2 - 0.5
    assert ax.get_xticks()[1] == pytest.approx(0.1587 * side - 0.5, abs=1e-4 * side)
    assert ax.get_yticks()[1] == pytest.approx((1 - 0.1587) * side - 0.5, abs=1e-4 * side)
    assert_legible(ax.figure)


def test_long_names_and_titles_stay_within_the_picture():
    names = ["of a name that is long, and longer", "b"]
    vae = VAE.from_sizes(64, (8,), 2, n_classes=2, class_names=names, prior="label")
    vae.card = {"name": "x" * 200, "data": "rows of a name that is long " * 5, "variant": "binary"}
    for ax in (
        plots.samples(vae, 1, label=0),
        plots.samples(vae, 100, label=0),
        plots.classes_by_styles(vae, 3),
        plots.manifold(vae, 5, label=0),
        plots.reconstructions(vae, ROWS[:4], labels=[0, 1, 0, 1]),
    ):
        assert_legible(ax.figure)


def test_a_picture_says_which_model_it_is_of(vae):
    vae.card = {"name": "squares", "dataset": "mnist", "variant": "grey"}
    for ax in (plots.samples(vae, 4), plots.manifold(vae, 3), plots.activity(vae, ROWS)):
        assert "Model: squares, trained on mnist (grey)." in caption_of(ax.figure)
    vae.card = {}
    assert "Model" not in caption_of(plots.samples(vae, 4).figure)


# --- profiles --------------------------------------------------------------------------------


def test_originals_and_reconstructions_are_lines_on_one_another(table):
    ax: Any = plots.reconstructions(table, TABLE[:7], feature_names=NAMES)
    assert not ax.images
    original, reconstruction = profiles(ax)
    assert original.shape == reconstruction.shape == (7, 5, 2)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "original",
        "reconstruction",
    ]
    # One scale for all: heights are a linear function of the values, which grow upwards.
    decoded = table.reconstruct(TABLE[:7])
    values = np.concatenate([TABLE[:7], decoded])
    tops = np.repeat(np.arange(4), 2)[:7] * (60 + 6) - 0.5
    heights = np.concatenate([original, reconstruction])[..., 1] - np.tile(tops, 2)[:, None]
    slope, _ = np.polyfit(values.ravel(), heights.ravel(), 1)
    assert slope < 0
    residual = heights - np.polyval(np.polyfit(values.ravel(), heights.ravel(), 1), values)
    assert np.abs(residual).max() < 1e-4
    assert "from left to right: height, width, $\\depth$, weight, age" in caption_of(ax.figure)
    assert_legible(ax.figure)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])
def test_samples_of_tables_are_lines(table, n):
    ax: Any = plots.samples(table, n)
    assert not ax.images
    (lines,) = profiles(ax)
    assert lines.shape == (n, 5, 2)
    assert len(boxes(ax.figure)) == 2
    if n < 1000:
        assert_legible(ax.figure)


def test_ways_and_the_manifold_of_tables_are_lines(table):
    ax: Any = plots.interpolation(table, TABLE[:2], TABLE[2:4], n_steps=5)
    (lines,) = profiles(ax)
    assert lines.shape == (10, 5, 2)
    assert [text.get_text() for text in ax.get_xticklabels()][1] == "25 %"
    assert_legible(ax.figure)
    for n in (1, 2):
        assert_legible(plots.manifold(VAE.from_sizes(600, (8,), 2), n).figure)
    ax = plots.manifold(table, 6)
    assert profiles(ax)[0].shape == (36, 5, 2)
    assert_legible(ax.figure)
    conditional = VAE.from_sizes(5, (8,), 2, likelihood="gaussian", n_classes=3)
    assert profiles(plots.classes_by_styles(conditional, 4))[0].shape == (12, 5, 2)


def test_prior_and_posterior_of_tables_have_one_scale(table):
    pytest.importorskip("sklearn")
    left, right = plots.prior_and_posterior(table, 4, data=TABLE).axes
    values = [table.sample(4, seed=0, source=s) for s in ("prior", "posterior")]
    drawn = [profiles(ax)[0][..., 1] for ax in (left, right)]
    cells = np.array([[0.0], [66], [132], [198]])  # one below the other
    heights = np.concatenate([drawn[0] - cells, drawn[1] - cells]).ravel()
    rows = np.concatenate(values).ravel()
    assert np.abs(heights - np.polyval(np.polyfit(rows, heights, 1), rows)).max() < 1e-3


@pytest.mark.parametrize(
    ("n_features", "how", "likelihood", "is_image"),
    [
        (64, {}, "bernoulli", True),
        (64, {}, "gaussian", True),
        (16, {}, "bernoulli", True),
        (16, {}, "gaussian", False),
        (16, {"image_shape": (4, 4)}, "gaussian", True),
        (16, {"image_shape": (1, 16)}, "bernoulli", False),
        (16, {"feature_names": [*"abcdefghijklmnop"]}, "bernoulli", False),
        (13, {}, "bernoulli", False),
        (1, {}, "gaussian", False),
    ],
)
def test_what_is_an_image(n_features, how, likelihood, is_image):
    vae = VAE.from_sizes(n_features, (4,), 2, likelihood=likelihood)
    assert bool(plots.samples(vae, 3, **how).images) == is_image


def test_features_of_other_scales_have_scales_of_their_own(table):
    rows = TABLE * np.array([1, 1, 1, 1, 1000], np.float32)
    ax: Any = plots.reconstructions(table, rows[:4])
    assert "each feature has a scale of its own" in caption_of(ax.figure)
    original, reconstruction = profiles(ax)
    tops = np.floor(original[..., 1].min(axis=1) / 66)[:, None] * 66
    first = np.concatenate([original[..., 1] - tops, reconstruction[..., 1] - tops])[:, 0]
    assert np.ptp(first) > 40  # of 60: not flat beside the large one


def test_missing_values_and_constant_features_leave_the_picture_whole(table):
    rows = TABLE[:4].copy()
    rows[1, 2] = np.nan
    vae = VAE.from_sizes(5, (4,), 2, likelihood="gaussian", missing="ignore")
    assert np.isnan(profiles(plots.reconstructions(vae, rows))[0]).any()
    constant = profiles(plots.samples(VAE.from_sizes(1, (), 2, likelihood="gaussian"), 2))[0]
    assert np.isfinite(constant).all()


def test_very_long_rows_are_drawn_by_their_extremes():
    vae = VAE.from_sizes(30_011, (2,), 2, likelihood="gaussian")
    rows = np.zeros((1, 30_011), np.float32)
    rows[0, 20_000] = 7
    original, _ = profiles(plots.reconstructions(vae, rows))
    assert original.shape[1] <= 1200
    assert np.ptp(original[..., 1]) > 0.8 * 0.84 * 60
    with pytest.raises(ValueError, match="is too large"):
        plots.samples(vae, 1000)


def test_commands_know_the_names_of_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [",".join([*NAMES, "label"])]
    lines += [",".join([*map(str, row), "ab"[i % 2]]) for i, row in enumerate(TABLE)]
    Path("table.csv").write_text("\n".join(lines))
    assert Dataset("table.csv").feature_names == NAMES
    assert Dataset(TABLE).feature_names is None
    options = "--likelihood gaussian --hidden 4 --latent 2 --epochs 1 --output run --quiet"
    assert main(["train", "--dataset", "table.csv", *options.split()]) == 0
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: drawn.setdefault("ax", figure))
    for command in ("sample", "reconstruct", "interpolate", "manifold"):
        drawn.clear()
        data = [] if command in ("sample", "manifold") else ["--dataset", "table.csv"]
        assert main([command, "run", *data]) == 0
        assert profiles(drawn["ax"])
        assert "height, width, $\\depth$, weight, age" in caption_of(drawn["ax"].figure)
