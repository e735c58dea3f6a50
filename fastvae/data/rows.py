"""What stands for rows of data: arrays of any library, and data sets."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae.data.dataset import Dataset

Rows: TypeAlias = ArrayLike | Dataset
"""What the passes take: rows as NumPy, pandas, polars, torch or lists hold them, or a data set."""

Use: TypeAlias = Literal["pass", "training", "validation"]


def taken(X: Rows, name: str, use: Use = "pass") -> tuple[ArrayLike, str]:
    """The rows that `X` stands for, and what to call them in errors.

    A `Dataset` stands for its training rows; for validation for its test rows, where it has any.
    """
    if not isinstance(X, Dataset):
        return X, name
    part = _part(X, use)
    return getattr(X, part), f"{name}.{part}"


def labels_of(X: Dataset, use: Use = "pass") -> tuple[NDArray[np.int64] | None, str]:
    """The labels of the rows that a data set stands for, and the name of its attribute."""
    name = f"{_part(X, use)}_labels"
    return getattr(X, name), name


def _part(X: Dataset, use: Use) -> str:
    return "test" if use == "validation" and len(X.test) else "train"
