"""What each published table is trained with: one file per table, with all that differs from it."""

from __future__ import annotations

from typing import NamedTuple


class Deviation(NamedTuple):
    """One point in which a training here, the paper and its authors' code are not all the same.

    An empty string: as here.
    """

    what: str
    paper: str
    code: str
    here: str
