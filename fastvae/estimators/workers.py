"""How many threads an estimator uses: one where others work beside it, in joblib's workers."""

from __future__ import annotations

import multiprocessing
from contextlib import AbstractContextManager

from joblib.parallel import get_active_backend

from fastvae import checks
from fastvae.kernels.machine.threads import max_threads, use_threads


def threads(n: int | None) -> AbstractContextManager[None]:
    """Use n threads, or as many as there are; without a number one in workers, else the usual.

    Raises
    ------
    TypeError, ValueError
        If n is no whole number of at least 1.
    """
    if n is not None:
        return use_threads(min(checks.integer(n, "n_threads"), max_threads()))
    is_worker = multiprocessing.parent_process() is not None
    return use_threads(1 if is_worker or get_active_backend()[0].nesting_level else None)
