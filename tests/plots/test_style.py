"""Colours and markers are told apart: on a screen, in print, and with other eyes."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import fastvae
from fastvae.plots import style

# Machado, Oliveira & Fernandes 2009, table 1, severity 1, for linear RGB.
EYES: dict[str, Any] = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# CIE 1931 XYZ of linear sRGB, white D65.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(colours: tuple[str, ...], eyes: str = "all cones") -> np.ndarray:
    """CIE L*a*b* of colours, as they are seen."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(EYES[eyes]), 0, 1)
    t = seen @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.column_stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])]
    )


def nearest(points: np.ndarray) -> float:
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(points, 2))


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("colours", [style.PALETTE, (style.TRAINING, style.VALIDATION)])
def test_colours_differ_for_all_eyes(colours: tuple[str, ...], eyes: str) -> None:
    """A difference (CIE 1976) of 2.3 is just seen side by side; 25 is another colour."""
    assert nearest(lab(colours, eyes)) >= 25


def test_lightness_differs_for_prints_in_grey() -> None:
    assert nearest(lab(style.PALETTE)[:, :1]) >= 5


def test_a_hundred_classes_look_different() -> None:
    looks = [style.class_look(i) for i in range(100)]
    assert len(set(looks)) == 100
    assert len({marker for _, marker in looks[:10]}) == 10
    assert style.class_look(100) == looks[0]


def test_letters_can_be_read_on_the_ground() -> None:
    """A ratio of contrast (WCAG 2.1) of 4.5 is asked for."""

    def luminance(colour: str) -> float:
        lightness = lab((colour,))[0, 0]
        return float(((lightness + 16) / 116) ** 3)

    for colour in (style.INK, style.MUTED):
        assert (luminance(style.PAPER) + 0.05) / (luminance(colour) + 0.05) >= 4.5


def test_colours_stand_in_one_place() -> None:
    """Modules that draw take them from the style, but for shades of their own ground."""
    for path in Path(fastvae.plots.__file__).parent.glob("*.py"):
        if path.name in ("style.py", "cells.py", "scatter.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith("#"), path.name


def test_numbers_have_the_true_minus_sign() -> None:
    assert style.number(-1.25) == "\N{MINUS SIGN}1.25"
    assert style.number(0.01) == "0.01"
