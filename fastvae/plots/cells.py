"""Pictures of many rows: a grid of cells, each an image, or a profile of a row that is none."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fastvae.plots.drawing import check_size, grid_of, shade_limits, tile_images
from fastvae.plots.grid import Cells, Margins, bare, new_axes
from fastvae.plots.profiles import PROFILE, draw_profiles
from fastvae.plots.shapes import is_profile
from fastvae.plots.style import PAPER

_GAP = "#8fa8c8"  # between light images: no grey, so that nobody takes it for a pixel
_LIGHT = 0.6  # a mean shade from which on images are light
_BYTES_OF_PIXEL = 24  # of lines, which are drawn without an image of their values


def columns_for(n: int, n_columns: int | None, shape: tuple[int, int]) -> int | None:
    """How many profiles stand in a line by default: so many that the picture is nearly square."""
    if n_columns is None and is_profile(shape):
        return max(1, round(math.sqrt(n * PROFILE[0] / PROFILE[1])))
    return n_columns


def check_cells(
    n: int,
    n_columns: int | None,
    shape: tuple[int, int],
    gap: tuple[int, int] = (1, 1),
    n_frames: int | None = None,
) -> None:
    """Raise a ValueError if a picture of so many cells takes too much memory to be drawn."""
    if not is_profile(shape):
        check_size(n, n_columns, shape, gap, n_frames)
        return
    check_size(n, 1, shape, n_frames=n_frames)
    columns = columns_for(n, n_columns, shape)
    check_size(n, columns, PROFILE, gap, n_frames, bytes_of_pixel=_BYTES_OF_PIXEL)


def cells_of(
    n: int, n_columns: int | None, shape: tuple[int, int], gap: tuple[int, int] = (1, 1)
) -> Cells:
    """The grid of `n` rows; see `tile_images`."""
    n_lines, n_columns = grid_of(n, columns_for(n, n_columns, shape), shape[0])
    if is_profile(shape):
        return Cells(n, n_lines, n_columns, *PROFILE, (6, 6))
    return Cells(n, n_lines, n_columns, *shape, gap)


def draw_cells(
    ax: Axes | None,
    rows: np.ndarray,
    shape: tuple[int, int],
    cells: Cells,
    margins: Margins,
    together: Sequence[np.ndarray] = (),
) -> Axes:
    """Draw rows, an image or a profile each, on axes, or on new ones.

    `together` are all rows that the scale of values is to hold for, if there are more of them.
    """
    if is_profile(shape):
        return draw_profiles(ax, [rows], cells, margins, together)
    tiled = tile_images(rows, cells.n_columns, shape, gap=cells.gap, fill=math.nan)
    return draw_image(ax, tiled, cells, shade_limits(*(together or [rows])), margins)


def draw_image(
    ax: Axes | None,
    image: np.ndarray,
    cells: Cells,
    limits: tuple[float, float],
    margins: Margins,
) -> Axes:
    """Draw a tiled image, NaN as gap, without ticks and frame; empty cells are left out.

    `limits` are the values drawn as black and as white.
    """
    if ax is None:
        ax = new_axes(cells, margins)
    mean = (float(np.nanmean(image)) - limits[0]) / ((limits[1] - limits[0]) or 1.0)
    shades = colormaps["gray"].with_extremes(bad=_GAP if mean > _LIGHT else PAPER)
    ax.imshow(image, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    n_empty = cells.n_lines * cells.n_columns - cells.n
    if n_empty:
        right, below = cells.size[1] - 0.5, cells.size[0] - 0.5
        width = n_empty * (cells.width + cells.gap[1])
        height = cells.height + cells.gap[0]
        ax.add_patch(
            Rectangle(
                (right - width, below - height), width, height, color=PAPER, linewidth=0, zorder=1.5
            )
        )
    return bare(ax)
