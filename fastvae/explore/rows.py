"""The rows of data that a page holds, and what the model makes of them.

Letters: N stored rows, I features, Z latents.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks, kernels
from fastvae.checks.foreign import with_nan
from fastvae.checks.labels import class_labels
from fastvae.checks.quoting import printable
from fastvae.data import labelled
from fastvae.data.dataset import Dataset
from fastvae.data.rows import Rows
from fastvae.data.synthetic import SIDE, synthetic_digits
from fastvae.model.vae import VAE

N_ROWS, MOST_ROWS = 300, 2000
_MOST_VALUES = 2_000_000
"""Of stored rows: wide ones are fewer."""
_LEAST_ROWS = 12
_DRAWN = "drawn digits (synthetic_digits), as no data were named"
_OWN = "rows that the model drew itself, as no data were named"


@dataclass(frozen=True)
class Chosen:
    """Rows of data, and the posterior means of these and of more of them.

    Attributes
    ----------
    values : ndarray, shape (N, I)
        As the model takes them: uint8 are pixels, NaN is missing.
    labels : ndarray of int, shape (N,), or None
    label_names : dict of int to str
        Of labels that have one.
    means : ndarray, shape (N, Z)
    variance : ndarray of float64, shape (Z,)
        Of posterior means.
    source : str
        Where they are from.
    feature_names : list of str, or None
    """

    values: NDArray[Any]
    labels: NDArray[np.int64] | None
    label_names: Mapping[int, str]
    means: NDArray[Any]
    variance: NDArray[np.float64]
    source: str
    feature_names: list[str] | None = None

    def means_by(self, model: VAE) -> NDArray[Any]:
        """What a model makes of the rows."""
        labels = self.labels if model.n_classes else None
        return model.encode(self.values, labels=labels)[0]


class _Data(NamedTuple):
    """Rows to choose from, with the names of labels and of features that they come with."""

    rows: Any
    labels: Any
    source: str
    label_names: Mapping[int, str] = {}
    feature_names: list[str] | None = None


def choose(
    vae: VAE, data: Rows | None, labels: ArrayLike | None, seed: int, n_rows: int = N_ROWS
) -> Chosen:
    """Choose rows to store, by a seed, and encode all.

    Without data they are drawn digits where the model takes such images, else rows that the model
    itself draws.
    """
    found = _data_of(vae, data, labels, seed, n_rows)
    known = found.labels
    # All are checked here, as they were given, so that errors name them as the user knows them.
    means = np.atleast_2d(vae.encode(found.rows, labels=known if vae.n_classes else None)[0])
    if vae.n_classes:
        known = class_labels(known, "labels", len(means), vae.n_classes)
    order = np.empty(len(means), np.int64)
    kernels.permutation(order, seed, kernels.STREAM_DATASET, 0)
    stored = order[: min(n_rows, max(_LEAST_ROWS, _MOST_VALUES // vae.n_features))]
    values = np.atleast_2d(checks.as_array(with_nan(found.rows), "data"))[stored]
    labels_of_stored = None if known is None else known[stored]
    taken = vae.check_rows(values, labels=labels_of_stored if vae.n_classes else None)
    return Chosen(
        np.asarray(labelled.values(taken)),
        labels_of_stored,
        dict(enumerate(vae.class_names)) if vae.class_names is not None else found.label_names,
        means[stored],
        means.var(axis=0, dtype=np.float64),
        _described(len(stored), len(means), found.source),
        found.feature_names,
    )


def _data_of(
    vae: VAE, data: Rows | None, labels: ArrayLike | None, seed: int, n_rows: int
) -> _Data:
    """The rows that were given, or that stand for them."""
    if data is None:
        if labels is not None:
            raise ValueError("labels belong to data; got labels without data")
        return _without_data(vae, seed, n_rows)
    rows: Any = data
    names: Mapping[int, str] = {}
    if isinstance(data, Dataset):
        is_test = len(data.test) > 0
        rows, own = (data.test, data.test_labels) if is_test else (data.train, data.train_labels)
        names, features = data.label_names or {}, data.feature_names
        labels = own if labels is None else labels
    else:
        columns = getattr(data, "columns", None)
        features = None if columns is None else [str(column) for column in columns]
    if labels is None or vae.n_classes:
        return _Data(rows, labels, _name_of(data), names, features)
    n = len(np.atleast_2d(checks.as_array(with_nan(rows), "data")))
    known = checks.as_labels(labels, "labels")
    if known.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one for each row; got {known.shape}")
    if known.dtype.kind not in "iu":  # names, or numbers that stand for nothing but themselves
        classes, known = np.unique(known, return_inverse=True)
        names = {i: str(name) for i, name in enumerate(classes.tolist())}
    return _Data(rows, known.astype(np.int64), _name_of(data), names, features)


def _described(n_stored: int, n_rows: int, source: str) -> str:
    """What is said of the rows that are stored."""
    of = f" of {n_rows:,}" if n_stored < n_rows else ""
    return f"{n_stored:,}{of} {source}"


def _name_of(data: Rows) -> str:
    """What the page calls the data; of a file only its name, as who gets the page is not known."""
    if not isinstance(data, Dataset) or data.name == "array":
        return "rows of the data that were given"
    part = "test" if len(data.test) else "training"
    return f"{part} rows of {printable(os.path.basename(data.name.rstrip(os.sep)), 80)}"


def _without_data(vae: VAE, seed: int, n_rows: int) -> _Data:
    """Rows to show where none are given."""
    n_classes = 10
    if vae.n_features == SIDE * SIDE and vae.n_classes in (0, n_classes) and _takes_grey(vae):
        digits = synthetic_digits(max(n_rows, 2000), seed=seed)
        return _Data(digits.images, digits.labels, _DRAWN)
    labels = np.arange(n_rows) % vae.n_classes if vae.n_classes else None
    return _Data(observed(vae, vae.sample(n_rows, seed)), labels, _OWN)


def _takes_grey(vae: VAE) -> bool:
    return vae.likelihood in ("bernoulli", "continuous_bernoulli", "gaussian")


def observed(vae: VAE, means: NDArray[Any]) -> NDArray[Any]:
    """Rows that the model takes, the nearest to means that it decodes."""
    rows, first = means.copy(), 0
    for kind, n in kinds_of(vae):
        part = rows[:, first : first + n]
        if kind == "poisson":
            part[:] = np.rint(part)
        elif kind == "categorical":
            part[:] = part.argmax(axis=1)[:, None] == np.arange(n)
        first += n
    return rows


def kinds_of(vae: VAE) -> list[tuple[str, int]]:
    """The kind and the columns of each block of rows."""
    if vae.blocks is None:
        return [(vae.likelihood, vae.n_features)]
    if vae.likelihood == "categorical":
        return [("categorical", n) for n in vae.blocks]
    return [(kind, n) for kind, n in vae.blocks]


def image_shape(vae: VAE, chosen: Chosen, wanted: tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width of rows that pictures show as images; None of other rows.

    On a page an image is also drawn and edited, so that its values must be shades.
    """
    from fastvae.plots.shapes import shape_of_rows

    height, width = shape_of_rows(vae, wanted, chosen.feature_names)
    is_image = min(height, width) > 1 and (wanted is not None or _takes_grey(vae))
    return (height, width) if is_image else None
