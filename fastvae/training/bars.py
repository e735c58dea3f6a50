"""Progress bars on standard error: what they cannot show is left out, and ends nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any


class ForgivingStream:
    """A stream that drops what it cannot write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with suppress(Exception):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with suppress(Exception):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:  # tqdm looks for bars on the stream it writes to
        return other is self or other is self._stream

    __hash__ = object.__hash__


def is_terminal() -> bool:
    """Whether somebody watches standard error."""
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError, OSError):  # it is None, not quite a stream, or closed
        return False


def open_bar(**settings: Any) -> Any:
    """A bar of tqdm on standard error; disabled where that takes nothing."""
    from tqdm import tqdm

    return tqdm(file=ForgivingStream(sys.stderr), disable=not _takes_text(), **settings)


def _takes_text() -> bool:
    try:
        getattr(sys.stderr, "flush", bool)()  # tqdm itself does so, and fails
    except Exception:
        return False
    return sys.stderr is not None
