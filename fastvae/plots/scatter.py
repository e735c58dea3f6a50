"""Where rows lie in the latent space: a scatter of posterior means, coloured by their labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from fastvae.checks.foreign import known_labels
from fastvae.checks.quoting import printable
from fastvae.data.rows import Rows
from fastvae.model.vae import VAE
from fastvae.plots.known import about, posterior_means
from fastvae.plots.latents import principal_components
from fastvae.plots.naming import places
from fastvae.plots.style import (
    FONT_SIZE,
    INK,
    MUTED,
    PAPER,
    class_look,
    label_axes,
    new_chart,
    number,
    set_caption,
    set_title,
    style_chart,
    width_of,
)

_MAX_NAME = 30  # characters of a label's name, of which a legend of more columns has its share
_MAX_COLUMNS, _MAX_ROWS = 4, 25  # of a legend; of more classes colours and markers repeat
_FEW = 10  # classes whose names are written large
_MOST_FRACTIONS, _MOST_WHOLE = 10, 20  # values of a label that is a float, yet names a class
_MOST_COVERED = 0.15  # of the picture, by names
_UNKNOWN = "#aaaaaa"  # what has no label
_MOST_NAMED = 60  # classes, at their medians; of more the legend is clearer
_COLOUR_MAP = "viridis"
_NO_LABEL = "no label"
_SCALES = {"s": 0.85, "d": 1.2}  # so that markers look equally large


def latent_space(
    vae: VAE,
    X: Rows,
    labels: ArrayLike | None = None,
    *,
    label_names: Mapping[int, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Scatter the posterior means of `X`, coloured by label.

    Each class has its colour and marker, and its name at its median; where names would cover each
    other they are moved apart, and a line leads from the name to the median.

    Two latent units are drawn as they are; more are projected on the two directions of largest
    variance (principal component analysis by singular value decomposition).

    Parameters
    ----------
    vae : VAE
        With at least two latent units.
    X : array of shape (n_samples, n_features), or Dataset
    labels : array of shape (n_samples,), optional
        Classes, as numbers or texts, or values: floats of many different values are drawn with a
        colour bar. Rows whose label is missing (NaN, None) are drawn in grey. A conditional model
        needs integers: it encodes rows by their labels.
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
    mean = posterior_means(vae, X, labels if vae.n_classes else None)
    if mean.shape[1] < 2:
        raise ValueError(
            f"the latent picture needs at least 2 latent units; this model has {mean.shape[1]} "
            "(its activity can be drawn)"
        )
    points, axis_names, caption = _plane(mean)
    found, known = (np.zeros(0), np.zeros(len(points), np.bool_))
    if labels is not None:
        found, known = known_labels(labels, "labels")
        if known.shape != (len(points),):
            raise ValueError(
                f"labels must have shape ({len(points)},), one for each row; got {known.shape}"
            )
    names = label_names or {}
    is_value = _is_value(found) and not names
    if is_value:
        known[known] = finite = np.isfinite(found.astype(np.float64))
        found = found[finite].astype(np.float64)
    classes, index = (found[:0], known[:0]) if is_value else np.unique(found, return_inverse=True)
    texts = [_text(names.get(label, label)) for label in classes.tolist()]
    n_columns = -(-min(len(texts), _MAX_COLUMNS * _MAX_ROWS) // _MAX_ROWS)
    texts = [_shortened(text, max(14, _MAX_NAME // max(1, n_columns))) for text in texts]
    ax = new_chart(*_size(texts, n_columns)) if ax is None else ax
    ax.set_aspect("equal", adjustable="datalim")
    style_chart(ax, grid="both")
    label_axes(ax, *axis_names)
    set_caption(ax, " ".join(text for text in (caption, about(vae)) if text))
    set_title(ax, f"Posterior means of {_rows(len(points))}")
    if is_value:
        _scatter_values(ax, points, found, known)
    else:
        _scatter(ax, points, known, index)
        _add_legend(ax, texts, n_columns, int((~known).sum()) if labels is not None else 0)
        medians = [np.median(points[known][index == i], axis=0) for i in range(len(texts))]
        _write_names(ax, np.array(medians), texts)
    return ax


def _plane(mean: np.ndarray) -> tuple[np.ndarray, tuple[str, str], str]:
    """Means in the plane that is drawn, the names of its axes, and what to say of it."""
    n_latent = mean.shape[1]
    if n_latent == 2:
        return mean, ("first latent", "second latent"), ""
    points, share = principal_components(mean)
    first, second = (
        f"principal component {i + 1} ({100 * s:.0f} % of variance)" for i, s in enumerate(share)
    )
    caption = (
        f"A projection of {n_latent} latents on the two directions of largest variance, which show "
        f"{100 * share.sum():.0f} % of it: overlap here is the projection's, and what overlaps may "
        "lie apart in the other directions."
    )
    return points, (first, second), caption


def _is_value(labels: np.ndarray) -> bool:
    """Whether labels are values of a quantity, rather than classes."""
    if labels.dtype.kind != "f":
        return False
    different = np.unique(labels)
    is_whole = bool((np.floor(different) == different).all())
    return len(different) > (_MOST_WHOLE if is_whole else _MOST_FRACTIONS)


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _text(label: object) -> str:
    """How a label is written; one that is a whole number without a fraction."""
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    return number(label, 6) if isinstance(label, float) else str(label)


def _shortened(text: str, limit: int) -> str:
    """A text of at most `limit` characters: of a longer one the beginning and the end."""
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit // 2]}\u2026{text[-(limit // 2 - 1) :]}"


def _size(texts: Sequence[str], n_columns: int) -> tuple[float, float]:
    """Width and height of a new figure, in inches, with room for the legend's columns."""
    longest = max((width_of(text, FONT_SIZE) for text in texts), default=0.0)
    return 6.0 + n_columns * (0.3 + longest), 5.8


def _dots(ax: Axes, points: np.ndarray) -> PathCollection:
    """Dots whose size is by their number, to be coloured."""
    size = float(np.clip(1200 / np.sqrt(len(points)), 6, 26))
    # Ten thousand vector dots make a PDF that no viewer likes.
    return ax.scatter(points[:, 0], points[:, 1], s=size, alpha=0.75, linewidths=0, rasterized=True)


def _scatter(ax: Axes, points: np.ndarray, known: np.ndarray, index: np.ndarray) -> None:
    """Dots with colours and markers of classes; those without are grey where others have one."""
    colours = np.full(len(points), _UNKNOWN if known.any() else class_look(0)[0], dtype=object)
    markers = np.full(len(points), "x" if known.any() else "o", dtype=object)
    looks = [class_look(i) for i in range(index.max() + 1 if len(index) else 0)]
    colours[known] = [looks[i][0] for i in index]
    markers[known] = [looks[i][1] for i in index]
    shapes = {marker: _shape(marker) for marker in set(markers.tolist())}
    # One collection in the order of the data: class after class, the last would cover the others.
    dots = _dots(ax, points)
    dots.set_facecolor(colours.tolist())
    dots.set_edgecolor(["none" if m != "x" else _UNKNOWN for m in markers])
    dots.set_linewidth([0.0 if m != "x" else 0.8 for m in markers])
    dots.set_paths([shapes[marker] for marker in markers.tolist()])


def _shape(marker: str) -> Path:
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    scale = _SCALES.get(marker, 1.0)
    return path.transformed(Affine2D().scale(scale))


def _scatter_values(ax: Axes, points: np.ndarray, values: np.ndarray, known: np.ndarray) -> None:
    """Dots coloured by a quantity, with a colour bar; those without one are grey."""
    if not known.all():
        _dots(ax, points[~known]).set_facecolor("#cccccc")
    dots = _dots(ax, points[known])
    dots.set_array(values)
    dots.set_cmap(_COLOUR_MAP)
    bar = ax.figure.figure.colorbar(dots, ax=ax, shrink=0.8, pad=0.02)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=FONT_SIZE, labelcolor=INK, color=MUTED)
    n_missing = int((~known).sum())
    bar.set_label(
        f"label ({_NO_LABEL}: {_rows(n_missing)}, grey)" if n_missing else "label",
        fontsize=FONT_SIZE,
        color=INK,
    )


def _add_legend(ax: Axes, texts: Sequence[str], n_columns: int, n_missing: int) -> None:
    """List the classes at the right, and how many rows have none."""
    listed = list(texts[: _MAX_COLUMNS * _MAX_ROWS])
    looks = [class_look(i) for i in range(len(listed))]
    if n_missing:
        listed.append(f"{_NO_LABEL} ({n_missing:,})")
        looks.append((_UNKNOWN, "x"))
    if not listed:
        return
    legend = ax.legend(
        handles=[
            Line2D([], [], marker=marker, linestyle="", color=colour, markersize=6)
            for colour, marker in looks
        ],
        labels=[str(i) for i in range(len(listed))],  # matplotlib drops names that begin with _
        title=f"{len(looks)} of {len(texts):,} classes" if len(looks) < len(texts) else None,
        ncols=max(1, n_columns),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=FONT_SIZE,
        title_fontsize=FONT_SIZE,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    for text, name in zip(legend.get_texts(), listed, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def _write_names(ax: Axes, medians: np.ndarray, texts: Sequence[str]) -> None:
    """Write each class's name at its median, or beside it; none where they would cover too much."""
    if not texts:
        return
    notes = [
        _note(ax, median, text, len(texts)) for median, text in zip(medians, texts, strict=True)
    ]
    figure = ax.figure.figure
    figure.draw_without_rendering()  # until then it is not known where in the figure the axes are
    boxes = [Text.get_window_extent(note) for note in notes]  # without their lines
    sizes = np.array([(box.width, box.height) for box in boxes])
    area = ax.get_window_extent()
    if sizes.prod(axis=1).sum() > _MOST_COVERED * area.width * area.height:
        for note in notes:
            note.remove()
        return
    anchors = ax.transData.transform(medians)
    low, high = np.array(area.min), np.array(area.max)
    for note, place, anchor in zip(notes, places(anchors, sizes, low, high), anchors, strict=True):
        note.set_position(tuple(ax.transAxes.inverted().transform(place)))
        if np.linalg.norm(place - anchor) < 1 and note.arrow_patch is not None:
            note.arrow_patch.set_visible(False)


def _note(ax: Axes, median: NDArray[np.float64], text: str, n: int) -> Annotation:
    """A name at a median, with a line that leads to it."""
    halo = [withStroke(linewidth=2.5, foreground=PAPER)]
    note = ax.annotate(
        text,
        tuple(median),
        xytext=(0.5, 0.5),
        textcoords="axes fraction",
        ha="center",
        va="center",
        fontsize=FONT_SIZE + 3 if n <= _FEW else FONT_SIZE,
        fontweight="bold",
        color=INK,
        path_effects=halo,
        arrowprops={
            "arrowstyle": "-",
            "color": INK,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
            "path_effects": halo,
        },
        parse_math=False,
    )
    note.set_in_layout(False)
    return note
