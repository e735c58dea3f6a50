"""Ctrl-C and SIGTERM: they end a command in time, whatever the process is doing.

Python raises KeyboardInterrupt between two bytecodes of the main thread. A compiler at work can
keep it waiting for seconds, or lose it: an exception inside a callback from C is dropped. So a
second thread, which the signal wakes up directly, ends the process where the main thread has not
come to its end in time. What is being written then is lost; the file that it was to replace stays.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PATIENCE = {signal.SIGINT: 0.7, signal.SIGTERM: 5.0}
"""Seconds that the main thread has to end by itself, after each signal.

Ctrl-C is to end a command within a second. Clusters and containers, which send SIGTERM, wait for
10 s at least before they send SIGKILL: a large checkpoint has the time to be written.
"""


class Terminated(KeyboardInterrupt):
    """Raised in the main thread on SIGTERM, so that all is left as on Ctrl-C."""


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """128 + the number of the signal, as shells report it."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


@contextmanager
def interruptible(last_words: Callable[[], str]) -> Iterator[None]:
    """Bound the time from Ctrl-C or SIGTERM to the end of the process while the block runs.

    SIGTERM becomes an exception as Ctrl-C is one, unless the process ignores or handles it.

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
    previous_handler = signal.getsignal(signal.SIGTERM)
    if previous_handler is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise_terminated)
    previous_hook = sys.unraisablehook
    sys.unraisablehook = _without_interrupts(previous_hook)
    try:
        yield
    finally:
        left.set()
        sys.unraisablehook = previous_hook
        if previous_handler is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(previous_fd)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _watch(reader: int, left: threading.Event, last_words: Callable[[], str]) -> None:
    """End the process if the block is not left soon after a signal."""
    while numbers := os.read(reader, 64):
        for number, seconds in PATIENCE.items():
            if number in numbers and not left.wait(seconds):
                print(f"fastvae: {last_words()}", file=sys.stderr, flush=True)
                os._exit(128 + number)


def _raise_terminated(*_: object) -> None:
    raise Terminated


def _without_interrupts(
    hook: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], object]:
    """A hook for dropped exceptions that keeps quiet about Ctrl-C: the watcher sees to it."""

    def report(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type not in (KeyboardInterrupt, Terminated):
            hook(dropped)

    return report
