"""The kinds of columns that a likelihood can be of: which values they take, and how outputs start.

The formulas of each kind are kernels (`kernels/maths/row_likelihoods.py`); docs/likelihoods.md says
what each is a likelihood of. Nothing here needs compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastvae.checks import foreign

UNIT, REAL, COUNTS, ONE_HOT = "unit", "real", "counts", "one-hot"


@dataclass(frozen=True)
class Kind:
    """A kind of columns.

    Attributes
    ----------
    title : str
        What messages call it.
    domain : str
        The values it takes: UNIT, REAL, COUNTS or ONE_HOT.
    start : function
        The output whose distribution has a given mean.
    """

    title: str
    domain: str
    start: Callable[[float], float]


def _logit(mean: float) -> float:
    mean = min(max(mean, 0.001), 0.999)
    return math.log(mean / (1 - mean))


def _continuous_bernoulli_logit(mean: float) -> float:
    """The logit l with 1 / (1 - exp(-l)) - 1 / l = mean, by bisection; within 100 of 0."""
    low, high = -100.0, 100.0
    while high - low > 1e-9:
        logit = (low + high) / 2
        reached = 0.5
        if abs(logit) > 1e-6:
            reached = 1 / -math.expm1(-logit) - 1 / logit
        low, high = (logit, high) if reached < mean else (low, logit)
    return (low + high) / 2


def _log(mean: float) -> float:
    return math.log(max(mean, 0.001))


KINDS = {
    "bernoulli": Kind("Bernoulli", UNIT, _logit),
    "gaussian": Kind("Gaussian", REAL, float),
    "continuous_bernoulli": Kind("continuous Bernoulli", UNIT, _continuous_bernoulli_logit),
    "poisson": Kind("Poisson", COUNTS, _log),
    "categorical": Kind("categorical", ONE_HOT, _log),
}
MIXED = "mixed"
LIKELIHOODS = (*KINDS, MIXED)
"""Names of likelihoods: each kind alone, and blocks of several."""

_CHUNK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Columns:
    """What rows must hold.

    Attributes
    ----------
    blocks : sequence of (kind, columns)
        From the first column on.
    missing : bool
        Whether values may be missing, which NaN says.
    """

    blocks: Sequence[tuple[str, int]]
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
        KINDS[kind].domain in (COUNTS, ONE_HOT) for kind, _ in columns.blocks
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
        for kind, n in columns.blocks:
            block = chunk[:, first : first + n]
            bad = _refused(block, kind, target, columns.missing)
            if bad.any():
                row, column = np.unravel_index(bad.argmax(), bad.shape)
                where = foreign.cell(values, (first_row + row, first + column))
                if array.ndim == 2 and np.ndim(values) == 1:
                    where = foreign.cell(values, (first + column,))
                _refuse(block[row], int(column), where, name, kind)
            first += n


def _refused(
    block: NDArray[Any], kind: str, target: np.dtype[Any], missing: bool
) -> NDArray[np.bool_]:
    """Which values of a block are not of its kind."""
    absent = np.isnan(block)
    with np.errstate(invalid="ignore", over="ignore"):
        bad = ~(np.abs(block) <= np.finfo(target).max)
        domain = KINDS[kind].domain
        if domain == UNIT:
            tolerance = 4 * float(np.finfo(np.float64).eps)
            if block.dtype.kind == "f":
                tolerance = max(tolerance, 4 * float(np.finfo(block.dtype).eps))
            bad |= (block < -tolerance) | (block > 1 + tolerance)
        elif domain == COUNTS:
            bad |= (block < 0) | (block != np.floor(block))
        elif domain == ONE_HOT:
            bad |= (block != 0) & (block != 1)
            # Where a value is missing, the others cannot tell.
            whole = ~(absent | bad).any(axis=1)
            bad[whole & (block.sum(axis=1) != 1), 0] = True
    return bad & ~absent if missing else bad


def _refuse(row: NDArray[Any], column: int, where: str, name: str, kind: str) -> NoReturn:
    """Raise what is wrong with a row's block, at the first column that is not right."""
    value, domain, title = row[column], KINDS[kind].domain, KINDS[kind].title
    shown = str(value).removesuffix(".0")
    if not np.isfinite(value):
        hint = '; missing values are left out by models built with missing="ignore"'
        raise ValueError(
            f"{name} must be finite; got {shown} in {where}{hint if np.isnan(value) else ''}"
        )
    if domain == COUNTS:
        wanted = f"hold whole numbers of at least 0 for the {title} likelihood"
    elif domain == ONE_HOT:
        wanted = f"hold one 1 and {len(row) - 1} times 0 in each row of a {title} block"
        if value in (0, 1):
            shown = f"{np.count_nonzero(row)} times 1 in the block that begins"
    elif domain == UNIT:
        wanted = f"lie in [0, 1] for the {title} likelihood"
    else:
        wanted = "fit the model's dtype"
    raise ValueError(f"{name} must {wanted}; got {shown} in {where}")
