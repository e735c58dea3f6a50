"""What every reader returns: training and test rows, and labels made of what a file holds."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import quoted

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64] | None

_LARGEST = int(np.iinfo(np.int64).max)


class Split(NamedTuple):
    """The rows of a data set, with their labels.

    Attributes
    ----------
    train : (n, n_features) array
    train_labels : (n,) int64 array or None
    test : (m, n_features) array, with m = 0 where there are no test rows
    test_labels : (m,) int64 array or None
    label_names : what labels stand for, where that is not the label itself
    feature_names : what a table calls its columns
    """

    train: Array
    train_labels: Labels
    test: Array
    test_labels: Labels
    label_names: dict[int, str] | None = None
    feature_names: list[str] | None = None


def rows_of_labels(labels: Array, what: str) -> Array | None:
    """Return one label for each row: of (n,), of (n, 1), or of rows with a single 1 among zeros.

    Rows of several labels, as ChestMNIST has them, are no classes: with a warning there are none.
    """
    if labels.ndim == 1:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    if labels.dtype.kind in "biuf" and labels.shape[1] > 1:
        is_one = labels == 1
        if (is_one | (labels == 0)).all() and (is_one.sum(axis=1) == 1).all():
            return is_one.argmax(axis=1)
    warnings.warn(
        f"{what} are left out: they have shape {labels.shape}; expected one label for each row",
        UserWarning,
        stacklevel=2,
    )
    return None


def as_classes(
    given: Mapping[str, Array | None], name: str
) -> tuple[dict[str, Labels], dict[int, str] | None]:
    """Return the labels of all parts of a data set as int64.

    Whole numbers of any type stay what they are. Texts are numbered in their sorted order, over
    all parts.

    Parameters
    ----------
    given : arrays of shape (n,), or None, by the names of the parts
    name : of the file in error messages

    Returns
    -------
    labels : those of each part
    label_names : the texts by their numbers; None where labels are numbers

    Raises
    ------
    ValueError
        Where a label is missing, no whole number, or beyond int64.
    """
    held = {part: labels for part, labels in given.items() if labels is not None}
    texts = {part: _texts(labels) for part, labels in held.items() if labels.dtype.kind in "USO"}
    if not texts:
        return {part: whole(labels, f"labels of {name}") for part, labels in held.items()}, None
    if len(texts) < len(held):
        raise ValueError(f"labels of {name} must be numbers in all parts, or texts in all")
    names = sorted(set().union(*map(set, texts.values())))
    numbers = {text: number for number, text in enumerate(names)}
    found: dict[str, Labels] = {
        part: np.array([numbers[text] for text in labels], np.int64)
        for part, labels in texts.items()
    }
    return found, dict(enumerate(names))


def whole(labels: Array, what: str) -> npt.NDArray[np.int64]:
    """Return whole numbers of any type as int64.

    Raises
    ------
    ValueError
        Where one is NaN, no whole number, or beyond int64.
    """
    if labels.dtype.kind == "f":
        is_wrong = ~(np.isfinite(labels) & (np.floor(labels) == labels))
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ValueError(
                f"{what} must be whole numbers; got {labels[row]} in row {row:,} (counted from 0)"
            )
    if labels.size and labels.dtype.kind in "uf":
        if int(labels.max()) > _LARGEST:
            raise ValueError(f"{what} must be at most {_LARGEST}; got {labels.max()}")
        if int(labels.min()) < -_LARGEST:
            raise ValueError(f"{what} must be at least {-_LARGEST}; got {labels.min()}")
    return labels.astype(np.int64)


def _texts(labels: Array) -> list[str]:
    if labels.dtype.kind == "S":
        return [text.decode("utf-8", "replace") for text in labels.tolist()]
    try:
        return [str(text) for text in labels.tolist()]
    except ValueError as error:  # code points that no text can have
        raise ValueError(f"labels must be texts: {quoted(str(error))}") from None
