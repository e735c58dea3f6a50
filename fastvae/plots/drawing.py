"""What pictures are made of: tiled images and files; and how large they may be.

Only matplotlib's object interface is used: no display is needed, and neither
``matplotlib.pyplot`` nor any global setting is touched.
"""

import io
import math
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fastvae.checks import as_array
from fastvae.files.writing import check_file, write_file
from fastvae.plots.shapes import shape_of_image
from fastvae.plots.style import DPI, PAPER

# What matplotlib and Pillow take for a pixel of a tiled image and of a frame, as measured.
_BYTES_OF_PIXEL = 120
_BYTES_OF_FRAME_PIXEL = 7
_BYTES_OF_ENLARGED_PIXEL = 2
_MOST_BYTES = 2 * 10**9
_MOST_PIXELS_A_SIDE = 64_000  # with its margins matplotlib can draw 65,535


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
    n_lines, n_columns = grid_of(n_images, n_columns, height)
    # Each image owns the gap below and to its right; the outer ones are cut off at the end.
    cells = np.full((n_lines * n_columns, height + gap_y, width + gap_x), fill, dtype=rows.dtype)
    cells[:n_images, :height, :width] = rows.reshape(n_images, height, width)
    lines = cells.reshape(n_lines, n_columns, height + gap_y, width + gap_x).swapaxes(1, 2)
    tiled = lines.reshape(n_lines * (height + gap_y), n_columns * (width + gap_x))
    return np.ascontiguousarray(tiled[: tiled.shape[0] - gap_y, : tiled.shape[1] - gap_x])


def grid_of(n_images: int, n_columns: int | None, height: int) -> tuple[int, int]:
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
    *,
    bytes_of_pixel: int = _BYTES_OF_PIXEL,
) -> None:
    """Raise a ValueError if a picture of so many images takes too much memory to be drawn.

    Parameters
    ----------
    n_images, n_columns, image_shape, gap
        As `tile_images` will have them.
    n_frames : int, optional
        Of an animation.
    bytes_of_pixel : int
        What a picture, that is no animation, takes for one.
    """
    if not isinstance(n_images, numbers.Integral) or n_images < 1:
        return  # what makes the images refuses it
    n_lines, n_columns = grid_of(int(n_images), n_columns, image_shape[0])
    height, width = n_lines * (image_shape[0] + gap[0]), n_columns * (image_shape[1] + gap[1])
    what, n_bytes = "picture", height * width * bytes_of_pixel
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


def enlargement(height: int, width: int, side: int = 600) -> int:
    """How many screen pixels a pixel of an animation's frame is wide, for about `side` in all."""
    return max(1, round(side / max(height, width)))


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
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=DPI, facecolor=PAPER)
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


def shade_limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Values drawn as black and as white: 0 and 1 where all lie between, else the extremes."""
    low = min(float(a.min()) for a in arrays)
    high = max(float(a.max()) for a in arrays)
    return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)
