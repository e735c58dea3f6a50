"""The page as one file: the assets, the model and the rows, put together."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks
from fastvae.checks.quoting import printable
from fastvae.data.rows import Rows
from fastvae.explore import rows as stored_rows
from fastvae.explore.model import check_finite, facts, model_data
from fastvae.explore.rows import Chosen
from fastvae.explore.weights import Precision, packed, precision
from fastvae.files.writing import check_file, write_file
from fastvae.model.vae import VAE
from fastvae.training.evaluation import ACTIVE_VARIANCE

SUFFIXES = (".html", ".htm")
MAX_BYTES = 100_000_000
"""What browsers still open without a long wait."""
_SCRIPTS = (
    *("arrays", "network", "random", "look", "parts", "strip", "latents", "walk", "ink", "draw"),
    *("edit", "samples", "main"),
)


class Written(NamedTuple):
    """What was written.

    Attributes
    ----------
    path : Path
    n_bytes : int
        Size of the file.
    rows : str
        How many rows of which data are in it.
    float32_layers : list of str
        Those whose weights are kept as float32; those of all others are float16.
    error : float
        The most that rounding changes a decoded mean, of those that were tried.
    """

    path: Path
    n_bytes: int
    rows: str
    float32_layers: list[str]
    error: float


def write_page(
    vae: VAE,
    path: str | os.PathLike[str],
    *,
    data: Rows | None = None,
    labels: ArrayLike | None = None,
    title: str | None = None,
    n_rows: int = stored_rows.N_ROWS,
    image_shape: tuple[int, int] | None = None,
    seed: int = 0,
) -> Written:
    """Write a page on which a model can be played with, one HTML file that needs nothing else.

    Encoder and decoder run in the page itself. Some rows of the data are stored in it, as they are:
    who has the file can read them. See docs/explore.md.

    Parameters
    ----------
    vae : VAE
    path : path
        The file to write, .html or .htm; an existing one is replaced whole.
    data : array_like of shape (n, n_features), or Dataset; optional
        Rows of which some are stored; of a data set the test rows, or where it has none the
        training rows. If missing, drawn digits where the model takes images of 28 x 28 pixels,
        else rows that the model draws.
    labels : array_like of int, shape (n,), optional
        What the rows are; of a data set its own if missing. A conditional model needs them.
    title : str, optional
        The heading; by default the name in the model's card.
    n_rows : int
        Rows to store at most, up to 2,000; wide ones are fewer.
    image_shape : (height, width), optional
        Of rows that are images. By default a square where n_features is one and the likelihood is
        of grey values; other rows are shown feature by feature, as are those of height or width 1.
    seed : int
        Of the choice of rows.

    Returns
    -------
    Written
        A named tuple (path, n_bytes, rows, float32_layers, error).

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be, the model is empty or has a weight that is not
        finite, or the page would be larger than 100 MB.
    OSError
        If the file cannot be written; an old one stays.
    """
    target = check_page(path)
    n_rows = checks.integer(n_rows, "n_rows", maximum=stored_rows.MOST_ROWS)
    seed = checks.seed(seed)
    check_finite(vae)
    chosen = stored_rows.choose(vae, data, labels, seed, n_rows)
    shape = stored_rows.image_shape(vae, chosen, image_shape)
    kept = precision(vae, chosen, seed)
    heading = printable(str(title or vae.card.get("name") or "A variational autoencoder"), 200)
    known = _contents(vae, chosen, shape, kept, heading)
    content = page_text(heading, known).encode()
    if len(content) > MAX_BYTES:
        raise ValueError(
            f"the page would have {len(content) // 10**6:,} MB, at most {MAX_BYTES // 10**6:,} MB "
            "are allowed: the model is too large for a browser"
        )
    write_file(target, content)
    return Written(target, len(content), chosen.source, sorted(kept.wide), kept.means_error)


def check_page(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return the path of a page that can be written, or raise what is wrong with it."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{name} must end in {' or '.join(SUFFIXES)}; got {os.fspath(path)!r}")
    return check_file(path)


def page_text(title: str, contents: dict[str, Any]) -> str:
    """The page: the assets, with what they show as JSON."""
    style, script = _style(), _script()
    parts = {
        "policy": f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "style": style,
        "contents": json_in_html(contents),
        "script": script,
    }
    pieces = _asset("page.html").split("{{")
    text = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        text += [parts[name], rest]
    return "".join(text)


def json_in_html(value: Any) -> str:
    """JSON that no text in it can end, or begin, an element by."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _asset(name: str) -> str:
    return files("fastvae.explore").joinpath("assets", name).read_text(encoding="utf-8")


def _style() -> str:
    return _asset("style.css")


def _script() -> str:
    """All scripts in one function, which leaves no name behind."""
    inner = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f"(() => {{\n'use strict';\n{inner}\n}})();\n"


def _digest(text: str) -> str:
    """A script or style as a content security policy names it: nothing else is run."""
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{found}'"


def _contents(
    vae: VAE, chosen: Chosen, shape: tuple[int, int] | None, kept: Precision, title: str
) -> dict[str, Any]:
    """What the scripts are told, as JSON takes it."""
    values, scale = _stored(chosen.values)
    labels = None if chosen.labels is None else chosen.labels.tolist()
    return {
        "title": title,
        "facts": facts(vae),
        "model": model_data(vae, kept),
        "image": shape,
        "latents": {
            "variance": chosen.variance.tolist(),
            "threshold": ACTIVE_VARIANCE,
        },
        "rows": {
            "n": len(chosen.values),
            "values": values,
            "scale": scale,
            "means": packed(chosen.means),
            "labels": labels,
            "source": chosen.source,
        },
        "labelNames": {str(label): printable(n, 60) for label, n in chosen.label_names.items()},
        "featureNames": chosen.feature_names and [printable(n, 60) for n in chosen.feature_names],
        "float32Layers": sorted(kept.wide),
        "error": kept.means_error,
    }


def _stored(values: NDArray[Any]) -> tuple[dict[str, str], float]:
    """Rows in the smallest type that holds them, and what the numbers are multiplied by."""
    if values.dtype == np.uint8:
        return packed(values, "uint8"), 1 / 255
    for steps in (1, 255):
        scaled = values * steps
        whole = np.rint(scaled)
        if (np.abs(scaled - whole) < 1e-4).all() and whole.min() >= 0 and whole.max() <= 255:
            return packed(whole, "uint8"), 1 / steps
    return packed(values), 1.0
