"""Checks of rows by what their columns are: numbers, shares, counts, categories, or missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastvae.checks import foreign

LEFT_OUT = '; missing values are left out by models built with missing="ignore"'
"""What to add to an error about NaN in rows."""

_CHUNK_ELEMENTS = 1 << 22


class Block(NamedTuple):
    """Columns that stand side by side.

    Attributes
    ----------
    title : str
        The likelihood that they are of, for messages.
    domain : str
        Which values they take: "unit" for [0, 1], "real", "counts" (whole numbers of at least 0),
        or "one-hot" (one of the block is 1, the others are 0).
    n : int
        How many there are.
    """

    title: str
    domain: str
    n: int


@dataclass(frozen=True)
class Columns:
    """What rows must hold.

    Attributes
    ----------
    blocks : sequence of Block
        From the first column on.
    missing : bool
        Whether values may be missing, which NaN says.
    """

    blocks: Sequence[Block]
    missing: bool = False


def check_columns(
    array: NDArray[Any], values: Any, name: str, target: np.dtype[Any], columns: Columns
) -> None:
    """Raise a ValueError unless all blocks of columns hold what is of their kind.

    Parameters
    ----------
    array : ndarray, shape (n, n_features)
    values : object
        What the user gave, for the names of its rows and columns.
    name : str
        What to call it.
    target : numpy.dtype
        The model's dtype, which all numbers must fit.
    columns : Columns
    """
    if array.dtype == np.uint8 and any(
        block.domain in ("counts", "one-hot") for block in columns.blocks
    ):
        raise ValueError(
            f"{name} is uint8, which is read as pixels, value / 255, and so holds neither counts "
            f"nor categories: pass {name}.astype(numpy.float32)"
        )
    if array.dtype == np.uint8:
        return
    step = max(1, _CHUNK_ELEMENTS // array.shape[1])
    for first_row in range(0, len(array), step):
        chunk = array[first_row : first_row + step]
        first = 0
        for block in columns.blocks:
            found = chunk[:, first : first + block.n]
            bad = _refused(found, block.domain, target, columns.missing)
            if bad.any():
                row, column = np.unravel_index(bad.argmax(), bad.shape)
                where = foreign.cell(values, (first_row + row, first + column))
                if array.ndim == 2 and np.ndim(values) == 1:
                    where = foreign.cell(values, (first + column,))
                _refuse(found[row], int(column), where, name, block)
            first += block.n


def _refused(
    found: NDArray[Any], domain: str, target: np.dtype[Any], missing: bool
) -> NDArray[np.bool_]:
    """Which values of a block are not of its domain."""
    absent = np.isnan(found)
    with np.errstate(invalid="ignore", over="ignore"):
        bad = ~(np.abs(found) <= np.finfo(target).max)
        if domain == "unit":
            tolerance = 4 * float(np.finfo(np.float64).eps)
            if found.dtype.kind == "f":
                tolerance = max(tolerance, 4 * float(np.finfo(found.dtype).eps))
            bad |= (found < -tolerance) | (found > 1 + tolerance)
        elif domain == "counts":
            bad |= (found < 0) | (found != np.floor(found))
        elif domain == "one-hot":
            bad |= (found != 0) & (found != 1)
            # Where a value is missing, the others cannot tell.
            whole = ~(absent | bad).any(axis=1)
            bad[whole & (found.sum(axis=1) != 1), 0] = True
    return bad & ~absent if missing else bad


def _refuse(row: NDArray[Any], column: int, where: str, name: str, block: Block) -> NoReturn:
    """Raise what is wrong with a row's block, at the first column that is not right."""
    value, (title, domain, n) = row[column], block
    shown = str(value).removesuffix(".0")
    if not np.isfinite(value):
        hint = LEFT_OUT if np.isnan(value) else ""
        raise ValueError(f"{name} must be finite; got {shown} in {where}{hint}")
    if domain == "counts":
        wanted = f"hold whole numbers of at least 0 for the {title} likelihood"
    elif domain == "one-hot":
        wanted = f"hold one 1 and {n - 1} times 0 in each row of a {title} block"
        if value in (0, 1):
            shown = f"{np.count_nonzero(row)} times 1 in the block that begins"
    elif domain == "unit":
        wanted = f"lie in [0, 1] for the {title} likelihood"
    else:
        wanted = "fit the model's dtype"
    raise ValueError(f"{name} must {wanted}; got {shown} in {where}")
