"""``fastvae train`` on several ranks, which mpiexec has started: rank 0 leads, the others follow.

Rank 0 does all that the command does: it reads the options, makes the run folder, prints and draws.
The others wait for its options, read the same data, build the same model, and train with it.
"""

from __future__ import annotations

import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastvae.commands.launch import first_alone_speaks, is_first, n_local_ranks, n_ranks
from fastvae.distributed.ranks import Communicator, Ranks, is_shared
from fastvae.kernels import max_threads


def world() -> Communicator | None:
    """The communicator of all ranks, where a launcher has started several.

    Raises
    ------
    ImportError
        If mpi4py is missing then; on other ranks than the first SystemExit.
    """
    if n_ranks() == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        if not is_first():
            raise SystemExit(1) from error  # the first says what is missing
        raise ImportError(
            "training on several ranks needs mpi4py and an MPI: pip install 'fastvae-cpu[mpi]' "
            f"(in a clone: pip install '.[mpi]'; {error})"
        ) from error
    comm: Communicator = MPI.COMM_WORLD
    return comm


def threads(args: Namespace) -> int | None:
    """The threads of this rank: those that are asked for, or a fair share of this machine's."""
    if args.threads is None and n_ranks() > 1:
        return max(1, max_threads() // n_local_ranks())
    given: int | None = args.threads
    return given


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with first_alone_speaks():
                train = ranks.together(lambda: prepared(args))
            train()
        except BaseException as error:
            if not is_shared(error):
                raise
    return 0
