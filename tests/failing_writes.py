"""Disks that fail, for the tests of everything that writes."""

from __future__ import annotations

import builtins
import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastvae.files import writing

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
NO_RIGHT = (errno.EACCES, errno.EROFS)


class Failure:
    """One way in which writes to a folder fail; `injected` makes them fail so.

    Attributes
    ----------
    call : str
        What fails: open, write (after half of the bytes), fsync, replace; "folder": it vanishes;
        "limit": the system itself refuses to let any file grow.
    number : int
        The error's number.
    """

    def __init__(self, call: str, number: int) -> None:
        self.call, self.number = call, number

    def __repr__(self) -> str:
        return f"{self.call}-{errno.errorcode[self.number]}"

    @property
    def reason(self) -> str:
        """What a message says of it."""
        return "there is no folder" if self.call == "folder" else os.strerror(self.number)

    @contextmanager
    def injected(self, folder: Path) -> Iterator[None]:
        """Let all writes to files in a folder fail; at the end everything is as it was."""
        if self.call == "folder":
            away = folder.with_name(f"{folder.name}-away")
            folder.rename(away)
            try:
                yield
                assert not folder.exists()
            finally:
                away.rename(folder)
            return
        if self.call == "limit":
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            return
        with pytest.MonkeyPatch.context() as patch:
            if self.call == "write":
                patch.setattr(writing, "open", self._open_failing, raising=False)
            else:
                patch.setattr(os, self.call, self._failing(getattr(os, self.call)))
            yield

    def _failing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*args: Any, **named: Any) -> Any:
            if original.__name__ == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return original(*args, **named)
            raise OSError(self.number, os.strerror(self.number))

        return fail

    def _open_failing(self, *args: Any, **named: Any) -> Any:
        file = builtins.open(*args, **named)  # noqa: SIM115 - handed on
        return _HalfWritten(file, self.number) if file.writable() else file


class _HalfWritten:
    """A file whose writes fail in their middle."""

    def __init__(self, file: Any, number: int) -> None:
        self._file, self._number = file, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _HalfWritten:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        raise OSError(self._number, os.strerror(self._number))


FAILURES = [
    *(Failure("open", number) for number in NO_SPACE + NO_RIGHT),
    *(Failure("write", number) for number in NO_SPACE),
    *(Failure("fsync", number) for number in NO_SPACE),
    *(Failure("replace", number) for number in NO_SPACE + NO_RIGHT),
    Failure("folder", errno.ENOENT),
    Failure("limit", errno.EFBIG),
]
each_failure = pytest.mark.parametrize("failure", FAILURES, ids=repr)
FULL = Failure("write", errno.ENOSPC)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
