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
_SAID = ("name", "data", "dataset", "variant")  # of a card, in captions


def posterior_means(vae: VAE, X: Rows, labels: ArrayLike | None = None) -> np.ndarray:
    """Posterior means of rows, shape (n, n_latent); a single row is one of them."""
    one_row = is_one_row(X)
    if one_row and labels is not None:
        labels = np.atleast_1d(as_labels(labels, "labels"))
    mean, _ = vae.encode(as_array(X, "X")[np.newaxis] if one_row else X, labels=labels)
    return mean


def names_of_features(
    vae: VAE, X: Any = None, given: Sequence[str] | None = None
) -> list[str] | None:
    """What features are called: as given, as the columns of `X`, as the model's card says it.

    None where nobody says it for as many features as the model has.
    """
    found = [given, getattr(X, "feature_names", None), getattr(X, "columns", None)]
    found.append(getattr(vae, "card", {}).get("feature_names"))
    for names in found:
        if names is not None and not isinstance(names, str) and len(names) == vae.n_features:
            return [str(name) for name in names]
    return None


def about(vae: VAE) -> str:
    """A sentence on which model a picture is of, as far as the model's card says it.

    The rows in the picture may be others than those that the model was trained on.
    """
    card = getattr(vae, "card", {})
    said = {key: printable(card[key], _MAX_TEXT) for key in _SAID if _is_text(card.get(key))}
    data = said.get("data", said.get("dataset"))
    variant = f" ({said['variant']})" if "variant" in said else ""
    trained = f"trained on {data}{variant}" if data else ""
    known = ", ".join(filter(None, (said.get("name"), trained)))
    return f"Model: {known}." if known else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
