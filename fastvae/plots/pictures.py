"""The pictures of a model and of its training."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fastvae.checks import as_array, as_floats, as_labels, is_one_row
from fastvae.checks.quoting import printable
from fastvae.data.rows import Rows, taken
from fastvae.model.names import SampleSource
from fastvae.model.vae import VAE
from fastvae.plots.drawing import (
    DPI,
    FONT_SIZE,
    INK,
    PALETTE,
    check_size,
    draw_image,
    draw_rows,
    label_axes,
    new_chart,
    new_image_pair,
    set_title,
    shade_limits,
    shape_of_image,
    style_chart,
    tile_images,
)
from fastvae.plots.latents import interpolate, principal_components
from fastvae.training.evaluation import ACTIVE_VARIANCE

_MAX_NAME = 30  # characters of a label's name, of which a legend of more columns has its share
_MAX_COLUMNS, _MAX_ROWS = 3, 24  # of a legend; more would leave no room for the picture


def reconstructions(
    vae: VAE,
    X: Rows,
    *,
    labels: ArrayLike | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
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
        Pairs in a line; by default 10, or 1 where the images are strips.
    image_shape : (height, width), optional
        See `tile_images`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    rows, name = taken(X, "X")
    original = np.atleast_2d(as_floats(as_array(rows, name)))
    height, width = shape_of_image(original.shape[1], image_shape)
    if n_columns is None:
        n_columns = 1 if height == 1 else 10
    check_size(len(original), n_columns, (2 * height + 1, width), gap=(3, 1))
    given = X if labels is None else rows  # a data set brings its labels
    reconstruction = np.atleast_2d(vae.reconstruct(given, labels=labels))
    gap = np.full((len(original), width), np.nan, dtype=np.float32)
    pairs = np.hstack([original, gap, reconstruction])
    tiled = tile_images(pairs, n_columns, (2 * height + 1, width), gap=(3, 1), fill=np.nan)
    ax = draw_image(ax, tiled, shade_limits(original, reconstruction))
    return set_title(ax, "Originals, and below each its reconstruction")


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
        See `tile_images`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    check_size(n, n_columns, shape_of_image(vae.n_features, image_shape))
    drawn = vae.sample(n, seed=seed, label=label, source=source, data=data)
    ax = draw_rows(ax, drawn, n_columns, image_shape)
    of = f" of class {_name_of(vae, label)}" if isinstance(label, (int, str)) else ""
    return set_title(ax, f"{n} samples{of} from the {source}")


def prior_and_posterior(
    vae: VAE,
    n: int = 100,
    *,
    seed: int | None = 0,
    label: int | str | Iterable[int | str] | None = None,
    data: Rows | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
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
        See `tile_images`.
    figure : Figure, optional

    Returns
    -------
    Figure
    """
    height, width = shape_of_image(vae.n_features, image_shape)
    check_size(n, n_columns, (height, 2 * width))
    posterior = vae.sample(n, seed=seed, label=label, source="posterior", data=data)
    tiled = [
        tile_images(rows, n_columns, image_shape, fill=np.nan)
        for rows in (vae.sample(n, seed=seed, label=label), posterior)
    ]
    limits = shade_limits(*(rows[~np.isnan(rows)] for rows in tiled))
    axes = new_image_pair(*tiled[0].shape) if figure is None else figure.subplots(1, 2)
    for ax, image, source in zip(axes, tiled, get_args(SampleSource), strict=True):
        set_title(draw_image(ax, image, limits), f"{n} samples from the {source}")
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
        See `tile_images`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    start_labels, end_labels = (None, None) if labels is None else labels
    means = _posterior_means(vae, start, start_labels), _posterior_means(vae, end, end_labels)
    height, width = shape_of_image(vae.n_features, image_shape)
    check_size(len(means[0]) * n_steps, n_steps, (height, width))
    path = interpolate(*means, n_steps, spherical=spherical)
    latents = path.swapaxes(0, 1).reshape(-1, path.shape[-1])
    halves = None
    if labels is not None:
        ends = [np.atleast_1d(as_labels(y, "labels")) for y in labels]
        halves = np.where(np.arange(n_steps) < (n_steps + 1) // 2, *(y[:, None] for y in ends))
    decoded = vae.decode(latents, labels=None if halves is None else halves.ravel())
    ax = draw_rows(ax, decoded, n_steps, image_shape, margins=(25, 50))
    centres = (width - 1) / 2 + (width + 1) * np.arange(n_steps)
    ax.set_xticks(
        centres, [f"{100 * i / (n_steps - 1):.0f} %" for i in range(n_steps)], fontsize=FONT_SIZE
    )
    ax.tick_params(axis="x", length=0, labelcolor=INK)
    way = "along the great circle" if spherical else "along the straight line"
    return set_title(ax, f"Interpolation in the latent space, {way}")


def manifold(
    vae: VAE,
    n: int = 20,
    *,
    label: int | str | None = None,
    image_shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the decoded n x n grid of a two-dimensional latent space.

    The grid is even in probability: coordinates are the inverse normal distribution function at
    (i + 1/2) / n, as in Kingma & Welling 2013 (arXiv:1312.6114), figure 4.

    Parameters
    ----------
    vae : VAE
        With two latent units.
    n : int
        Images a side.
    label : int or str, optional
        Of a conditional model the class, which it needs: a number or a name.
    image_shape : (height, width), optional
        See `tile_images`.
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
    height, width = shape_of_image(vae.n_features, image_shape)
    check_size(n * n, n, (height, width), gap=(0, 0))
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    second, first = np.meshgrid(quantiles[::-1], quantiles, indexing="ij")
    latents = np.column_stack([first.ravel(), second.ravel()]).astype(np.float32)
    classes = None if label is None else np.full(n * n, vae.class_number(label))
    decoded = vae.decode_draws(latents, classes)
    tiled = tile_images(decoded, n, (height, width), gap=0)
    ax = draw_image(ax, tiled, shade_limits(decoded), margins=(75, 75))
    shown = sorted({0, n // 4, n - 1 - n // 4, n - 1})
    labels = [f"{quantiles[i]:.1f}" for i in shown]
    ax.set_xticks([(i + 0.5) * width - 0.5 for i in shown], labels, fontsize=FONT_SIZE)
    ax.set_yticks([(n - i - 0.5) * height - 0.5 for i in shown], labels, fontsize=FONT_SIZE)
    ax.tick_params(length=0, labelcolor=INK)
    label_axes(ax, "first latent", "second latent")
    of = "" if label is None else f" of class {_name_of(vae, label)}"
    return set_title(ax, f"Latent manifold{of}, even in probability")


def latent_space(
    vae: VAE,
    X: Rows,
    labels: ArrayLike | None = None,
    *,
    label_names: Mapping[int, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter the posterior means of `X`, coloured by label.

    Two latent units are drawn as they are; more are projected on the two directions of largest
    variance (principal component analysis by singular value decomposition).

    Parameters
    ----------
    vae : VAE
        With at least two latent units.
    X : array of shape (n_samples, n_features), or Dataset
    labels : integer array of shape (n_samples,), optional
        A conditional model needs them: it encodes rows by their labels.
    label_names : mapping of int to str, optional
        What to write for a label, as `Dataset.label_names` has it; other labels are written as they
        are.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there are fewer than two latent units, or not one label for each row.
    """
    mean = _posterior_means(vae, X, labels if vae.n_classes else None)
    if mean.shape[1] < 2:
        raise ValueError(
            f"the latent picture needs at least 2 latent units; this model has {mean.shape[1]} "
            "(its activity can be drawn)"
        )
    if mean.shape[1] == 2:
        points, names = mean, ["first latent", "second latent"]
    else:
        points, share = principal_components(mean)
        names = [
            f"principal component {i + 1} ({100 * s:.0f} % of variance)"
            for i, s in enumerate(share)
        ]
    ax = new_chart(6.0, 5.6) if ax is None else ax
    if labels is None:
        _scatter(ax, points, PALETTE[0])
    else:
        _scatter_classes(ax, points, as_labels(labels, "labels"), label_names or {})
    ax.set_aspect("equal", adjustable="datalim")
    style_chart(ax, grid="both")
    label_axes(ax, names[0], names[1])
    return set_title(ax, f"Posterior means of {len(points):,} rows")


def activity(
    vae: VAE,
    X: Rows,
    *,
    labels: ArrayLike | None = None,
    threshold: float = ACTIVE_VARIANCE,
    ax: Axes | None = None,
) -> Axes:
    """Draw the activity of each latent unit, most active first.

    Activity is the variance of the posterior mean over the data; a unit above 0.01 counts as
    active (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, section 5.2).

    Parameters
    ----------
    vae : VAE
    X : array of shape (n_samples, n_features), or Dataset
    labels : integer array of shape (n_samples,), optional
        Of a conditional model; of a data set its own if missing.
    threshold : float
        Where the line between active and inactive is drawn.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    mean = _posterior_means(vae, X, labels)
    variance = np.sort(mean.var(axis=0, dtype=np.float64))[::-1]
    active = variance > threshold
    ax = new_chart(7.0, 3.4) if ax is None else ax
    colours = [PALETTE[0] if a else PALETTE[3] for a in active]
    ax.bar(np.arange(1, len(variance) + 1), variance, color=colours, width=0.8)
    ax.axhline(threshold, color=INK, linewidth=0.8, linestyle="--")
    ax.set_yscale("log")
    ax.minorticks_off()
    ax.set_xlim(0.4, len(variance) + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_chart(ax)
    label_axes(ax, "latent unit, most active first", "variance of the posterior mean")
    return set_title(ax, f"{int(active.sum())} of {len(variance)} latent units active")


def losses(history: Mapping[str, Sequence[float]], *, figure: Figure | None = None) -> Figure:
    """Draw negative ELBO, reconstruction loss and KL divergence over the epochs.

    Where another bound was trained (`VAE.fit`'s ``objective``), it comes first, beside the ELBO.

    Parameters
    ----------
    history : mapping of lists
        What ``VAE.fit`` returns: one number an epoch under ``elbo``, ``reconstruction`` and
        ``kl``; where ``val_elbo`` and so on are there, they are drawn beside. Its ``variant``
        of the data, if it has one, is named.
    figure : Figure, optional
        A new one by default; Axes are added to it, one for each of these.

    Returns
    -------
    Figure
    """
    panels = [("elbo", "Negative ELBO"), ("reconstruction", "Reconstruction"), ("kl", "KL")]
    if "bound" in history:
        panels.insert(0, ("bound", "Negative bound"))
    if figure is None:
        figure = Figure(figsize=(3.0 * len(panels), 3.0), dpi=DPI, layout="constrained")
    for ax, (key, name) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for prefix, label, colour in (
            ("", "training", PALETTE[0]),
            ("val_", "validation", PALETTE[6]),
        ):
            if prefix + key not in history:
                continue
            values = np.asarray(history[prefix + key], dtype=np.float64)
            values = -values if key in ("bound", "elbo") else values
            ax.plot(
                np.arange(1, len(values) + 1),
                values,
                color=colour,
                label=label,
                linewidth=1.5,
                marker="o" if len(values) <= 20 else "",
                markersize=3,
            )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        style_chart(ax)
        label_axes(ax, "epoch", "")
        set_title(ax, name)
    first = figure.axes[0]
    variant = getattr(history, "variant", None)
    label_axes(
        first, "epoch", f"nats per sample, data: {variant}" if variant else "nats per sample"
    )
    if "val_elbo" in history:
        first.legend(fontsize=FONT_SIZE, frameon=False, labelcolor=INK)
    return figure


def _posterior_means(vae: VAE, X: Rows, labels: ArrayLike | None = None) -> np.ndarray:
    """Posterior means of rows, shape (n, n_latent); a single row is one of them."""
    one_row = is_one_row(X)
    if one_row and labels is not None:
        labels = np.atleast_1d(as_labels(labels, "labels"))
    mean, _ = vae.encode(as_array(X, "X")[np.newaxis] if one_row else X, labels=labels)
    return mean


def _name_of(vae: VAE, label: int | str) -> str:
    """What a class is called, in a title."""
    names = vae.class_names
    number = vae.class_number(label)
    return str(number) if names is None else printable(names[number], _MAX_NAME)


def _scatter(ax: Axes, points: np.ndarray, colours: str | list[str]) -> None:
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=5,
        c=colours,
        alpha=0.6,
        linewidths=0,
        rasterized=True,  # ten thousand vector dots make a PDF that no viewer likes
    )


def _scatter_classes(
    ax: Axes, points: np.ndarray, labels: np.ndarray, label_names: Mapping[int, str]
) -> None:
    if labels.shape != (len(points),):
        raise ValueError(
            f"labels must have shape ({len(points)},), one for each row; got {labels.shape}"
        )
    classes, index = np.unique(labels, return_inverse=True)
    # One call in the order of the data: class after class, the last would cover the others.
    _scatter(ax, points, [PALETTE[i % len(PALETTE)] for i in index])
    halo = [withStroke(linewidth=3, foreground="white")]
    centres = np.array([np.median(points[index == i], axis=0) for i in range(len(classes))])
    room = 0.04 * float(np.ptp(points, axis=0).max())
    n_listed = min(len(classes), _MAX_COLUMNS * _MAX_ROWS)
    n_columns = -(-n_listed // _MAX_ROWS)
    names = [
        printable(str(label_names.get(label, label)), _MAX_NAME // n_columns)
        for label in classes.tolist()
    ]
    for i, name in enumerate(names):
        # The name stands on the class as well, where there is room for it: colour alone must not
        # carry it.
        if (np.linalg.norm(centres[:i] - centres[i], axis=1) >= room).all():
            ax.annotate(
                name,
                tuple(centres[i]),
                ha="center",
                va="center",
                fontsize=FONT_SIZE + 4,
                fontweight="bold",
                color=INK,
                path_effects=halo,
                parse_math=False,
            )
    legend = ax.legend(
        handles=[
            Line2D([], [], marker="o", linestyle="", color=PALETTE[i % len(PALETTE)])
            for i in range(n_listed)
        ],
        labels=[str(i) for i in range(n_listed)],  # matplotlib drops names that begin with _
        title=f"{n_listed} of {len(names):,} classes" if n_listed < len(names) else None,
        ncols=n_columns,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=FONT_SIZE,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    for text, name in zip(legend.get_texts(), names, strict=False):
        text.set_parse_math(False)
        text.set_text(name)
