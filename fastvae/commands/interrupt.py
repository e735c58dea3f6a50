"""Ctrl-C: it ends a command within a second, whatever the process is doing.

Python raises KeyboardInterrupt between two bytecodes of the main thread. A compiler at work can
keep it waiting for seconds, or lose it: an exception inside a callback from C is dropped. So a
second thread, which the signal wakes up directly, ends the process where the main thread has not
come to its end in time.
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

INTERRUPTED = 130
"""Exit code: 128 + SIGINT, as shells report it."""

PATIENCE = 0.7
"""Seconds that the main thread has to end by itself."""


@contextmanager
def interruptible(last_words: Callable[[], str]) -> Iterator[None]:
    """Bound the time from Ctrl-C to the end of the process while the block runs.

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
    previous_hook = sys.unraisablehook
    sys.unraisablehook = _without_interrupts(previous_hook)
    try:
        yield
    finally:
        left.set()
        sys.unraisablehook = previous_hook
        signal.set_wakeup_fd(previous_fd)
        os.close(writer)
        watcher.join()
        os.close(reader)


def _watch(reader: int, left: threading.Event, last_words: Callable[[], str]) -> None:
    """End the process if the block is not left soon after a SIGINT."""
    while numbers := os.read(reader, 64):
        if signal.SIGINT in numbers and not left.wait(PATIENCE):
            print(f"fastvae: {last_words()}", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)


def _without_interrupts(
    hook: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], object]:
    """A hook for dropped exceptions that keeps quiet about Ctrl-C: the watcher sees to it."""

    def report(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            hook(dropped)

    return report
