"""The grid of a picture of many rows: its cells, its axes on whole screen pixels, its labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastvae.plots.style import (
    CAPTION_SIZE,
    DPI,
    FONT_SIZE,
    INK,
    MARGIN,
    PAPER,
    width_of,
    wrapped,
)

_SMALLEST = 5.0  # letters, in points
_LEAST_WIDTH = 660  # of a figure, in screen pixels
_PIXELS_OF_LINE = 20  # of captions
_LARGEST_SIDE = 280  # of an image, in pixels of the screen


@dataclass(frozen=True)
class Cells:
    """The grid of a picture: sizes in the coordinates of its axes, y downwards."""

    n: int
    n_lines: int
    n_columns: int
    height: int
    width: int
    gap: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole."""
        gap_y, gap_x = self.gap
        height = self.n_lines * (self.height + gap_y) - gap_y
        return height, self.n_columns * (self.width + gap_x) - gap_x

    def columns(self) -> np.ndarray:
        """Centres of the columns."""
        return (self.width - 1) / 2 + (self.width + self.gap[1]) * np.arange(self.n_columns)

    def lines(self) -> np.ndarray:
        """Centres of the lines."""
        return (self.height - 1) / 2 + (self.height + self.gap[0]) * np.arange(self.n_lines)

    def corners(self) -> np.ndarray:
        """Left and upper end of each cell, shape (n, 2)."""
        line, column = np.divmod(np.arange(self.n), self.n_columns)
        pitch = self.width + self.gap[1], self.height + self.gap[0]
        return np.column_stack([column * pitch[0], line * pitch[1]]) - 0.5


@dataclass(frozen=True)
class Margins:
    """Screen pixels that labels, a title and a caption need around new axes."""

    left: int = 25
    bottom: int = 25
    top: int = 70


def label_lines(ax: Axes, cells: Cells, places: Sequence[float], texts: Sequence[str]) -> None:
    """Write texts at the left of lines, in letters that fit; where none fit, leave them out."""
    distance = min(np.diff(sorted(places)), default=np.inf)
    points = points_of_pixel(ax, cells) * distance
    size = min(FONT_SIZE, points / 1.15)
    if size < _SMALLEST:
        return
    ax.set_yticks(places, texts, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK)


def label_columns(ax: Axes, cells: Cells, texts: Sequence[str]) -> None:
    """Write texts below columns, as many of them as there is room for, the last among them."""
    room = points_of_pixel(ax, cells) * (cells.width + cells.gap[1])
    longest = 72 * max(width_of(text, FONT_SIZE) for text in texts) + FONT_SIZE / 2
    step = 1
    while step * room < longest and step < len(texts) - 1:
        step += 1
        while (len(texts) - 1) % step:
            step += 1
    ax.set_xticks(cells.columns()[::step], texts[::step], fontsize=FONT_SIZE)
    ax.tick_params(axis="x", length=0, labelcolor=INK)


def points_of_pixel(ax: Axes, cells: Cells) -> float:
    """How many points a pixel of the cells is high."""
    height = ax.get_position().height * ax.figure.figure.get_figheight() * 72
    width = ax.get_position().width * ax.figure.figure.get_figwidth() * 72
    return min(height / cells.size[0], width / cells.size[1])


def margins_for(
    cells: Cells, caption: str, line_names: Sequence[str] = (), ticks: int = 0, left: int = 25
) -> Margins:
    """The margins of new axes: for names at the left of lines, and for a caption below.

    `ticks` are the screen pixels of what stands between the axes and the caption, `left` those that
    are needed at the left at least.
    """
    longest = max((width_of(name, FONT_SIZE) for name in line_names), default=0.0)
    left = max(left, 20 + math.ceil(longest * DPI))
    width = (_figure_size(cells, Margins(left))[0] - left) / DPI - MARGIN
    n_lines = len(wrapped(caption, width, CAPTION_SIZE).splitlines())
    return Margins(left, 25 + ticks + _PIXELS_OF_LINE * n_lines)


def bare(ax: Axes) -> Axes:
    """Without ticks and frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _scale(cells: Cells, largest: int = 1000) -> int:
    """How many screen pixels wide a pixel of the cells is drawn on new axes.

    It is a whole number, else gaps of one pixel would come out unevenly wide.
    """
    side = max(cells.height, cells.width)
    return max(1, min(round(largest / max(cells.size)), _LARGEST_SIDE // side))


def _figure_size(cells: Cells, margins: Margins) -> tuple[int, int]:
    """Width and height, in screen pixels, of the figure of new axes."""
    scale = _scale(cells)
    width = max(_LEAST_WIDTH, margins.left + scale * cells.size[1] + 25)  # a title needs some
    return width, margins.bottom + scale * cells.size[0] + margins.top


def new_axes(cells: Cells, margins: Margins) -> Axes:
    """Axes of a new figure on which each pixel of a cell covers whole screen pixels."""
    full_width, full_height = _figure_size(cells, margins)
    scale = _scale(cells)
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor=PAPER)
    return figure.add_axes(
        (
            margins.left / full_width,
            margins.bottom / full_height,
            scale * cells.size[1] / full_width,
            scale * cells.size[0] / full_height,
        )
    )


def new_pair(cells: Cells, bottom: int) -> tuple[Axes, Axes]:
    """Two axes side by side for grids of this size, on whole screen pixels as a single one's."""
    scale = _scale(cells, largest=700)
    margin, top = 25, 60
    height, width = (scale * side for side in cells.size)
    column = max(width, 450)  # a title needs some width
    full_width, full_height = 3 * margin + 2 * column, bottom + height + top
    figure = Figure(figsize=(full_width / DPI, full_height / DPI), dpi=DPI, facecolor=PAPER)
    first, second = (
        figure.add_axes(
            (left / full_width, bottom / full_height, width / full_width, height / full_height)
        )
        for left in (margin, 2 * margin + column)
    )
    return first, second
