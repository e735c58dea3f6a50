"""Ranks: the processes of one job, and what they must agree on.

A communicator is mpi4py's, or whatever has its methods; this module does not import mpi4py. Where
there is none, or it has one rank, all of this is done by the process itself, without a message.

An exception that one rank alone has would leave the others waiting for ever. So where ranks may
differ, as in what they are given, they tell each other how it went (`together`), and all of them
raise; any other exception is printed and ends the whole job (`guard`).
"""

from __future__ import annotations

import builtins
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

_Result = TypeVar("_Result")
_FAILURE = 1
_MARK = "is_shared_by_ranks"


def is_shared(error: BaseException) -> bool:
    """Whether all ranks raise an error alike."""
    return getattr(error, _MARK, False)


class Request(Protocol):
    """A message on its way."""

    def Wait(self) -> object:
        """Wait until its array may be used again."""

    def Test(self) -> object:
        """Do what can be done for it without waiting."""


class Communicator(Protocol):
    """What is used of ``mpi4py.MPI.Comm``."""

    def Get_rank(self) -> int:
        """The number of this process."""

    def Get_size(self) -> int:
        """How many there are."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """What the rank `root` has given."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """What all have given."""

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:
        """Make one array of all ranks' parts, for all."""

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Make one array of all ranks' parts, for one."""

    def Bcast(self, buf: Any, root: int = 0) -> None:
        """Give all what one has."""

    def Isend(self, buf: Any, dest: int, tag: int = 0) -> Request:
        """Begin to send."""

    def Irecv(self, buf: Any, source: int, tag: int = 0) -> Request:
        """Begin to receive."""

    def Abort(self, errorcode: int = 0) -> NoReturn:
        """End all processes of the job."""


class Ranks:
    """The processes of a job, as one of them sees them.

    Parameters
    ----------
    comm : Communicator, optional

    Attributes
    ----------
    rank, size : int
    """

    def __init__(self, comm: Communicator | None = None) -> None:
        self.size = 1 if comm is None else comm.Get_size()
        self.rank = 0 if comm is None else comm.Get_rank()
        self._comm = comm if self.size > 1 else None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone prints, writes, and decides."""
        return self.rank == 0

    @property
    def comm(self) -> Communicator:
        """The communicator of several ranks."""
        assert self._comm is not None
        return self._comm

    # --- values -------------------------------------------------------------------------------

    def from_first(self, value: _Result) -> _Result:
        """What rank 0 gives."""
        if self._comm is None:
            return value
        shared: _Result = self._comm.bcast(value)
        return shared

    def of_all(self, value: _Result) -> list[_Result]:
        """What each rank gives, in their order."""
        return [value] if self._comm is None else self._comm.allgather(value)

    def array_from_first(self, values: NDArray[Any]) -> None:
        """Overwrite an array by that of rank 0."""
        if self._comm is not None:
            self._comm.Bcast(values)

    def complete(self, values: NDArray[Any], ends: Sequence[int]) -> None:
        """Fill in what other ranks have of an array.

        Parameters
        ----------
        values : ndarray
            Of which each rank has a part along the first axis, the others' to be written.
        ends : sequence of int
            Where the ranks' parts begin, and at last where they end.
        """
        if self._comm is None or len(values) == 0:
            return
        each = values.size // len(values)
        sizes = [int(n) * each for n in np.diff(ends)]
        own = values[ends[self.rank] : ends[self.rank + 1]].copy()
        self._comm.Allgatherv(own, (values, sizes))

    def gather(self, own: NDArray[Any], out: NDArray[Any] | None, ends: Sequence[int]) -> None:
        """Write all ranks' parts of a one-dimensional array to `out`, which is rank 0's."""
        if self._comm is None:
            assert out is not None
            np.copyto(out, own)
        else:
            sizes = [int(n) for n in np.diff(ends)]
            self._comm.Gatherv(own, None if out is None else (out, sizes))

    # --- errors -------------------------------------------------------------------------------

    def together(self, call: Callable[[], _Result]) -> _Result:
        """What a call returns, if no rank's fails; in it, ranks must not wait for each other.

        Raises
        ------
        BaseException
            On all ranks, if any rank's call does: its own, or one of that kind which names the
            rank.
        """
        if self._comm is None:
            return call()
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        self._agree(error)
        return result  # type: ignore[return-value]

    def first_alone(self, call: Callable[[], object]) -> None:
        """Let rank 0 do something.

        Raises
        ------
        BaseException
            On all ranks, if it fails.
        """
        self.together(call if self.is_first else _nothing)

    def raise_on_all(self, error: BaseException) -> NoReturn:
        """Raise an error that all ranks raise alike."""
        setattr(error, _MARK, True)
        raise error

    @contextmanager
    def guard(self) -> Iterator[None]:
        """End the job where an exception leaves the block that not all ranks have."""
        try:
            yield
        except BaseException as error:
            if self._comm is None or is_shared(error):
                raise
            sys.stdout.flush()
            shown = "".join(traceback.format_exception(error))
            print(f"rank {self.rank} of {self.size} ends the job:\n{shown}", file=sys.stderr)
            sys.stderr.flush()
            self._comm.Abort(_FAILURE)
            raise

    def _agree(self, error: BaseException | None) -> None:
        """Raise on all ranks if one of them has an error."""
        told = self.of_all(None if error is None else (type(error).__name__, str(error)))
        failed = [rank for rank, one in enumerate(told) if one is not None]
        if error is None and failed:
            name, text = told[failed[0]] or ("", "")
            kind = getattr(builtins, name, RuntimeError)
            error = kind(f"rank {failed[0]}: {text or name}")
        if error is not None:
            self.raise_on_all(error)


def _nothing() -> None:
    """Do nothing."""


ALONE = Ranks()
"""One process by itself."""
