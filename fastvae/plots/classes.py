"""The picture of a conditional model: what it draws of each class, in the same styles."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from fastvae import checks
from fastvae.checks.quoting import printable
from fastvae.model.vae import VAE
from fastvae.plots.cells import cells_of, check_cells, draw_cells
from fastvae.plots.grid import label_lines, margins_for
from fastvae.plots.known import about, names_of_features
from fastvae.plots.profiles import describe
from fastvae.plots.shapes import is_profile, shape_of_rows
from fastvae.plots.style import set_caption, set_title

_MAX_NAME = 16  # characters of a class's name beside its line


def classes_by_styles(
    vae: VAE,
    n_styles: int = 10,
    *,
    classes: Iterable[int | str] | None = None,
    seed: int = 0,
    image_shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw samples of each class, a line each; in a column all are of the same draw.

    A conditional model says the class by its label, so that what is left to the latent is the
    style: slant, width, weight of a digit.

    Parameters
    ----------
    vae : VAE
        A conditional model.
    n_styles : int
        Samples of each class.
    classes : iterable of int or str, optional
        Which classes, by their numbers or names, in the order of the lines; all if missing.
    seed : int
        Of the draws, handed to ``vae.sample``.
    image_shape : (height, width), optional
        See `tile_images`. Rows of height 1 are drawn as lines through their values.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If the model is not conditional, there is no such class, or an argument is not what it must
        be.
    """
    n_styles = checks.integer(n_styles, "n_styles")
    seed = checks.seed(seed)
    given = range(max(1, vae.n_classes)) if classes is None else classes
    labels = [vae.class_number(label, "classes") for label in given]
    if not labels:
        raise ValueError("classes must be at least one class; got none")
    shape = shape_of_rows(vae, image_shape)
    check_cells(len(labels) * n_styles, n_styles, shape)
    rows = np.concatenate([vae.sample(n_styles, seed, label=label) for label in labels])
    known = vae.class_names
    names = [str(y) if known is None else printable(known[y], _MAX_NAME) for y in labels]
    cells = cells_of(len(rows), n_styles, shape)
    caption = (
        f"{describe([rows], names_of_features(vae))} {about(vae)}"
        if is_profile(shape)
        else about(vae)
    )
    ax = draw_cells(ax, rows, shape, cells, margins_for(cells, caption, names))
    label_lines(ax, cells, cells.lines().tolist(), names)
    set_caption(ax, caption)
    n = len(labels)
    title = f"Samples of {n:,} classes, each column one style" if n > 1 else "Samples of one class"
    return set_title(ax, title)
