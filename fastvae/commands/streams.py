"""Standard streams, whatever they are: missing, closed, full, or only ASCII."""

import os
import sys
from contextlib import suppress
from typing import TextIO

from fastvae.training.bars import ForgivingStream

FAILURE = 1
PIPE_CLOSED = 128 + 13  # what shells report of a process that SIGPIPE has ended


def complain(text: str) -> None:
    """Write a line to standard error, where there is one that takes it."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"fastvae: {text}", file=sys.stderr, flush=True)


def mend_streams() -> None:
    """Make the streams of this process such that writing to standard error never fails.

    Streams that were closed before the start lead to nowhere: else the next file that is opened
    would take the place of one, and what libraries say on standard error would go into it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    for stream in (sys.stdout, sys.stderr):
        _write_all_characters(stream)
    sys.stderr = ForgivingStream(sys.stderr)


def _write_all_characters(stream: TextIO) -> None:
    """Have what a stream's encoding lacks written as an escape, as Python does on stderr."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def flushed(code: int) -> int:
    """Write what standard output still holds; return the exit code, or that of the failure."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again when it ends, and complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if code == 0 and isinstance(error, BrokenPipeError):
            return PIPE_CLOSED
        if code == 0:
            complain(f"error: standard output: {error.strerror}")
        return code or FAILURE
    return code
