"""What texts a figure has, where they stand, and that they can be read."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def boxes(figure: Figure | SubFigure) -> dict[Text, Bbox]:
    """The texts that are drawn, with the room that they take in pixels."""
    figure = figure.figure  # of a subfigure, the one that it belongs to
    figure.draw_without_rendering()
    hidden = _out_of_limits(figure)
    found: Any = figure.findobj(Text)
    return {
        text: Text.get_window_extent(text)  # without the lines of annotations
        for text in found
        if text.get_visible() and text.get_text().strip() and text not in hidden
    }


def _out_of_limits(figure: Figure) -> set[Text]:
    """The labels of ticks that are there, and not drawn."""
    labels: set[Text] = set()
    for axes in figure.axes:
        both: tuple[Any, Any] = (axes.xaxis, axes.yaxis)
        for axis in both:
            shown = axis._update_ticks()
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if tick not in shown:
                    labels |= {tick.label1, tick.label2}
    return labels


def assert_legible(figure: Figure | SubFigure) -> None:
    """All texts lie within the figure, and none on another."""
    found = boxes(figure)
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in found.items():
        where = f"{text.get_text()!r} at {box} of {width} x {height}"
        assert box.x0 >= -1 and box.y0 >= -1, where  # noqa: PT018
        assert box.x1 <= width + 1 and box.y1 <= height + 1, where  # noqa: PT018
    for (one, a), (other, b) in combinations(found.items(), 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 1, f"{one.get_text()!r} lies on {other.get_text()!r}"


def caption_of(figure: Figure | SubFigure) -> str:
    """All texts of a figure, in one line."""
    return " ".join(" ".join(text.get_text().split()) for text in boxes(figure))
