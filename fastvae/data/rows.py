"""What stands for rows of data: arrays of any library, and data sets."""

from typing import Literal, TypeAlias

from numpy.typing import ArrayLike

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
    part = "test" if use == "validation" and len(X.test) else "train"
    return getattr(X, part), f"{name}.{part}"
