"""How all pictures look: colours, markers, sizes of letters, titles, captions and charts.

Every picture of the project is drawn with these, those of the benchmarks too. The ground is white,
also in files, so that a picture can be read on a dark page.
"""

from functools import cache
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Ten colours that differ for readers who see all colours and for those who lack a kind of cone,
# and whose lightness differs, too, for prints in grey: tests/plots/test_style.py says by how much.
PALETTE = (
    "#02509a",
    "#d4943a",
    "#47d992",
    "#ad3004",
    "#b570ff",
    "#05936a",
    "#68160b",
    "#d8d71d",
    "#a9abe9",
    "#63314b",
)
MARKERS = ("o", "^", "s", "X", "v", "P", "d", "<", "p", ">")
TRAINING, VALIDATION = "#2f7ed8", "#d9480f"  # curves, and wherever two things are compared
PAPER = "white"
INK = "#333333"
MUTED = "#666666"  # captions, and what has no class
FRAME = "#dddddd"  # of a cell without an image
DPI = 150
MARGIN = 0.1  # inches
FONT_SIZE = 9
TITLE_SIZE = 10
CAPTION_SIZE = 8
_GRID = "#e4e4e4"
_SPINE = "#999999"
_MEASURED = 100.0  # points of the letters that are measured


def class_look(i: int) -> tuple[str, str]:
    """Colour and marker of the i-th class: pairs repeat after a hundred classes."""
    n = len(PALETTE)
    return PALETTE[i % n], MARKERS[(i + i // n) % n]


def new_chart(width: float, height: float) -> Axes:
    """Axes of a new figure, `width` x `height` inches."""
    return new_figure(width, height).add_subplot()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose layout makes room for labels, `width` x `height` inches.

    There is a margin around all, for pages that are dark.
    """
    layout = ConstrainedLayoutEngine(w_pad=MARGIN, h_pad=MARGIN)
    return Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout=layout)


def style_chart(ax: Axes, grid: Literal["both", "x", "y"] = "y") -> None:
    """Give the axes of a chart light lines, and no more of them than needed."""
    ax.set_facecolor(PAPER)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_SPINE)
    ax.tick_params(which="both", labelsize=FONT_SIZE, labelcolor=INK, color=_SPINE)
    ax.grid(axis=grid, color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def width_of(text: str, size: float) -> float:
    """Inches that a line of a text takes in letters of a size in points."""
    return sum(map(_advance, text)) * size / 72


@cache
def _advance(letter: str) -> float:
    """Width of a letter, in units of the size; of one that the font lacks, a full one."""
    font = get_font(findfont(FontProperties()))
    if not font.get_char_index(ord(letter)):
        return 1.0
    font.set_size(_MEASURED, 72)
    return float(font.load_char(ord(letter), LoadFlags.NO_HINTING).linearHoriAdvance) / (
        2**16 * _MEASURED
    )


def wrapped(text: str, width: float, size: float) -> str:
    """A text in lines that are at most `width` inches long; words that are longer are cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer, size) <= width:
            lines[-1] = longer
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = word
        while width_of(lines[-1], size) > width and len(lines[-1]) > 1:
            word = lines[-1]
            n = 1
            while width_of(word[: n + 1], size) <= width:
                n += 1
            lines[-1:] = [word[:n], word[n:]]
    return "\n".join(lines)


def set_title(ax: Axes, text: str, pad: float = 6) -> Axes:
    """Write the title, in lines that the figure has room for; return the axes.

    `pad` is its distance from the axes in points.
    """
    lines = wrapped(text, _room(ax), TITLE_SIZE)
    # Names of classes are not the user's own: a dollar in them is no mathematics.
    ax.set_title(lines, fontsize=TITLE_SIZE, color=INK, loc="left", pad=pad, parse_math=False)
    return ax


def _room(ax: Axes) -> float:
    """Inches from the left end of axes to the right end of their figure, less a margin."""
    width = ax.figure.figure.get_figwidth() * (1 - ax.get_position(original=True).x0)
    return width - MARGIN


def set_caption(ax: Axes, text: str) -> None:
    """Write a sentence or two, if any, below the axes and the name of the x axis."""
    if not text:
        return
    below = ax.xaxis.label if ax.get_xlabel() else "axes fraction"
    is_labelled = len(ax.get_xticks()) > 0 and not ax.get_xlabel()
    distance = 6 + (FONT_SIZE + 6 if is_labelled else 0)
    ax.annotate(
        wrapped(text, _room(ax), CAPTION_SIZE),
        (0, 0),
        xycoords=("axes fraction", below),
        xytext=(0, -distance),
        textcoords="offset points",
        va="top",
        fontsize=CAPTION_SIZE,
        color=MUTED,
        annotation_clip=False,
        parse_math=False,
    )


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Write the names of both axes."""
    ax.set_xlabel(x, fontsize=FONT_SIZE, color=INK)
    ax.set_ylabel(y, fontsize=FONT_SIZE, color=INK)


def number(value: float, digits: int = 3) -> str:
    """A number in a few digits, with the true minus sign that axes have, too."""
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")
