"""How files are opened and JSON is read: nothing hangs, and nothing costs more than it must.

Files may come from strangers. What is not an ordinary file (a pipe, a device, a socket, a folder)
is refused once it is open: no other file can take its place between a check and the opening.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fastvae.checks.quoting import printable, quoted

MAX_MARKS = 200_000
"""How many commas and opening brackets, and so values, a JSON text may hold.

A second and 60 MB at most. A model of 10,000 layers has 40,000, the settings of a run have 60.
"""

_STEP = 1 << 20  # Ctrl-C is heard between two of them
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open an ordinary file to read it, for a `with` statement; never waits for a writer.

    Raises
    ------
    ValueError
        If it is a pipe, a device or a socket.
    IsADirectoryError
        If it is a folder.
    OSError
        If it is missing, or cannot be opened or read; the error names it.
    """
    with open(os.fspath(path), "rb", opener=_open) as file:
        kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
        if kind != stat.S_IFREG:
            raise ValueError(
                f"{printable(os.fspath(path))} is {_KINDS.get(kind, 'something else')}; "
                "expected an ordinary file"
            )
        try:
            yield cast(BinaryIO, file)
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file."""
    return os.fstat(file.fileno()).st_size


def read_json(path: str | os.PathLike[str], max_size: int) -> Any:
    """Read a file of JSON.

    Raises
    ------
    ValueError
        If it is larger than `max_size` bytes, or is not what `parse_json` takes.
    OSError
        If it cannot be read.
    """
    with open_file(path) as file:
        content = file.read(max_size + 1)  # /proc gives files no size
    if len(content) > max_size:
        raise ValueError(f"it is too large for a file of settings: more than {max_size:,} bytes")
    return parse_json(content)


def parse_json(content: str | bytes, most: int = MAX_MARKS) -> Any:
    """Return what a JSON text stands for.

    Raises
    ------
    ValueError
        If it is no JSON in UTF-8, is nested too deep, holds more than `most` commas and opening
        brackets, names an entry twice, or holds NaN or infinity.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        check_marks(text, most)
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None


def check_marks(text: str, most: int) -> None:
    """Raise a ValueError if a JSON text holds more than `most` commas and opening brackets."""
    if sum(map(text.count, ",[{")) > most:
        raise ValueError(f"its JSON holds more than {most:,} commas and brackets")


def read_values(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read an array in C order from where the file stands, into memory of its own.

    Shape and dtype must have been checked against the file's size.

    Raises
    ------
    ValueError
        If there is less in the file.
    MemoryError
        If there is no memory for it; the message says the size.
    """
    array = np.empty(shape, dtype)
    if array.size:
        rest = memoryview(array.reshape(-1).view(np.uint8).data)
        while len(rest):
            n = file.readinto(rest[:_STEP])  # type: ignore[attr-defined]
            if not n:
                raise ValueError(f"{len(rest):,} bytes of values are missing")
            rest = rest[n:]
    return array


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it holds the entry {quoted(name)} more than once")
        found[name] = value
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")
