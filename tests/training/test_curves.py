"""The curves of a history in notebooks: valid SVG, for any figures, without script."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae

from fastvae import History

SVG = "{http://www.w3.org/2000/svg}"


def history(*losses: float, validation: bool = True) -> History:
    found = History()
    for epoch, loss in enumerate(losses):
        figures = {"loss": loss, "reconstruction": loss - 20, "kl": 20.0 + epoch, "seconds": 0.1}
        found.append(figures | ({"val_loss": loss + 8, "val_kl": 21.0} if validation else {}))
    return found


def parsed(shown: History) -> ElementTree.Element:
    """The SVG, which must be XML."""
    svg = ElementTree.fromstring(shown._repr_html_()).find(f"{SVG}svg")
    assert svg is not None
    return svg


def words(svg: ElementTree.Element) -> list[str]:
    return [text for element in svg.iter() if (text := element.text)]


def numbers(svg: ElementTree.Element) -> list[float]:
    """All places of curves and dots."""
    paths = " ".join(path.get("d", "") for path in svg.iter(f"{SVG}path"))
    dots = [dot.get(axis, "") for dot in svg.iter(f"{SVG}circle") for axis in ("cx", "cy")]
    return [float(text) for text in re.findall(r"-?[\d.]+|nan|inf", paths) + dots]


def test_a_fit_shows_its_curves():
    shown = small_vae().fit(
        pixel_rows(23, 37), epochs=4, validation=pixel_rows(5, 37), verbose=False
    )
    html, svg = shown._repr_html_(), parsed(shown)
    assert [word for word in words(svg) if word in shown] == ["loss", "reconstruction", "kl"]
    assert words(svg).count("validation") == 3
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == svg.findtext(f"{SVG}title")
    assert f"loss from {shown['loss'][0]:.5g} to {shown['loss'][-1]:.5g}" in svg.get(
        "aria-label", ""
    )
    assert "currentColor" in html
    assert not re.search(r"<script|http(?!://www.w3.org/2000/svg)|href|url\(|@import|onload", html)
    assert len(html) < 10_000
    assert str(shown).splitlines()[0] in html


def test_one_epoch_is_one():
    assert "Curves of one epoch:" in history(3, validation=False)._repr_html_()
    assert "Curves of 2 epochs:" in history(3, 2, validation=False)._repr_html_()


def test_the_lines_go_through_the_values():
    svg = parsed(history(30, 10, 20, validation=False))
    curve = next(path.get("d", "") for path in svg.iter(f"{SVG}path") if path.get("stroke-width"))
    (x0, y0), (x1, y1), (x2, y2) = [map(float, p.split()) for p in curve[1:].split("L")]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert x0 < x1
    assert y0 < y2 < y1  # upwards is less
    assert y2 - y0 == pytest.approx(y1 - y2, abs=0.2)
    assert "validation" not in words(svg)


@pytest.mark.parametrize(
    ("losses", "n_dots"),
    [
        ((5.0,), 5),
        ((1.0, math.nan, 3.0), 6),
        ((math.nan, math.nan), 0),
        ((1.0, math.inf, 3.0, 4.0), 3),
        ((1e308, -1e308, 1e308), 0),
        ((2.0, 2.0), 0),
        ((np.float32(2.0), 3), 0),
    ],
)
def test_any_values_make_a_picture(losses, n_dots):
    svg = parsed(history(*losses))
    assert len(list(svg.iter(f"{SVG}circle"))) == n_dots
    places = numbers(svg)
    assert np.isfinite(places).all()
    assert 0 <= min(places) <= max(places) <= 290


def test_of_many_epochs_some_are_drawn():
    shown = history(*np.geomspace(500, 100, 5000).tolist())
    assert len(shown._repr_html_()) < 15_000
    first, last = numbers(parsed(shown))[:2], f"{5000:,}"
    assert first
    assert last in words(parsed(shown))


def test_names_are_escaped():
    svg = parsed(History({"<b>&\"'": [1.0, 2.0], "seconds": [1.0, 1.0]}))
    assert "<b>&\"'" in words(svg)
    assert "seconds" not in words(svg)


@pytest.mark.parametrize("empty", [History(), History({"loss": []})])
def test_without_an_epoch_there_are_words(empty):
    assert "no finished epoch" in empty._repr_html_()
    ElementTree.fromstring(empty._repr_html_())


def test_columns_of_different_lengths_are_drawn():
    parsed(History({"loss": [3.0, 2.0, 1.0], "val_loss": [2.5], "kl": []}))
