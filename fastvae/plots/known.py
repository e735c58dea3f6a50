"""What pictures know of a model and its rows: latents, names of features, and the model's card."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastvae.checks import as_array, as_labels, is_one_row
from fastvae.checks.quoting import printable
from fastvae.data.rows import Rows
from fastvae.model.vae import VAE

_MAX_TEXT = 60  # characters of what a model's card says
# What captions say of a model, by the keys of its card that hold it.
_SAID = {"Model": ("name",), "Data": ("data", "dataset"), "Variant": ("variant",)}


def posterior_means(vae: VAE, X: Rows, labels: ArrayLike | None = None) -> np.ndarray:
    """Posterior means of rows, shape (n, n_latent); a single row is one of them."""
    one_row = is_one_row(X)
    if one_row and labels is not None:
        labels = np.atleast_1d(as_labels(labels, "labels"))
    mean, _ = vae.encode(as_array(X, "X")[np.newaxis] if one_row else X, labels=labels)
    return mean


def names_of_features(X: Any, given: Sequence[str] | None) -> list[str] | None:
    """The names of the features of rows: those given, or of a table's columns, or none."""
    names = getattr(X, "feature_names", getattr(X, "columns", None)) if given is None else given
    return None if names is None else [str(name) for name in names]


def about(vae: VAE) -> str:
    """A sentence on which model a picture is of, as far as the model's card says it."""
    card = getattr(vae, "card", {})
    said = []
    for title, keys in _SAID.items():
        texts = [card[key] for key in keys if isinstance(card.get(key), str) and card[key]]
        said += [f"{title}: {printable(text, _MAX_TEXT)}." for text in texts[:1]]
    return " ".join(said)
