"""What a launcher such as mpiexec says of the processes that it starts, in the environment."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

_NAMES = {
    "size": ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
    "rank": ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"),
    "local size": (
        *("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ),
}
"""Variables of MPICH and what is made of it, of Open MPI, and of MVAPICH."""


def n_ranks() -> int:
    """How many processes were started together; 1 where there is no launcher."""
    return max(1, _number("size"))


def is_first() -> bool:
    """Whether this is the process that alone speaks."""
    return n_ranks() == 1 or _number("rank") == 0


def n_local_ranks() -> int:
    """How many of them on this machine, 1 where that is not said."""
    return max(1, _number("local size"))


@contextmanager
def first_alone_speaks() -> Iterator[None]:
    """Let processes other than the first say nothing in the block."""
    if is_first():
        yield
        return
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def _number(what: str) -> int:
    """The number that one of the variables says, else 0."""
    texts = [os.environ[name] for name in _NAMES[what] if name in os.environ]
    return int(texts[0]) if texts and texts[0].isdecimal() else 0
