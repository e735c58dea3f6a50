"""What an estimator is after a fit that failed: what it was before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_on_error(estimator: Any) -> Iterator[None]:
    """Give an estimator its attributes back where a fit fails or is interrupted.

    Else it would have the column names of rows that were refused, or a new model that was not
    trained.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        for name in vars(estimator).keys() - before.keys():
            delattr(estimator, name)
        vars(estimator).update(before)
        raise
