"""What pictures are made of: tiled images, axes, colours, and files.

Only matplotlib's object interface is used: no display is needed, and neither
``matplotlib.pyplot`` nor any global setting is touched.
"""

import io
import math
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fastvae.checks import as_array
from fastvae.files.writing import check_file, write_file

# Ten colours that stay distinct under colour vision deficiencies (Petroff 2021, arXiv:2107.02270).
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
DPI = 150
INK = "#333333"
_GRID = "#e4e4e4"
FONT_SIZE = 9
# What matplotlib and Pillow take for a pixel of a tiled image and of a frame, as measured.
_BYTES_OF_PIXEL = 120
_BYTES_OF_FRAME_PIXEL = 7
_BYTES_OF_ENLARGED_PIXEL = 2
_MOST_BYTES = 2 * 10**9
_MOST_PIXELS_A_SIDE = 64_000  # with its margins matplotlib can draw 65,535
_GAP = "#40597a"  # between images: no grey, so that nobody takes it for a pixel


def tile_images(
    rows: ArrayLike,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
    *,
    gap: int | tuple[int, int] = 1,
    fill: float = 0,
) -> np.ndarray:
    """Put images side by side into one large image, line by line.

    Parameters
    ----------
    rows : array of shape (n_images, n_features)
        One image a row.
    n_columns : int, optional
        Images in a line of the result; the last line may be shorter. By default as many as make
        the grid square; strips are stacked.
    image_shape : (height, width), optional
        By default a square where n_features is a square number, else a strip of height 1.
    gap : int or (int, int)
        Pixels between neighbours, both ways or (vertical, horizontal).
    fill : float
        Value of the gaps and of the empty places of the last line.

    Returns
    -------
    array of shape (height of all lines, width of all columns), with the dtype of `rows`

    Raises
    ------
    ValueError
        If `rows` is not two-dimensional or is empty, `n_columns` is not positive, or
        `image_shape` does not have n_features pixels.
    """
    rows = as_array(rows, "rows")
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(
            f"rows must have shape (n_images, n_features), both at least 1; got {rows.shape}"
        )
    height, width = shape_of_image(rows.shape[1], image_shape)
    gap_y, gap_x = (gap, gap) if isinstance(gap, int) else gap
    n_images = len(rows)
    n_lines, n_columns = _grid(n_images, n_columns, height)
    # Each image owns the gap below and to its right; the outer ones are cut off at the end.
    cells = np.full((n_lines * n_columns, height + gap_y, width + gap_x), fill, dtype=rows.dtype)
    cells[:n_images, :height, :width] = rows.reshape(n_images, height, width)
    lines = cells.reshape(n_lines, n_columns, height + gap_y, width + gap_x).swapaxes(1, 2)
    tiled = lines.reshape(n_lines * (height + gap_y), n_columns * (width + gap_x))
    return np.ascontiguousarray(tiled[: tiled.shape[0] - gap_y, : tiled.shape[1] - gap_x])


def _grid(n_images: int, n_columns: int | None, height: int) -> tuple[int, int]:
    """Lines and columns of tiled images; see `tile_images`."""
    if n_columns is None:
        n_columns = 1 if height == 1 else math.isqrt(n_images - 1) + 1
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1; got {n_columns}")
    n_columns = min(n_columns, n_images)
    return -(-n_images // n_columns), n_columns


def check_size(
    n_images: int,
    n_columns: int | None,
    image_shape: tuple[int, int],
    gap: tuple[int, int] = (1, 1),
    n_frames: int | None = None,
) -> None:
    """Raise a ValueError if a picture of so many images takes too much memory to be drawn.

    Parameters
    ----------
    n_images, n_columns, image_shape, gap
        As `tile_images` will have them.
    n_frames : int, optional
        Of an animation.
    """
    if not isinstance(n_images, numbers.Integral) or n_images < 1:
        return  # what makes the images refuses it
    n_lines, n_columns = _grid(int(n_images), n_columns, image_shape[0])
    height, width = n_lines * (image_shape[0] + gap[0]), n_columns * (image_shape[1] + gap[1])
    what, n_bytes = "picture", height * width * _BYTES_OF_PIXEL
    if n_frames is not None:
        what = f"animation of {n_frames:,} frames"
        shown = height * width * enlargement(height, width) ** 2
        n_bytes = n_frames * (
            height * width * _BYTES_OF_FRAME_PIXEL + shown * _BYTES_OF_ENLARGED_PIXEL
        )
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"the {what} is too large: {height:,} x {width:,} pixels take about "
            f"{n_bytes // 10**6:,} MB of memory, at most {_MOST_BYTES // 10**6:,} MB are allowed"
        )
    if max(height, width) > _MOST_PIXELS_A_SIDE:
        raise ValueError(
            f"the {what} is too large: it has {height:,} x {width:,} pixels, at most "
            f"{_MOST_PIXELS_A_SIDE:,} a side are allowed"
        )


def enlargement(height: int, width: int) -> int:
    """How many screen pixels a pixel of an animation's frame is wide."""
    return max(1, round(600 / max(height, width)))


def save_figure(drawn: Figure | Axes, path: str | Path) -> Path:
    """Write a Figure, or the Figure that an Axes belongs to, as PNG or PDF.

    Parameters
    ----------
    drawn : Figure or Axes
    path : str or Path
        Ends in ``.png`` or ``.pdf``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If the suffix is another one.
    OSError
        If the file cannot be written.
    """
    path = check_picture(path, (".png", ".pdf"))
    figure: Any = drawn
    if isinstance(drawn, Axes):
        figure = drawn.figure.figure  # of a subfigure, the figure it belongs to
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=DPI, facecolor="white")
    write_file(path, content.getvalue())
    return path


def check_picture(
    path: str | os.PathLike[str], known: Sequence[str], name: str = "a picture file"
) -> Path:
    """Return the path of a picture that can be written, with one of the `known` suffixes.

    Raises
    ------
    ValueError
        If the suffix is another one.
    OSError
        If it cannot be written.
    """
    if Path(path).suffix.lower() not in known:
        raise ValueError(f"{name} must end in {' or '.join(known)}; got {str(path)!r}")
    return check_file(path)


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


def shade_limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Values drawn as black and as white: 0 and 1 where all lie between, else the extremes."""
    low = min(float(a.min()) for a in arrays)
    high = max(float(a.max()) for a in arrays)
    return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)


def draw_rows(
    ax: Axes | None,
    rows: np.ndarray,
    n_columns: int | None,
    image_shape: tuple[int, int] | None,
    margins: tuple[int, int] = (25, 25),
) -> Axes:
    """Draw rows as one tiled image; see `tile_images` and `draw_image`."""
    tiled = tile_images(rows, n_columns, image_shape, fill=math.nan)
    return draw_image(ax, tiled, shade_limits(rows), margins)


def draw_image(
    ax: Axes | None,
    image: np.ndarray,
    limits: tuple[float, float],
    margins: tuple[int, int] = (25, 25),
) -> Axes:
    """Draw a tiled image, NaN as gap, without ticks and frame.

    `limits` are the values drawn as black and as white; `margins` the screen pixels that labels
    need at the left and at the bottom of new axes.
    """
    if ax is None:
        ax = _new_image_axes(image.shape[0], image.shape[1], *margins)
    shades = colormaps["gray"].with_extremes(bad=_GAP)
    ax.imshow(image, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _new_image_axes(height: int, width: int, left: int, bottom: int) -> Axes:
    """Axes on which each pixel of the image covers a whole number of screen pixels.

    Otherwise the one-pixel gaps would come out unevenly wide. `left` and `bottom` are the screen
    pixels that labels need.
    """
    scale = max(1, round(1000 / max(height, width)))
    right, top = max(25, 600 - left - scale * width), 60  # a title needs some width
    full_width = left + scale * width + right
    full_height = bottom + scale * height + top
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI)
    return figure.add_axes(
        (
            left / full_width,
            bottom / full_height,
            scale * width / full_width,
            scale * height / full_height,
        )
    )


def new_image_pair(height: int, width: int) -> tuple[Axes, Axes]:
    """Two axes side by side for images of this size, on whole screen pixels as a single one's."""
    scale = max(1, round(700 / max(height, width)))
    margin, top = 25, 60
    column = max(scale * width, 450)  # a title needs some width
    full_width, full_height = 3 * margin + 2 * column, margin + scale * height + top
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI)
    size = scale * width / full_width, scale * height / full_height
    first, second = (
        figure.add_axes((left / full_width, margin / full_height, *size))
        for left in (margin, 2 * margin + column)
    )
    return first, second


def new_chart(width: float, height: float) -> Axes:
    """Axes of a new figure, `width` x `height` inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure.add_subplot()


def style_chart(ax: Axes, grid: Literal["both", "y"] = "y") -> None:
    """Give the axes of a chart light lines, and no more of them than needed."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#999999")
    ax.tick_params(labelsize=FONT_SIZE, labelcolor=INK, color="#999999")
    ax.grid(axis=grid, color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def set_title(ax: Axes, text: str) -> Axes:
    """Write the title; return the axes."""
    # Names of classes are not the user's own: a dollar in them is no mathematics.
    ax.set_title(text, fontsize=FONT_SIZE + 1, color=INK, loc="left", parse_math=False)
    return ax


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Write the names of both axes."""
    ax.set_xlabel(x, fontsize=FONT_SIZE, color=INK)
    ax.set_ylabel(y, fontsize=FONT_SIZE, color=INK)
