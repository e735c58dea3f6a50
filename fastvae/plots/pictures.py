"""The pictures that hold many rows: reconstructions, samples, ways, and the manifold.

Rows that are images are drawn as such, other ones as profiles: see `fastvae.plots.cells`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from fastvae.checks import as_array, as_floats, as_labels
from fastvae.checks.quoting import printable
from fastvae.data.rows import Rows, taken
from fastvae.model.names import SampleSource
from fastvae.model.vae import VAE
from fastvae.plots.cells import cells_of, check_cells, draw_cells, draw_image
from fastvae.plots.drawing import shade_limits, tile_images
from fastvae.plots.grid import (
    Cells,
    label_columns,
    label_lines,
    margins_for,
    new_pair,
    points_of_pixel,
)
from fastvae.plots.known import about, names_of_features, posterior_means
from fastvae.plots.latents import interpolate
from fastvae.plots.profiles import LOOKS, describe, draw_profiles
from fastvae.plots.shapes import is_profile, shape_of_rows
from fastvae.plots.style import (
    CAPTION_SIZE,
    FONT_SIZE,
    INK,
    MUTED,
    label_axes,
    number,
    set_caption,
    set_title,
)

_MAX_NAME = 30  # characters of a class's name in a title
_PAIR = ["original", "reconstruction"]
_TICKS = (-2, -1, 0, 1, 2)  # of a manifold: latents
_ROOM_FOR_LATENTS, _ROOM_FOR_SHARES = 100.0, 190.0  # points of a side where all have room
_SHARES = "Percentages say how much of the prior lies below."


def reconstructions(
    vae: VAE,
    X: Rows,
    *,
    labels: ArrayLike | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each image of `X` above its reconstruction.

    Parameters
    ----------
    vae : VAE
    X : array of shape (n_images, n_features), or Dataset
        The originals (uint8 pixels or floats); all of them are drawn.
    labels : integer array of shape (n_images,), optional
        Of a conditional model; of a data set its own if missing.
    n_columns : int, optional
        Pairs in a line; by default 10, fewer where rows are no images.
    image_shape : (height, width), optional
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    feature_names : sequence of str, optional
        What the features are called, where rows are no images; by default as the columns of a
        table or data set, or as the model's card says it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    rows, name = taken(X, "X")
    names = names_of_features(vae, X, feature_names)
    original = np.atleast_2d(as_floats(as_array(rows, name)))
    shape = shape_of_rows(vae, image_shape, names)
    if n_columns is None and not is_profile(shape):
        n_columns = 10
    pair = shape if is_profile(shape) else (2 * shape[0] + 1, shape[1])
    check_cells(len(original), n_columns, pair, gap=(3, 1))
    cells = cells_of(len(original), n_columns, pair, gap=(3, 1))
    given = X if labels is None else rows  # a data set brings its labels
    reconstruction = np.atleast_2d(vae.reconstruct(given, labels=labels))
    if is_profile(shape):
        return _pairs_of_profiles(vae, ax, original, reconstruction, cells, names)
    gap = np.full((len(original), shape[1]), np.nan, dtype=np.float32)
    pairs = np.hstack([original, gap, reconstruction])
    tiled = tile_images(pairs, cells.n_columns, pair, gap=cells.gap, fill=np.nan)
    limits = shade_limits(original, reconstruction)
    ax = draw_image(ax, tiled, cells, limits, margins_for(cells, about(vae), _PAIR))
    middle, apart = cells.lines(), (shape[0] + 1) / 2
    places = np.column_stack([middle - apart, middle + apart]).ravel().tolist()
    label_lines(ax, cells, places, _PAIR * cells.n_lines)
    set_caption(ax, about(vae))
    return set_title(ax, "Originals, and below each its reconstruction")


def _pairs_of_profiles(
    vae: VAE,
    ax: Axes | None,
    original: np.ndarray,
    reconstruction: np.ndarray,
    cells: Cells,
    names: Sequence[str] | None,
) -> Axes:
    """Draw originals and reconstructions on one another, and say which line is which."""
    both = [original, reconstruction]
    caption = _sentences(describe(both, names), about(vae))
    margins = replace(margins_for(cells, caption), top=110)
    ax = draw_profiles(ax, both, cells, margins)
    handles = [
        Line2D([], [], color=colour, linestyle=style, label=label)
        for label, (colour, style) in zip(_PAIR, LOOKS, strict=True)
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderpad=0,
        borderaxespad=0.4,
        ncols=2,
        frameon=False,
        fontsize=FONT_SIZE,
        labelcolor=INK,
    )
    set_caption(ax, caption)
    return set_title(ax, "Originals and reconstructions", pad=24)


def samples(
    vae: VAE,
    n: int = 100,
    *,
    seed: int | None = 0,
    label: int | str | Iterable[int | str] | None = None,
    source: SampleSource = "prior",
    data: Rows | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw `n` samples: latents from the prior or the posterior mixture, decoded.

    Parameters
    ----------
    vae : VAE
    n : int
        How many.
    seed : int or None
        Seed of the latents, handed to ``vae.sample``.
    label : int or str, or several, optional
        Of a conditional model, handed to ``vae.sample``.
    source, data
        Of the latents, handed to ``vae.sample``.
    n_columns, image_shape
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    feature_names : sequence of str, optional
        What the features are called, where rows are no images; by default as the model's card
        says it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    shape = shape_of_rows(vae, image_shape, feature_names)
    check_cells(n, n_columns, shape)
    rows = vae.sample(n, seed=seed, label=label, source=source, data=data)
    of = f" of class {_name_of(vae, label)}" if isinstance(label, (int, str)) else ""
    cells, title = cells_of(n, n_columns, shape), f"{_count(n)}{of} from the {source}"
    return _grid_of_rows(vae, ax, rows, shape, cells, title, feature_names)


def prior_and_posterior(
    vae: VAE,
    n: int = 100,
    *,
    seed: int | None = 0,
    label: int | str | Iterable[int | str] | None = None,
    data: Rows | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw `n` samples from the prior, and to their right `n` from the posterior mixture.

    Parameters
    ----------
    vae : VAE
    n : int
        How many of each.
    seed : int or None
        Seed of the latents, handed to ``vae.sample``.
    label : int or str, or several, optional
        Of a conditional model, handed to ``vae.sample``.
    data : array of shape (n_rows, n_features), or Dataset, optional
        What the mixture is fitted to first, handed to ``vae.sample``.
    n_columns, image_shape
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    feature_names : sequence of str, optional
        What the features are called, where rows are no images; by default as the model's card
        says it.
    figure : Figure, optional

    Returns
    -------
    Figure
    """
    shape = shape_of_rows(vae, image_shape, feature_names)
    check_cells(n, n_columns, (shape[0], 2 * shape[1]))
    posterior = vae.sample(n, seed=seed, label=label, source="posterior", data=data)
    both = [vae.sample(n, seed=seed, label=label), posterior]
    cells = cells_of(n, n_columns, shape)
    caption = _caption(vae, both, shape, feature_names)
    margins = margins_for(cells, caption)
    axes = new_pair(cells, margins.bottom) if figure is None else figure.subplots(1, 2)
    for ax, rows, source in zip(axes, both, get_args(SampleSource), strict=True):
        draw_cells(ax, rows, shape, cells, margins, both)
        set_title(ax, f"{_count(n)} from the {source}")
    set_caption(axes[0], caption)
    return axes[0].figure.figure if figure is None else figure


def interpolation(
    vae: VAE,
    start: Rows,
    end: Rows,
    *,
    labels: tuple[ArrayLike, ArrayLike] | None = None,
    n_steps: int = 11,
    spherical: bool = False,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what the decoder makes of the latents between two images.

    Parameters
    ----------
    vae : VAE
    start, end : arrays of shape (n_features,) or (n_pairs, n_features)
        The images to go from and to, encoded to their posterior means. Several pairs give a
        line of the picture each.
    labels : (labels of start, labels of end), optional
        Of a conditional model; the first half of the way has those of the start.
    n_steps : int
        Images in a line, both ends included.
    spherical : bool
        See `interpolate`.
    image_shape : (height, width), optional
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    feature_names : sequence of str, optional
        What the features are called, where rows are no images; by default as the columns of a
        table or data set, or as the model's card says it.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    start_labels, end_labels = (None, None) if labels is None else labels
    names = names_of_features(vae, start, feature_names)
    means = posterior_means(vae, start, start_labels), posterior_means(vae, end, end_labels)
    shape = shape_of_rows(vae, image_shape, names)
    n = len(means[0]) * n_steps
    check_cells(n, n_steps, shape)
    path = interpolate(*means, n_steps, spherical=spherical)
    latents = path.swapaxes(0, 1).reshape(-1, path.shape[-1])
    halves = None
    if labels is not None:
        ends = [np.atleast_1d(as_labels(y, "labels")) for y in labels]
        halves = np.where(np.arange(n_steps) < (n_steps + 1) // 2, *(y[:, None] for y in ends))
    decoded = vae.decode(latents, labels=None if halves is None else halves.ravel())
    cells = cells_of(n, n_steps, shape)
    caption = _caption(vae, [decoded], shape, names)
    ax = draw_cells(ax, decoded, shape, cells, margins_for(cells, caption, ticks=25))
    label_columns(ax, cells, [f"{100 * i / (n_steps - 1):.0f} %" for i in range(n_steps)])
    set_caption(ax, caption)
    way = "along the great circle" if spherical else "along the straight line"
    return set_title(ax, f"Interpolation in the latent space, {way}")


def manifold(
    vae: VAE,
    n: int = 20,
    *,
    label: int | str | None = None,
    image_shape: tuple[int, int] | None = None,
    feature_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the decoded n x n grid of a two-dimensional latent space.

    The grid is even in probability: coordinates are the inverse normal distribution function at
    (i + 1/2) / n, as in Kingma & Welling 2014 (arXiv:1312.6114), figure 4.

    Parameters
    ----------
    vae : VAE
        With two latent units.
    n : int
        Images a side.
    label : int or str, optional
        Of a conditional model the class, which it needs: a number or a name.
    image_shape : (height, width), optional
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    feature_names : sequence of str, optional
        What the features are called, where rows are no images; by default as the model's card
        says it.
    ax : Axes, optional

    Returns
    -------
    Axes
        The first latent grows to the right, the second upwards.

    Raises
    ------
    ValueError
        If the latent space does not have two dimensions.
    """
    if vae.n_latent != 2:
        raise ValueError(
            f"the manifold picture needs a model with 2 latent units; this one has {vae.n_latent} "
            '(fastvae.load("mnist_two_dimensional") has 2)'
        )
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    if vae.n_classes and label is None:
        raise ValueError("the manifold of a conditional model is of one class: give its label")
    shape = shape_of_rows(vae, image_shape, feature_names)
    check_cells(n * n, n, shape, gap=(0, 0))
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    second, first = np.meshgrid(quantiles[::-1], quantiles, indexing="ij")
    latents = np.column_stack([first.ravel(), second.ravel()]).astype(np.float32)
    classes = None if label is None else np.full(n * n, vae.class_number(label))
    decoded = vae.decode_draws(latents, classes)
    cells = cells_of(n * n, n, shape, gap=(0, 0))
    caption = _sentences(_SHARES, _caption(vae, [decoded], shape, feature_names))
    margins = margins_for(cells, caption, ticks=85, left=135)
    ax = draw_cells(ax, decoded, shape, cells, margins)
    _label_quantiles(ax, cells)
    set_caption(ax, caption)
    of = "" if label is None else f" of class {_name_of(vae, label)}"
    return set_title(ax, f"Latent manifold{of}, spaced by the prior's quantiles")


def _label_quantiles(ax: Axes, cells: Cells) -> None:
    """Say where on the axes of a manifold latents lie, and below which share of the prior."""
    point = points_of_pixel(ax, cells)
    for axis, side, is_upwards in (
        (ax.xaxis, cells.size[1], False),
        (ax.yaxis, cells.size[0], True),
    ):
        latents = _TICKS if side * point >= _ROOM_FOR_LATENTS else _TICKS[1:-1]
        shares = [NormalDist().cdf(latent) for latent in latents]
        below = [f"{100 * p:.0f} %" for p in shares]
        if side * point < _ROOM_FOR_SHARES and len(latents) == len(_TICKS):
            below[0] = below[-1] = ""
        places = [(1 - p if is_upwards else p) * side - 0.5 for p in shares]
        axis.remove_overlapping_locs = False  # each place has a latent and a share
        axis.set_ticks(places, [number(latent) for latent in latents], fontsize=FONT_SIZE)
        axis.set_ticks(places, below, minor=True, fontsize=CAPTION_SIZE)
    ax.tick_params(length=3, labelcolor=INK, color=MUTED)
    ax.tick_params(which="minor", length=0, labelcolor=MUTED)
    ax.tick_params(axis="x", which="minor", pad=17)
    ax.tick_params(axis="y", which="minor", pad=22)
    label_axes(ax, "first latent", "second latent")


def _grid_of_rows(
    vae: VAE,
    ax: Axes | None,
    rows: np.ndarray,
    shape: tuple[int, int],
    cells: Cells,
    title: str,
    names: Sequence[str] | None,
) -> Axes:
    """Draw rows with a title and a caption."""
    caption = _caption(vae, [rows], shape, names)
    ax = draw_cells(ax, rows, shape, cells, margins_for(cells, caption))
    set_caption(ax, caption)
    return set_title(ax, title)


def _caption(
    vae: VAE, groups: Sequence[np.ndarray], shape: tuple[int, int], names: Sequence[str] | None
) -> str:
    """What stands below a picture: what its lines are, where it has some, and its model."""
    return _sentences(
        describe(groups, names_of_features(vae, given=names)) if is_profile(shape) else "",
        about(vae),
    )


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _count(n: int) -> str:
    return "1 sample" if n == 1 else f"{n:,} samples"


def _name_of(vae: VAE, label: int | str) -> str:
    """What a class is called, in a title."""
    names = vae.class_names
    number = vae.class_number(label)
    return str(number) if names is None else printable(names[number], _MAX_NAME)
