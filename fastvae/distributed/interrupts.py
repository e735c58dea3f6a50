"""Signals while several ranks work together: they are taken up where all ranks can take them up.

Ctrl-C reaches the ranks at different moments. An exception right then would leave one rank in the
middle of a message. So a signal is noted, and raised on all ranks between two runs of updates.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fastvae.distributed.ranks import Ranks

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """The signals of a training on several ranks."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._noted = 0
        self._is_raised = False
        self._handlers: dict[signal.Signals, Callable[[int, FrameType | None], object]] = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Note signals that would raise an exception, in the main thread of each of several ranks.

        Those that end the process, or that nobody asked to handle, stay as they are.
        """
        if self._ranks.size == 1 or threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._handlers = {n: handler for n, handler in handlers.items() if callable(handler)}
        try:
            for number in self._handlers:
                signal.signal(number, self._note)
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            # After the last time that all could take it up. Ctrl-C reaches some ranks when the
            # others have raised it already: what is on its way out then is not raised again.
            if self._noted and not self._is_raised:
                signal.raise_signal(self._noted)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted = number

    def take_up(self) -> None:
        """Raise on all ranks what a signal to any of them has asked for; all must call this."""
        if self._ranks.size == 1:
            return
        found = max(self._ranks.of_all(self._noted))
        if not found:
            return  # one that has been noted since the others were told is told next time
        self._noted, self._is_raised = 0, True
        self._ranks.together(lambda: self._raise(signal.Signals(found)))
        self._is_raised = False  # its handler lets the training go on

    def _raise(self, number: signal.Signals) -> None:
        """Do what the signal does where nobody notes it."""
        handler = self._handlers.get(number)
        if handler is None:
            raise KeyboardInterrupt(f"stopped by {number.name}")
        handler(number, None)
