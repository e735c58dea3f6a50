"""Guards: what keeps several Python threads from spoiling each other's work on one model.

Kernels release Python's lock, so that two calls on one model really run at the same time. What is
guarded here is cheap to ask for (under a microsecond). A forked child gets fresh guards: threads
that held them do not exist there.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod


class _Guard(ABC):
    """What all guards share: they are known, to be renewed in a forked child."""

    def __init__(self) -> None:
        _known.add(self)
        self.renew()

    @abstractmethod
    def renew(self) -> None:
        """Be as if nobody held the guard."""


_known: weakref.WeakSet[_Guard] = weakref.WeakSet()


def _renew_all() -> None:
    for guard in list(_known):
        guard.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class DrawCounter(_Guard):
    """Numbers of random draws: each is given once, whatever thread asks.

    Parameters
    ----------
    taken : int
        How many were given already.
    """

    def __init__(self, taken: int = 0) -> None:
        super().__init__()
        self.taken = taken

    def renew(self) -> None:
        """Let go of the lock; the count stays."""
        self._lock = threading.Lock()

    def take(self) -> int:
        """The next number, from 0 on."""
        with self._lock:
            number = self.taken
            self.taken += 1
        return number


class Exclusive(_Guard):
    """A context that one thread is in at a time; others, and itself again, get an error.

    Parameters
    ----------
    message : str
        Of the RuntimeError.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__()

    def renew(self) -> None:
        """Let nobody be in it."""
        self._lock = threading.Lock()
        self.owner: int | None = None

    @property
    def is_taken(self) -> bool:
        """Whether a thread is in the context."""
        return self.owner is not None

    @property
    def is_taken_elsewhere(self) -> bool:
        """Whether another thread than the caller's is in the context."""
        return self.owner not in (None, threading.get_ident())

    def __enter__(self) -> None:
        with self._lock:
            if self.owner is not None:
                raise RuntimeError(self.message)
            self.owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self.owner = None


class Gate(_Guard):
    """Many readers at a time, or one writer, each in a `with` block on `reading` or `writing`.

    Neither can keep the other out for long: readers that wait when a writer leaves come before the
    next writer, and readers that arrive while a writer waits come after it. Who is inside is known
    by thread and not by number, so that a KeyboardInterrupt between two bytecodes leaves nothing
    behind that would make the same thread wait for itself. Blocks of one thread are not nested.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reading = _Reading(self)
        self.writing = _Writing(self)

    def renew(self) -> None:
        """Let nobody be inside, and nobody wait."""
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.readers: set[int] = set()
        self.queue: set[int] = set()
        self.admitted: set[int] = set()
        self.writer: int | None = None
        self.waiting_writers: set[int] = set()


class _Reading:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        gate, me = self._gate, threading.get_ident()
        with gate.lock:
            if gate.writer is not None or gate.waiting_writers:
                self._wait(me)
            gate.readers.add(me)

    def _wait(self, me: int) -> None:
        gate = self._gate
        gate.queue.add(me)
        try:
            while gate.writer not in (None, me) or (
                gate.waiting_writers and me not in gate.admitted and me not in gate.readers
            ):
                gate.changed.wait()
        finally:
            gate.queue.discard(me)
            gate.admitted.discard(me)
            gate.changed.notify_all()

    def __exit__(self, *_: object) -> None:
        gate = self._gate
        with gate.lock:
            gate.readers.discard(threading.get_ident())
            if gate.waiting_writers:
                gate.changed.notify_all()


class _Writing:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        gate, me = self._gate, threading.get_ident()
        with gate.lock:
            gate.waiting_writers.add(me)
            try:
                while gate.writer is not None or gate.admitted or gate.readers - {me}:
                    gate.changed.wait()
                gate.writer = me
            finally:
                gate.waiting_writers.discard(me)

    def __exit__(self, *_: object) -> None:
        gate = self._gate
        with gate.lock:
            gate.writer = None
            gate.admitted = set(gate.queue)
            gate.changed.notify_all()
