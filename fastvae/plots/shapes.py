"""Which rows are images, and of what height and width."""

import math
from collections.abc import Sequence
from typing import Any

from fastvae.plots.known import names_of_features

_LEAST_SIDE = 8  # a smaller square of values that are no pixels is a row of a table


def shape_of_rows(
    vae: Any, image_shape: tuple[int, int] | None, feature_names: Sequence[str] | None = None
) -> tuple[int, int]:
    """Height and width of a model's rows as images; height 1 where they are none.

    They are none where their number of features is no square number, and where it is a small one
    of features that have names or are no Bernoulli variables, as pixels are.
    """
    shape = shape_of_image(vae.n_features, image_shape)
    names = names_of_features(vae, given=feature_names)
    is_table = names is not None or getattr(vae, "likelihood", "bernoulli") != "bernoulli"
    if image_shape is None and shape[0] < _LEAST_SIDE and is_table:
        return 1, vae.n_features
    return shape


def is_profile(shape: tuple[int, int]) -> bool:
    """Whether rows of this shape are drawn as lines."""
    return shape[0] == 1


def shape_of_image(n_features: int, image_shape: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of an image of `n_features` pixels; see `tile_images`."""
    if image_shape is None:
        side = math.isqrt(n_features)
        return (side, side) if side * side == n_features else (1, n_features)
    height, width = image_shape
    if height < 1 or width < 1 or height * width != n_features:
        raise ValueError(
            f"image_shape must have {n_features} pixels, as the rows have; got {height} x {width} "
            f"({_near_square(n_features)} would fit)"
        )
    return height, width


def _near_square(n_features: int) -> str:
    """Height and width of the image that is nearest to a square, as the command line takes it."""
    height = math.isqrt(n_features)
    while n_features % height:
        height -= 1
    return f"{height}x{n_features // height}"
