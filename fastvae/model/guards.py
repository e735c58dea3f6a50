"""Guards: what keeps several Python threads from spoiling each other's work on one model.

Kernels release Python's lock, so that two calls on one model really run at the same time. What is
guarded here is cheap to ask for (under a microsecond). A forked child gets fresh guards: threads
that held them do not exist there.

A KeyboardInterrupt may come between any two bytecodes, also on the way into a `with` block or out
of it, where no `finally` helps. So a guard notes for each thread the frame whose block it is in,
and what is noted counts only while the thread still runs that frame.

A signal's handler runs between any two bytecodes of the main thread as well, and may use the model.
What its own thread holds or waits for never keeps it out.
"""

import os
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from types import FrameType

_LOOK_AGAIN = 0.1  # seconds until a waiting thread looks for what an interrupted one left behind


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


def _forget_left(*marks: dict[int, FrameType]) -> None:
    """Drop what was noted of threads that no longer run the frame noted."""
    running = sys._current_frames()
    for noted in marks:
        for thread, frame in list(noted.items()):
            current = running.get(thread)
            while current is not None and current is not frame:
                current = current.f_back
            if current is None:
                noted.pop(thread, None)


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
        self._lock = threading.RLock()
        self._owner: dict[int, FrameType] = {}

    @property
    def is_taken(self) -> bool:
        """Whether a thread is in the context."""
        _forget_left(self._owner)
        return bool(self._owner)

    @property
    def is_taken_elsewhere(self) -> bool:
        """Whether another thread than the caller's is in the context."""
        return self.is_taken and threading.get_ident() not in self._owner

    def __enter__(self) -> None:
        with self._lock:
            if self.is_taken:
                raise RuntimeError(self.message)
            self._owner[threading.get_ident()] = sys._getframe(1)

    def __exit__(self, *_: object) -> None:
        self._owner.clear()


class Gate(_Guard):
    """Many readers at a time, or one writer, each in a `with` block on `reading` or `writing`.

    Neither can keep the other out for long: readers that wait when a writer leaves come before the
    next writer, and readers that arrive while a writer waits come after it. A block of a thread
    that has one open already is let in at once, and the outer one goes on to count.

    Attributes
    ----------
    n_written : int
        How many blocks on `writing` have ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_written = 0
        self.reading = _Reading(self)
        self.writing = _Writing(self)

    def renew(self) -> None:
        """Let nobody be inside, and nobody wait."""
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.readers: dict[int, FrameType] = {}
        self.queue: dict[int, FrameType] = {}
        self.admitted: dict[int, FrameType] = {}
        self.writer: dict[int, FrameType] = {}
        self.waiting_writers: dict[int, FrameType] = {}

    def forget_left(self) -> None:
        """Drop what threads left behind that were interrupted on their way in or out."""
        _forget_left(self.readers, self.queue, self.admitted, self.writer, self.waiting_writers)


class _Reading:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        gate, me, frame = self._gate, threading.get_ident(), sys._getframe(1)
        with gate.lock:
            if gate.writer or gate.waiting_writers or gate.readers.get(me):
                self._wait(me, frame)
            gate.readers.setdefault(me, frame)

    def _wait(self, me: int, frame: FrameType) -> None:
        gate = self._gate
        gate.forget_left()
        try:
            while not (me in gate.readers or me in gate.writer) and (
                gate.writer or (gate.waiting_writers.keys() - {me} and me not in gate.admitted)
            ):
                gate.queue[me] = frame
                gate.changed.wait(_LOOK_AGAIN)
                gate.forget_left()
        finally:
            gate.queue.pop(me, None)
            gate.admitted.pop(me, None)
            gate.changed.notify_all()

    def __exit__(self, *_: object) -> None:
        gate, me = self._gate, threading.get_ident()
        with gate.lock:
            if gate.readers.get(me) is sys._getframe(1):
                del gate.readers[me]
            if gate.waiting_writers:
                gate.changed.notify_all()


class _Writing:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        gate, me, frame = self._gate, threading.get_ident(), sys._getframe(1)
        with gate.lock:
            if gate.writer or gate.admitted or gate.readers:
                self._wait(me, frame)
            gate.writer.setdefault(me, frame)

    def _wait(self, me: int, frame: FrameType) -> None:
        gate = self._gate
        gate.forget_left()
        try:
            while (gate.writer.keys() | gate.admitted.keys() | gate.readers.keys()) - {me}:
                gate.waiting_writers[me] = frame
                gate.changed.wait(_LOOK_AGAIN)
                gate.forget_left()
        finally:
            gate.waiting_writers.pop(me, None)

    def __exit__(self, *_: object) -> None:
        gate, me = self._gate, threading.get_ident()
        with gate.lock:
            if gate.writer.get(me) is sys._getframe(1):
                del gate.writer[me]
                gate.n_written += 1
                gate.admitted = dict(gate.queue)
                gate.changed.notify_all()
