"""Pictures and animations: the right kind of object, showing the right numbers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fastvae import VAE, PosteriorMixture, animation, plots
from fastvae.checks import scales
from fastvae.plots import latents
from fastvae.typing import SampleSource


class _LinearModel:
    """Stands in for a VAE: encodes to the first latents, decodes by a fixed linear map."""

    n_classes = 0

    def __init__(self, n_latent: int = 2, n_features: int = 4) -> None:
        self.n_latent = n_latent
        self.n_features = n_features
        self.directions = np.linspace(0.1, 0.9, n_latent * n_features, dtype=np.float32)
        self.directions = self.directions.reshape(n_latent, n_features)

    def encode(self, X, labels=None):
        mean = scales.as_floats(np.asarray(X))[:, : self.n_latent]
        return mean, np.zeros_like(mean)

    def decode(self, Z, labels=None):
        return np.clip(0.5 + np.asarray(Z) @ self.directions, 0, 1).astype(np.float32)

    decode_draws = decode

    def reconstruct(self, X, labels=None):
        return self.decode(self.encode(X)[0])

    def sample(self, n, seed=None, label=None, source="prior", data=None):
        return self.decode(np.random.default_rng(seed).normal(size=(n, self.n_latent)))


CAPTION = 26  # lines of pixels below the frames of an animation
LinearModel: Any = _LinearModel  # functions that draw ask for a VAE


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4), dtype=np.uint8)


def drawn(ax: Axes) -> np.ndarray:
    """The one image that was drawn."""
    (image,) = ax.get_images()
    values: Any = image.get_array()
    return np.ma.filled(values, np.nan)


# --- tile_images -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_tiles_stand_line_by_line_with_a_gap(dtype):
    rows = np.arange(1, 13, dtype=dtype).reshape(3, 4)
    tiled = plots.tile_images(rows, 2, fill=99)
    expected = [
        [1, 2, 99, 5, 6],
        [3, 4, 99, 7, 8],
        [99, 99, 99, 99, 99],
        [9, 10, 99, 99, 99],
        [11, 12, 99, 99, 99],
    ]
    assert tiled.dtype == dtype
    np.testing.assert_array_equal(tiled, expected)


def test_rows_that_are_no_squares_become_strips_or_the_shape_asked_for():
    rows = np.arange(12).reshape(2, 6)
    assert plots.tile_images(rows, 1).shape == (1 + 1 + 1, 6)
    tiled = plots.tile_images(rows, 2, (3, 2), gap=0)
    np.testing.assert_array_equal(tiled, [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]])


def test_gap_may_differ_by_direction():
    assert plots.tile_images(np.zeros((4, 4)), 2, gap=(3, 2)).shape == (2 + 3 + 2, 2 + 2 + 2)


@pytest.mark.parametrize(
    ("rows", "n_columns", "shape", "message"),
    [
        (np.zeros(4), 1, None, r"rows must have shape .* got \(4,\)"),
        (np.zeros((0, 4)), 1, None, r"got \(0, 4\)"),
        (np.zeros((2, 4)), 0, None, "n_columns must be at least 1; got 0"),
        (np.zeros((2, 4)), 1, (2, 3), "image_shape must have 4 pixels.* got 2 x 3"),
        (np.zeros((2, 4)), 1, (-2, -2), "image_shape must have 4 pixels.* got -2 x -2"),
    ],
)
def test_tiles_of_bad_input_are_refused(rows, n_columns, shape, message):
    with pytest.raises(ValueError, match=message):
        plots.tile_images(rows, n_columns, shape)


# --- pictures --------------------------------------------------------------------------------


def test_originals_stand_above_their_reconstructions(images):
    model = LinearModel()
    image = drawn(plots.reconstructions(model, images, n_columns=3))
    # Two lines of pairs; a pair is 2 + 1 + 2 pixels high, 3 pixels between the lines.
    assert image.shape == (5 + 3 + 5, 3 * 2 + 2)
    original = (images[4] / np.float32(255)).reshape(2, 2)
    np.testing.assert_array_equal(image[8:10, 3:5], original)
    np.testing.assert_array_equal(image[11:13, 3:5], model.reconstruct(images)[4].reshape(2, 2))


def test_samples_are_those_of_the_seed():
    model = LinearModel()
    ax = plots.samples(model, 7, seed=3)
    expected = plots.tile_images(model.sample(7, seed=3), 3, fill=np.nan)
    np.testing.assert_array_equal(drawn(ax), expected)
    assert ax.get_images()[0].get_clim() == (0, 1)


def model_with_mixture(n_features: int = 4) -> VAE:
    """A model whose mixture is far from the prior."""
    vae = VAE.from_sizes(n_features, (), 2, seed=1)
    vae.decoder.layers[0].weight = np.linspace(-1, 1, 2 * n_features).reshape(n_features, 2)
    vae._take_mixture(PosteriorMixture(np.ones(1), np.full((1, 2), 4.0), np.eye(2)[None]))
    return vae


def test_samples_of_the_posterior():
    vae = model_with_mixture()
    ax = plots.samples(vae, 7, seed=3, source="posterior")
    expected = plots.tile_images(vae.sample(7, seed=3, source="posterior"), 3, fill=np.nan)
    np.testing.assert_array_equal(drawn(ax), expected)
    assert ax.get_title("left") == "7 samples from the posterior"
    assert plots.samples(vae, 7).get_title("left") == "7 samples from the prior"
    with pytest.raises(ValueError, match="source must be one of 'prior', 'posterior'"):
        plots.samples(vae, 7, source="post")  # type: ignore[arg-type]


def test_prior_and_posterior_stand_side_by_side():
    vae = model_with_mixture()
    sources: tuple[SampleSource, ...] = ("prior", "posterior")
    given = Figure()
    for figure in (
        plots.prior_and_posterior(vae, 5, seed=2),
        plots.prior_and_posterior(vae, 5, seed=2, figure=given),
    ):
        assert isinstance(figure, Figure)
        for ax, source in zip(figure.axes, sources, strict=True):
            rows = vae.sample(5, seed=2, source=source)
            np.testing.assert_array_equal(drawn(ax), plots.tile_images(rows, fill=np.nan))
            assert ax.get_title("left") == f"5 samples from the {source}"
            assert ax.get_images()[0].get_clim() == (0, 1)
    assert figure is given
    left, right = plots.prior_and_posterior(vae, 5).axes
    assert left.get_position().x1 < right.get_position().x0
    assert right.get_position().x1 <= 1


def test_prior_and_posterior_of_data():
    pytest.importorskip("sklearn")
    rows = np.random.default_rng(0).random((40, 4))
    vae, expected = VAE.from_sizes(4, (), 2), VAE.from_sizes(4, (), 2)
    _, right = plots.prior_and_posterior(vae, 4, data=rows).axes
    of_data = expected.sample(4, 0, source="posterior", data=rows)
    np.testing.assert_array_equal(drawn(right), plots.tile_images(of_data, fill=np.nan))
    with pytest.raises(ValueError, match="no mixture of its latents yet"):
        plots.prior_and_posterior(VAE.from_sizes(4, (), 2), 4)
    with pytest.raises(ValueError, match="too large"):
        plots.prior_and_posterior(vae, 10**7)


def test_rows_that_are_no_squares_are_images_of_the_shape_asked_for():
    model = LinearModel(n_features=6)
    assert drawn(plots.samples(model, 3, image_shape=(2, 3))).shape == (2 + 1 + 2, 3 + 1 + 3)


def test_values_outside_the_unit_interval_set_the_shades():
    model = LinearModel()
    model.sample = lambda n, **how: np.linspace(-2, 3, n * 4).reshape(n, 4)
    assert plots.samples(model, 4).get_images()[0].get_clim() == (-2, 3)


def test_linear_interpolation_is_the_straight_line():
    path = plots.interpolate([0.0, 2.0], [4.0, -2.0], 5)
    np.testing.assert_allclose(path, [[0, 2], [1, 1], [2, 0], [3, -1], [4, -2]], atol=1e-15)


def test_spherical_interpolation_keeps_norm_and_turns_evenly():
    path = plots.interpolate([[2.0, 0.0]], [[0.0, 2.0]], 4, spherical=True)
    angles = np.pi / 2 * np.array([0, 1, 2, 3]) / 3
    expected = 2 * np.column_stack([np.cos(angles), np.sin(angles)])
    assert path.shape == (4, 1, 2)
    # A few roundings of numbers up to 2, each within 2^-52.
    np.testing.assert_allclose(path[:, 0], expected, atol=8 * 2**-52)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_spherical_interpolation_without_a_circle_is_linear(end):
    start = [1.0, 0.0]
    path = plots.interpolate(start, end, 3, spherical=True)
    np.testing.assert_allclose(path, plots.interpolate(start, end, 3), atol=1e-15)


def test_interpolation_keeps_float32():
    ends = np.eye(2, dtype=np.float32)
    assert plots.interpolate(ends[0], ends[1], 3, spherical=True).dtype == np.float32


@pytest.mark.parametrize(
    ("end", "n_steps", "message"),
    [([1.0], 3, r"same shape; got \(2,\) and \(1,\)"), ([1.0, 1.0], 1, "at least 2; got 1")],
)
def test_interpolation_of_bad_input_is_refused(end, n_steps, message):
    with pytest.raises(ValueError, match=message):
        plots.interpolate([0.0, 0.0], end, n_steps)


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_strip_decodes_the_way_between_the_means(images, spherical):
    model = LinearModel()
    ax = plots.interpolation(model, images[:2], images[2:4], n_steps=5, spherical=spherical)
    image = drawn(ax)
    assert image.shape == (2 + 1 + 2, 5 * 2 + 4)
    mean, _ = model.encode(images)
    for line in range(2):
        way = plots.interpolate(mean[line], mean[2 + line], 5, spherical=spherical)
        for step in range(5):
            tile = image[3 * line : 3 * line + 2, 3 * step : 3 * step + 2]
            expected = model.decode(way[step : step + 1]).reshape(2, 2)
            # float32 sums of two products below 1, in an order that may differ.
            np.testing.assert_allclose(tile, expected, atol=4 * 2**-24)
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "0 %", "25 %", "50 %", "75 %", "100 %",
    ]  # fmt: skip


def test_interpolation_takes_single_images(images):
    ax = plots.interpolation(LinearModel(), images[0], images[1], n_steps=3)
    assert drawn(ax).shape == (2, 8)


def test_manifold_is_the_grid_of_quantiles_with_the_second_latent_upwards():
    model = LinearModel()
    image = drawn(plots.manifold(model, 4))
    assert image.shape == (8, 8)
    low, high = NormalDist().inv_cdf(0.5 / 4), NormalDist().inv_cdf(3.5 / 4)
    bottom_right = np.array([[high, low]], dtype=np.float32)
    np.testing.assert_array_equal(image[6:, 6:], model.decode(bottom_right).reshape(2, 2))


def test_manifold_needs_two_latents():
    with pytest.raises(ValueError, match="2 latent units; this one has 3"):
        plots.manifold(LinearModel(n_latent=3))


def test_two_latents_are_scattered_as_they_are(images):
    model = LinearModel()
    ax = plots.latent_space(model, images, np.array([1, 0, 1, 0, 7]))
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_offsets(), model.encode(images)[0])
    colours = np.asarray(dots.get_facecolor())
    assert (colours[0] == colours[2]).all()
    assert len(np.unique(colours, axis=0)) == 3
    assert [text.get_text() for text in ax.texts] == ["0", "1", "7"]


def test_classes_are_written_by_their_names_whatever_these_hold(images, tmp_path):
    names = {0: "_cat", 1: "$\\frac{dog}$", 2: "\x1b[31m" + 100 * "x"}
    ax = plots.latent_space(LinearModel(), images, np.array([1, 0, 1, 2, 7]), label_names=names)
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["_cat", "$\\frac{dog}$"]
    assert texts[3] == "7"
    assert texts[2].startswith("\\x1b[31mxxx")
    assert len(texts[2]) < 40
    assert {text.get_text() for text in ax.texts} <= set(texts)
    plots.save_figure(ax, tmp_path / "a.png")


@pytest.mark.parametrize(("n_classes", "title"), [(47, ""), (100, ""), (500, "100 of 500 classes")])
def test_many_classes_leave_room_for_the_picture(tmp_path, n_classes, title):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 2)).astype(np.float32)
    ax = plots.latent_space(LinearModel(), np.repeat(points, 2, axis=1), np.arange(600) % n_classes)
    plots.save_figure(ax, tmp_path / "a.png")
    legend = ax.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == min(n_classes, 100)
    assert legend.get_title().get_text() == title
    box = ax.get_position()
    assert box.width > 0.5
    assert box.height > 0.5


def test_more_latents_are_projected_on_their_principal_components():
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    points = rng.normal(size=(200, 4)) * [5.0, 2.0, 0.1, 0.1] @ basis.T
    projected, share = latents.principal_components(points)
    assert projected.shape == (200, 2)
    covariance = np.cov(projected.T)
    variance = np.linalg.eigvalsh(np.cov(points.T))
    np.testing.assert_allclose(np.diag(covariance), variance[:1:-1], rtol=1e-10)
    np.testing.assert_allclose(share, variance[:1:-1] / variance.sum(), rtol=1e-10)
    assert abs(covariance[0, 1]) < 1e-10 * covariance[0, 0]

    ax = plots.latent_space(LinearModel(n_latent=4), points.astype(np.float32))
    assert "principal component 1" in ax.get_xlabel()


def test_latent_space_of_bad_input_is_refused(images):
    with pytest.raises(ValueError, match=r"labels must have shape \(5,\).* got \(2,\)"):
        plots.latent_space(LinearModel(), images, np.array([0, 1]))
    with pytest.raises(ValueError, match="at least 2 latent units; this model has 1"):
        plots.latent_space(LinearModel(n_latent=1), images)


def test_activity_is_the_sorted_variance_of_the_means():
    X = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.7]], dtype=np.float32)
    ax = plots.activity(LinearModel(n_latent=3, n_features=3), X, threshold=0.02)
    dots = np.concatenate([line.get_xydata() for line in ax.lines[:2]])
    # Variances of (0, 1), (0.5, 0.7) and (1, 1), the values rounded to float32; 0 stands at a fifth
    # of the least other one.
    np.testing.assert_allclose(dots, [(1, 0.25), (2, 0.01), (3, 0.002)], rtol=1e-6, atol=0)
    assert "1 of 3" in ax.get_title(loc="left")


def test_loss_curves_show_history_over_epochs_from_one():
    history = {
        "elbo": [-5.0, -4.0],
        "reconstruction": [4.0, 3.0],
        "kl": [1.0, 1.0],
        "val_elbo": [-6.0, -5.0],
        "val_reconstruction": [5.0, 4.0],
        "val_kl": [1.0, 1.0],
        "seconds": [0.1, 0.1],
    }
    figure = plots.losses(history)
    shown = [
        [(line.get_label(), *np.asarray(line.get_data()).tolist()) for line in ax.lines]
        for ax in figure.axes
    ]
    assert shown == [
        [("training", [1, 2], [5.0, 4.0]), ("validation", [1, 2], [6.0, 5.0])],
        [("training", [1, 2], [4.0, 3.0]), ("validation", [1, 2], [5.0, 4.0])],
        [("training", [1, 2], [1.0, 1.0]), ("validation", [1, 2], [1.0, 1.0])],
    ]
    without = {key: values for key, values in history.items() if not key.startswith("val_")}
    assert [len(ax.lines) for ax in plots.losses(without).axes] == [1, 1, 1]
    bounds = plots.losses(history | {"bound": [-3.0, -2.0], "val_bound": [-4.0, -3.0]})
    titles = [ax.get_title(loc="left") for ax in bounds.axes]
    assert titles == ["Negative bound", "Negative ELBO", "Reconstruction", "KL"]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in bounds.axes[0].lines]
    assert drawn == [[3.0, 2.0], [4.0, 3.0]]
    assert bounds.axes[0].get_legend() is not None


def test_given_axes_and_figure_are_drawn_on(images):
    model = LinearModel()
    figure = Figure()
    axes = figure.subplots(2, 3).ravel()
    assert plots.reconstructions(model, images, ax=axes[0]) is axes[0]
    assert plots.samples(model, 4, ax=axes[1]) is axes[1]
    assert plots.interpolation(model, images[0], images[1], ax=axes[2]) is axes[2]
    assert plots.manifold(model, 3, ax=axes[3]) is axes[3]
    assert plots.latent_space(model, images, ax=axes[4]) is axes[4]
    assert plots.activity(model, images, ax=axes[5]) is axes[5]
    other = Figure()
    assert plots.losses({"elbo": [1.0], "reconstruction": [1.0], "kl": [0.0]}, figure=other) is (
        other
    )


@pytest.mark.parametrize("suffix", [".png", ".PDF", ".gif"])
def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    save: Any = plots.save_figure
    drawn: Any = plots.samples(LinearModel(), 4)
    if suffix == ".gif":
        save, drawn = animation.save_gif, [np.zeros((2, 2))]
    with pytest.raises(OSError, match=path.name):
        save(drawn, path)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", [path.name])


def test_axes_of_a_subfigure_are_saved_with_the_whole_figure(tmp_path):
    figure = Figure(figsize=(3, 1), dpi=100)
    subfigures: Any = figure.subfigures(1, 3)
    ax = subfigures[1].add_subplot()
    path = plots.save_figure(plots.samples(LinearModel(), 4, ax=ax), tmp_path / "a.png")
    with Image.open(path) as image:
        assert image.width == 3 * image.height


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".PDF", b"%PDF")])
def test_figures_are_saved_by_suffix(tmp_path, suffix, start):
    path = plots.save_figure(plots.samples(LinearModel(), 4), tmp_path / f"picture{suffix}")
    assert path.read_bytes().startswith(start)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png or \.pdf; got .*picture\.jpg"):
        plots.save_figure(Figure(), tmp_path / "picture.jpg")
    assert list(tmp_path.iterdir()) == []


def test_image_pixels_cover_whole_screen_pixels():
    ax = plots.samples(LinearModel(n_features=9), 20)
    height, width = drawn(ax).shape
    box = ax.get_window_extent()
    assert box.width / width == pytest.approx(round(box.width / width))
    assert box.width / width == pytest.approx(box.height / height)


@pytest.mark.slow
def test_no_global_state_is_touched():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from fastvae import plots\n"
        "plots.losses({'elbo': [1.0], 'reconstruction': [1.0], 'kl': [0.0]})\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- animations ------------------------------------------------------------------------------


def frames_of(path, caption: int = 0) -> list[np.ndarray]:
    """The frames of a GIF, without the `caption` lines of pixels at their end."""
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        frames = []
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frames.append(np.asarray(image.convert("L"))[: image.height - caption])
        return frames


def test_gif_holds_the_frames_enlarged(tmp_path):
    frames = [np.array([[0.0, 1.5], [0.5, -1.0]]), np.array([[255, 0], [0, 7]], dtype=np.uint8)]
    first, second = frames_of(animation.save_gif(frames, tmp_path / "a.gif"))
    assert first.shape == (600, 600)
    np.testing.assert_array_equal(first[::300, ::300], [[0, 255], [128, 0]])
    np.testing.assert_array_equal(second[::300, ::300], [[255, 0], [0, 7]])


def test_gif_of_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        animation.save_gif([], tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"must end in \.gif; got .*a\.png"):
        animation.save_gif([np.zeros((2, 2))], tmp_path / "a.png")


def test_latent_walk_passes_the_stops_and_returns(tmp_path):
    model = LinearModel()
    stops = np.array([[0.1, -0.3], [-0.2, 0.4], [0.3, 0.3]])
    path = animation.latent_walk(model, stops, tmp_path / "walk.gif", n_steps=4)
    frames = frames_of(path, CAPTION)
    assert len(frames) == 13
    np.testing.assert_array_equal(frames[0], frames[12])
    for stop in range(3):
        expected = np.rint(model.decode(stops[stop : stop + 1]) * 255).reshape(2, 2)
        np.testing.assert_array_equal(frames[4 * stop][::300, ::300], expected)


def test_latent_walk_needs_two_stops(tmp_path):
    with pytest.raises(ValueError, match=r"at least 2 stops; got \(1, 1, 2\)"):
        animation.latent_walk(LinearModel(), np.zeros((1, 2)), tmp_path / "walk.gif")


def test_prior_walk_starts_at_the_samples_of_its_seed(tmp_path):
    from fastvae import VAE

    vae = VAE.from_sizes(n_features=4, hidden=(3,), n_latent=2)
    path = animation.prior_walk(vae, tmp_path / "prior.gif", n=4, n_frames=5, seed=2)
    frames = frames_of(path, CAPTION)
    assert len(frames) == 5
    samples = np.rint(plots.tile_images(vae.sample(4, seed=2), 2, fill=1) * 255)
    np.testing.assert_array_equal(frames[0], frames[4])
    scale = frames[0].shape[0] // 5
    np.testing.assert_array_equal(frames[0][::scale, ::scale], samples)


def test_training_film_has_a_frame_before_and_after_each_epoch(tmp_path):
    model = LinearModel()
    film = animation.TrainingFilm(tmp_path / "film.gif", n=4, seed=1)
    film.on_train_begin(model, 2, 10)
    for epoch in (1, 2):
        model.directions = model.directions + 0.3
        film.on_epoch_end(model, epoch, {})
    film.on_train_end(model, None)  # type: ignore[arg-type]
    frames = frames_of(tmp_path / "film.gif", CAPTION)
    assert len(frames) == 3
    film = animation.TrainingFilm(tmp_path / "none.gif", n=4)
    film.on_train_begin(model, 2, 10)
    film.on_train_end(model, None)  # type: ignore[arg-type]
    assert not (tmp_path / "none.gif").exists()
    last = np.rint(plots.tile_images(model.sample(4, seed=1), 2, fill=1) * 255)
    scale = frames[2].shape[0] // 5
    np.testing.assert_array_equal(frames[2][::scale, ::scale], last)
