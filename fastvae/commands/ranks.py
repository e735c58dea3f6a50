"""``fastvae train`` on several ranks, which mpiexec has started: rank 0 leads, the others follow.

Rank 0 does all that the command does: it reads the options, makes the run folder, prints and draws.
The others wait for its options, read the same data, build the same model, and train with it.
"""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from fastvae.distributed.ranks import Communicator, Ranks
from fastvae.kernels import max_threads

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many ranks they have started."""
_LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
"""Where they say how many of them on this machine."""


def world() -> Communicator | None:
    """The communicator of all ranks, where a launcher has started several.

    Raises
    ------
    ImportError
        If mpi4py is missing then.
    """
    if _number(_SIZES) == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            "training on several ranks needs mpi4py and an MPI: pip install 'fastvae-cpu[mpi]' "
            f"(in a clone: pip install '.[mpi]'; {error})"
        ) from error
    comm: Communicator = MPI.COMM_WORLD
    return comm


def threads(args: Namespace) -> int | None:
    """The threads of this rank: those that are asked for, or a fair share of this machine's."""
    n_local = _number(_LOCAL_SIZES)
    if args.threads is not None or n_local == 1:
        given: int | None = args.threads
        return given
    return max(1, max_threads() // n_local)


def _number(names: tuple[str, ...]) -> int:
    """The number of ranks that one of these variables says, else 1."""
    for name in names:
        text = os.environ.get(name, "")
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return 1


class Followers:
    """The other ranks, as rank 0 sees them: they wait until they are called, or let go."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._wait = True

    def call(self, args: Namespace) -> None:
        """Let all ranks get ready to train by these options.

        Raises
        ------
        Exception
            If one of them cannot.
        """
        self._wait = False
        self._ranks.from_first(args)
        self._ranks.together(lambda: None)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let them go where the block ends before they were called."""
        try:
            yield
        finally:
            if self._wait:
                self._wait = False
                self._ranks.from_first(None)


def follow(ranks: Ranks, prepared: Callable[[Namespace], Callable[[], object]]) -> int:
    """Do what rank 0 says, without a word; return the exit code.

    Parameters
    ----------
    ranks : Ranks
    prepared : callable
        Returns, by rank 0's options, what trains.
    """
    args: Any = ranks.from_first(None)
    if args is None:
        return 0
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            with redirect_stderr(nowhere):
                train = ranks.together(lambda: prepared(args))
            train()
        except (KeyboardInterrupt, Exception) as error:
            if not ranks.is_shared(error):
                raise
    return 0
