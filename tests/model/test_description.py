"""What a model says of itself: its long text, its table in notebooks, and what `load` is for."""

from __future__ import annotations

import inspect
import io
from contextlib import redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae

import fastvae
from fastvae import VAE

SUMMARY = """\
VAE 37-19-5-19-37

layer            inputs -> outputs  activation  weights   parameters
encoder.0        37 -> 19           relu        (19, 37)         722
sampler.mean     19 -> 5            identity    (5, 19)          100
sampler.log_var  19 -> 5            identity    (5, 19)          100
decoder.0        5 -> 19            relu        (19, 5)          114
decoder.1        19 -> 37           sigmoid     (37, 19)         740
total                                                          1,776

likelihood             bernoulli
beta                   1
reconstruction weight  1
dtype                  float32
seed                   3
trained                2 epochs, 6 updates
memory                 """


def test_summary_says_all():
    vae = small_vae()
    vae.fit(pixel_rows(9, 37), epochs=2, batch_size=3, verbose=False)
    text = vae.summary()
    assert text.startswith(SUMMARY)
    assert " kB of parameters, " in text
    assert isinstance(text, str)
    assert repr(text) == text
    assert str(vae) != text


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"sigma": 0.3}, ["likelihood             gaussian of sigma 0.3", "sigma   ", "0.3"]),
        ({"sigma": "feature"}, ["likelihood.raw_sigma   ", "  37\ntotal", "of sigma 'feature'"]),
        ({"sigma": "output"}, ["37-5-74", "5 -> 74", "of sigma 'output'"]),
        ({"dtype": np.float64, "beta": 0.25}, ["float64", "beta                   0.25"]),
        ({"missing": "ignore"}, ["missing 'ignore'"]),
    ],
)
def test_summary_knows_settings(settings, lines):
    text = VAE.from_sizes(37, (), 5, likelihood="gaussian", **settings).summary()
    for line in lines:
        assert line in text


def test_an_empty_model_has_no_summary_and_no_table():
    with pytest.raises(ValueError, match="this VAE is empty"):
        VAE().summary()
    assert VAE()._repr_html_() is None


class _Cells(HTMLParser):
    """Collects the cells of a table, and checks that there is no script."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.in_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        if tag == "tr":
            self.rows.append([])
        self.in_cell = tag in ("td", "th")
        if self.in_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.rows[-1][-1] += data


def test_notebooks_show_the_layers():
    vae = small_vae(likelihood="mixed", blocks=[("gaussian", 30), ("poisson", 7)], sigma="learned")
    html = vae._repr_html_()
    assert html is not None
    ElementTree.fromstring(html)
    cells = _Cells()
    cells.feed(html)
    assert cells.rows[0] == ["layer", "inputs -> outputs", "activation", "weights", "parameters"]
    assert cells.rows[1] == ["encoder.0", "37 -> 19", "relu", "(19, 37)", "722"]
    facts = dict(row for row in cells.rows if len(row) == 2)
    assert facts["likelihood"] == str(vae.network.likelihood)
    assert facts["sigma"] == f"{vae.sigma_value:g}"
    assert "37 -&gt; 19" in html
    assert len(html) < 5000


@pytest.mark.parametrize("arguments", [("synthetic_digits",), (Path("model"),), ()])
def test_load_on_the_class_says_what_is_meant(arguments):
    load: Any = VAE.load
    with pytest.raises(TypeError, match=r"for a new model call fastvae\.load\(path\)"):
        load(*arguments)
    with pytest.raises(TypeError, match=r"fastvae\.load"):
        load(name_or_path="synthetic_digits")


def test_load_on_a_model_loads():
    class Mine(VAE):
        def load(self, name_or_path: Any) -> None:
            super().load(name_or_path)

    first, second, mine = VAE(), VAE(), Mine()
    first.load("synthetic_digits")
    VAE.load(second, name_or_path="synthetic_digits")
    mine.load(name_or_path="synthetic_digits")
    assert repr(first) == repr(second) == repr(mine) == repr(fastvae.load("synthetic_digits"))
    assert list(inspect.signature(VAE.load).parameters) == ["self", "name_or_path"]


def test_help_reads_well():
    with redirect_stdout(io.StringIO()) as text:
        help(VAE)
    assert "load(self, name_or_path" in text.getvalue()
    assert "summary(self)" in text.getvalue()
