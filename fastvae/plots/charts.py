"""Charts of numbers: the activity of latent units, and losses over the epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fastvae.data.rows import Rows
from fastvae.model.vae import VAE
from fastvae.plots.known import about, posterior_means
from fastvae.plots.style import (
    CAPTION_SIZE,
    FONT_SIZE,
    INK,
    MARGIN,
    MUTED,
    PAPER,
    TRAINING,
    VALIDATION,
    label_axes,
    new_chart,
    new_figure,
    number,
    set_caption,
    set_title,
    style_chart,
    wrapped,
)
from fastvae.training.evaluation import ACTIVE_VARIANCE

_RUNNING_MEAN = (
    "Training figures are each epoch's running mean, taken while the weights change; validation "
    "figures are measured at its end."
)
_WIDE = 100.0  # a ratio of losses from which on most of a curve would lie on a linear axis' floor
# Name, colour and style of a curve, by the prefix of its figures.
_CURVES = {
    "": ("training", TRAINING, "-"),
    "val_": ("validation", VALIDATION, "--"),
}


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
    mean = posterior_means(vae, X, labels)
    variance = np.sort(mean.var(axis=0, dtype=np.float64))[::-1]
    active = variance > threshold
    ax = new_chart(7.0, 3.6) if ax is None else ax
    ax.set_yscale("log")
    unit = np.arange(1, len(variance) + 1)
    positive = variance[variance > 0]
    # A logarithmic axis has no place for 0: what does not vary stands below all others.
    floor = min([*positive, threshold]) / 5
    shown = np.maximum(variance, floor)
    looks = ((active, TRAINING, TRAINING, "o"), (~active, PAPER, MUTED, "o"))
    for chosen, face, edge, marker in looks:
        ax.plot(unit[chosen], shown[chosen], marker, color=edge, markerfacecolor=face, markersize=5)
    ax.axhline(threshold, color=INK, linewidth=0.8, linestyle="--")
    ax.annotate(
        f"active above {number(threshold)}",
        (1, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=CAPTION_SIZE,
        color=INK,
    )
    ax.minorticks_off()
    ax.set_xlim(0.4, len(variance) + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_chart(ax)
    label_axes(ax, "latent unit, most active first", "variance of the posterior mean")
    n_still = len(variance) - len(positive)
    still = f"Units that do not vary at all stand lowest: {n_still}. " if n_still else ""
    set_caption(ax, f"{still}Over {len(mean):,} rows. {about(vae)}".rstrip())
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
        figure = new_figure(3.0 * len(panels), 3.3)
    for ax, (key, name) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for prefix, (label, colour, style) in _CURVES.items():
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
                linestyle=style,
                marker="o" if len(values) <= 20 else "",
                markersize=3,
            )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        is_logarithmic = _set_scale(ax)
        style_chart(ax)
        label_axes(ax, "epoch", "")
        set_title(ax, f"{name}, log scale" if is_logarithmic else name)
    first = figure.axes[0]
    variant = getattr(history, "variant", None)
    label_axes(
        first, "epoch", f"nats per sample, data: {variant}" if variant else "nats per sample"
    )
    is_validated = "val_elbo" in history
    if is_validated:
        first.legend(fontsize=FONT_SIZE, frameon=False, labelcolor=INK)
    caption = _RUNNING_MEAN if is_validated else f"{_RUNNING_MEAN.partition(';')[0]}."
    _write_below(figure, caption)
    return figure


def _set_scale(ax: Axes) -> bool:
    """Give curves over several decades a logarithmic axis; return whether it has one."""
    drawn = np.concatenate([np.empty(0), *(np.asarray(line.get_ydata()) for line in ax.lines)])
    values = drawn[np.isfinite(drawn)]
    is_wide = values.size > 0 and 0 < values.min() < values.max() / _WIDE
    if is_wide:
        ax.set_yscale("log")
        ax.minorticks_off()
    return bool(is_wide)


def _write_below(figure: Figure, text: str) -> None:
    """Write a caption below all axes of a figure."""
    lines = wrapped(text, figure.get_figwidth() - 2 * MARGIN, CAPTION_SIZE)
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=CAPTION_SIZE, color=MUTED)
