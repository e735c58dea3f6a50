"""The curves of a history as inline SVG, for notebooks: no script, and nothing is fetched.

Lines have colours that are seen on light and on dark ground; texts and axes take the colour of the
notebook's own text. Validation is dashed too, for those who do not see colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_SHOWN = ("loss", "reconstruction", "kl")
_NOT_SHOWN = ("seconds", "samples_per_second")
_VALIDATION = "val_"
_COLOURS = {False: "#2f7ed8", True: "#e0701b"}
_DASHES = {False: "", True: ' stroke-dasharray="5 3"'}
_MOST_POINTS = 60
_WIDTH, _HEIGHT = 290, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 24, 22
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

Figures = Mapping[str, Sequence[float]]


def curves(figures: Figures, n_epochs: int) -> str:
    """Panels side by side: each figure by epoch, of training and, where it is there, validation.

    Of many epochs some are drawn, evenly spaced, the first and the last among them. A value that is
    not finite leaves a gap.
    """
    names = [name for name in _SHOWN if name in figures] or _others(figures)
    panels = [_panel(figures, name, n_epochs, i * _WIDTH) for i, name in enumerate(names)]
    width = _WIDTH * len(names)
    labels = [_described(figures, name) for name in names]
    epochs = "one epoch" if n_epochs == 1 else f"{n_epochs:,} epochs"
    label = f"Curves of {epochs}: {'; '.join(labels)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}" '
        'style="max-width:100%;height:auto" font-family="sans-serif" font-size="10" '
        'fill="currentColor">'
        f"<title>{escape(label)}</title>{''.join(panels)}</svg>"
    )


def _others(figures: Figures) -> list[str]:
    """As many names as there are panels, where none of the usual ones is there."""
    names = [name for name in figures if name not in _NOT_SHOWN]
    return names[: len(_SHOWN)]


def _curves_of(figures: Figures, name: str) -> dict[bool, Sequence[float]]:
    """The values of a figure, by whether they are those of validation."""
    both = {False: name, True: _VALIDATION + name}
    return {is_val: figures[key] for is_val, key in both.items() if len(figures.get(key, ())) > 0}


def _described(figures: Figures, name: str) -> str:
    """What a panel shows, in words: where each curve begins and ends."""
    words = {False: "", True: "validation "}
    parts = [
        f"{words[is_val]}{name} from {values[0]:.5g} to {values[-1]:.5g}"
        for is_val, values in _curves_of(figures, name).items()
    ]
    return ", ".join(parts) or f"{name} without values"


def _panel(figures: Figures, name: str, n_epochs: int, x: int) -> str:
    """One figure: title, axes with their ends, and curves."""
    drawn = {is_val: _points(values) for is_val, values in _curves_of(figures, name).items()}
    finite = [value for points in drawn.values() for _, value in points if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    bottom, right = _TOP + _INNER_HEIGHT, _LEFT + _INNER_WIDTH
    lines = [_curve(points, n_epochs, (low, high), is_val) for is_val, points in drawn.items()]
    ends = [(high, _TOP + 4), (low, bottom)] if high > low else [(low, _TOP + _INNER_HEIGHT // 2)]
    ticks = [_text(_LEFT - 5, y, f"{value:.5g}", "end") for value, y in ends if finite]
    return "".join(
        [
            f'<g transform="translate({x} 0)">',
            _text(_LEFT, 14, name, "start", ' font-size="12"'),
            _legend(drawn),
            f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.5"/>',
            *ticks,
            _text(_LEFT, bottom + 14, "1", "middle"),
            _text(right, bottom + 14, f"{n_epochs:,}" if n_epochs > 1 else "", "end"),
            _text(_LEFT + _INNER_WIDTH // 2, bottom + 14, "epoch", "middle"),
            *lines,
            "</g>",
        ]
    )


def _legend(drawn: Mapping[bool, object]) -> str:
    """Which curve is which, where there are two."""
    if len(drawn) < 2:
        return ""
    right = _LEFT + _INNER_WIDTH
    words = ((False, "training", right - 68), (True, "validation", right))
    return "".join(
        f'<tspan x="{x}" y="14" text-anchor="end" fill="{_COLOURS[is_val]}">{word}</tspan>'
        for is_val, word, x in words
    ).join(["<text>", "</text>"])


def _text(x: int, y: int, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _points(values: Sequence[float]) -> list[tuple[int, float]]:
    """Some values with their indices, evenly spaced."""
    last = len(values) - 1
    n = min(len(values), _MOST_POINTS)
    indices = [round(i * last / (n - 1)) for i in range(n)] if n > 1 else range(n)
    return [(i, values[i]) for i in indices]


def _curve(
    points: list[tuple[int, float]], n_epochs: int, ends: tuple[float, float], is_val: bool
) -> str:
    """Lines through the points that are finite; one without neighbours is a dot."""
    low, high = ends
    runs: list[list[str]] = [[]]
    for index, value in points:
        if not math.isfinite(value):
            runs.append([])
            continue
        x = _LEFT + _INNER_WIDTH * index / max(n_epochs - 1, 1)
        # Halves, as the range of the largest numbers is beyond them.
        share = (high / 2 - value / 2) / (high / 2 - low / 2) if high > low else 0.5
        runs[-1].append(f"{x:.1f} {_TOP + _INNER_HEIGHT * share:.1f}")
    colour = _COLOURS[is_val]
    path = "".join(f"M{'L'.join(run)}" for run in runs if len(run) > 1)
    dots = [run[0].split() for run in runs if len(run) == 1]
    drawn = [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>' for x, y in dots]
    if path:
        style = f'fill="none" stroke="{colour}" stroke-width="1.5"{_DASHES[is_val]}'
        drawn.append(f'<path d="{path}" {style}/>')
    return "".join(drawn)
