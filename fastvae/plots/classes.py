"""The picture of a conditional model: what it draws of each class, in the same styles."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from fastvae import checks
from fastvae.checks.quoting import printable
from fastvae.model.vae import VAE
from fastvae.plots.drawing import FONT_SIZE, INK, check_size, draw_rows, set_title, shape_of_image

_MAX_NAME = 16  # characters of a class's name beside its line
_PIXELS_OF_CHARACTER = 12


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
        See `tile_images`.
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
    height, width = shape_of_image(vae.n_features, image_shape)
    check_size(len(labels) * n_styles, n_styles, (height, width))
    rows = np.concatenate([vae.sample(n_styles, seed, label=label) for label in labels])
    known = vae.class_names
    names = [str(y) if known is None else printable(known[y], _MAX_NAME) for y in labels]
    left = max(25, 20 + _PIXELS_OF_CHARACTER * max(map(len, names)))
    ax = draw_rows(ax, rows, n_styles, (height, width), margins=(left, 25))
    centres = (height - 1) / 2 + (height + 1) * np.arange(len(labels))
    ax.set_yticks(centres, names, fontsize=FONT_SIZE, parse_math=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    return set_title(ax, f"Samples of {len(labels)} classes, each column one style")
