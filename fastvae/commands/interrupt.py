"""Ctrl-C, SIGTERM and SIGHUP: they end a command in time, whatever the process is doing.

Python raises KeyboardInterrupt between two bytecodes of the main thread. A compiler at work can
keep it waiting for seconds, or lose it: an exception inside a callback from C is dropped. So a
second thread, which the signal wakes up directly, ends the process where the main thread has not
come to its end in time. What is being written then is lost; the file that it was to replace stays.
While modules are imported there is nothing to lose: the process ends where it stands.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastvae.commands.streams import complain

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PATIENCE = {signal.SIGINT: 0.7, signal.SIGTERM: 5.0, signal.SIGHUP: 5.0}
"""Seconds that the main thread has to end by itself, after each signal.

Ctrl-C is to end a command within a second. Clusters and containers, which send SIGTERM, wait for
10 s at least before they send SIGKILL: a large checkpoint has the time to be written. Where a
terminal was closed (SIGHUP), nobody waits.
"""


class Terminated(KeyboardInterrupt):
    """Raised in the main thread on SIGTERM, so that all is left as on Ctrl-C."""


class HungUp(KeyboardInterrupt):
    """Raised in the main thread on SIGHUP: its terminal, or its connection, is gone."""


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """128 + the number of the signal, as shells report it."""
    found = (number for number, kind in _KINDS.items() if type(interrupt) is kind)
    return 128 + next(found, signal.SIGINT)


def end_at_once_on_signals() -> None:
    """Let these signals end the process where it stands, except where `interruptible` runs.

    For the time before a command begins, when modules are imported: libraries turn an interrupt
    into errors of their own, and print them. And for the time after it.
    """
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) is default:
            signal.signal(number, _end_at_once)


def _end_at_once(number: int, _: object) -> None:
    os._exit(128 + number)


def _raise(number: int, _: object) -> None:
    _raised.append(_KINDS[number])
    raise _KINDS[number]


_raised: list[type[KeyboardInterrupt]] = []
_KINDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
    signal.SIGHUP: HungUp,
}
_DEFAULTS = dict.fromkeys(_KINDS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}


@contextmanager
def interruptible(last_words: Callable[[], str]) -> Iterator[None]:
    """Bound the time from a signal to the end of the process while the block runs.

    SIGTERM and SIGHUP become exceptions as Ctrl-C is one, unless the process ignores or handles
    them.

    Parameters
    ----------
    last_words : callable
        Called, in another thread, where the main thread does not leave the block in time; returns
        what to print before the process ends. It may clean up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    left = threading.Event()
    watcher = threading.Thread(target=_watch, args=(reader, left, last_words), daemon=True)
    watcher.start()
    previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    previous_handlers = {number: signal.getsignal(number) for number in _KINDS}
    n_raised = len(_raised)
    previous_hook = sys.unraisablehook
    sys.unraisablehook = _without_interrupts(previous_hook)
    try:
        for number, handler in previous_handlers.items():
            if handler in (_DEFAULTS[number], _end_at_once):
                signal.signal(number, _raise)
        yield
    except (ImportError, SystemError):
        if len(_raised) > n_raised:  # it is what a library made of the interrupt
            raise _raised[-1] from None
        raise
    finally:
        left.set()
        sys.unraisablehook = previous_hook
        for number, handler in previous_handlers.items():
            if signal.getsignal(number) is _raise:
                signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _watch(reader: int, left: threading.Event, last_words: Callable[[], str]) -> None:
    """End the process if the block is not left soon after a signal."""
    while numbers := os.read(reader, 64):
        for number, seconds in PATIENCE.items():
            if number in numbers and not left.wait(seconds):
                complain(last_words())
                os._exit(128 + number)


def _without_interrupts(
    hook: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], object]:
    """A hook for dropped exceptions that keeps quiet about Ctrl-C: the watcher sees to it."""

    def report(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type not in _KINDS.values():
            hook(dropped)

    return report
