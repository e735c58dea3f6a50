"""Arrays as .npy files hold them: the header is read strictly, before anything is allocated.

NumPy evaluates the header as Python source, which fails in many ways and takes time and memory for
what is no header. Here it must be the three entries that the format names, of plain values; what is
described in "NEP 1: A simple file format for NumPy arrays".
"""

import math
import re
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fastvae.checks.quoting import quoted

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000  # as in NumPy
_MAX_AXES = 32  # as in all versions of NumPy
_MAX_BYTES = 2**62
_DTYPE = re.compile(r"[<>|=]?[biufcmMSUVO]\d{0,9}(\[\d{0,9}[a-zA-Z]{1,2}\])?")
_ENTRY = re.compile(
    r"\s*(?P<quote>['\"])(?P<name>descr|fortran_order|shape)(?P=quote)\s*:\s*"
    r"(?P<value>'[^']*'|\"[^\"]*\"|True|False|\([\d\sL,]*\)|\[[^{}]*\])\s*(,|(?=\}))"
)
_SHAPE = re.compile(r"\(\s*((\d{1,19}L?\s*,\s*)+(\d{1,19}L?\s*)?)?\)")


@dataclass(frozen=True)
class Header:
    """What a header says, and where it ends: there the values begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool
    end: int

    @property
    def n_bytes(self) -> int:
        """The size of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def n_columns(self) -> int:
        """How many values a row has, all axes but the first together."""
        return math.prod(self.shape[1:])


def read_header(file: IO[bytes], size: int) -> Header:
    """Read the header of a .npy file and compare it with the file's size.

    Parameters
    ----------
    file : binary file, at its start; afterwards at the first value
    size : how many bytes header and values have

    Raises
    ------
    ValueError
        If it is no header of a plain array, or its values do not take what is left of the file.
    """
    start = file.read(8)
    if start[:6] != MAGIC:
        raise ValueError(f"it must start with {MAGIC!r}; got {quoted(start[:6])}")
    width = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(start[6:])
    if width is None:
        raise ValueError(f"its format version must be 1.0, 2.0 or 3.0; got {quoted(start[6:])}")
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER:
        raise ValueError(f"its header must have at most {_MAX_HEADER:,} bytes; got {length:,}")
    text = file.read(length)
    if len(text) < length:
        raise ValueError(f"its header ends early: {len(text):,} of {length:,} bytes")
    header = _parsed(text.decode("latin-1"), 8 + width + length)  # only ASCII is taken
    found = size - header.end
    if found != header.n_bytes:
        raise ValueError(
            f"it holds {found:,} bytes of values; its header announces {header.n_bytes:,}"
        )
    return header


def _parsed(text: str, end: int) -> Header:
    """The header that a text stands for; it ends at the byte `end` of the file."""
    entries: dict[str, str] = {}
    place = 1
    while (found := _ENTRY.match(text, place)) and found["name"] not in entries:
        entries[found["name"]] = found["value"]
        place = found.end()
    rest = text[place:].strip()
    if text[:1] != "{" or rest != "}" or len(entries) != 3:
        raise ValueError(f"its header must say descr, fortran_order and shape; got {quoted(text)}")
    order = entries["fortran_order"]
    if order not in ("True", "False"):
        raise ValueError(f"fortran_order must be True or False; got {quoted(order)}")
    return Header(_dtype(entries["descr"]), _shape(entries["shape"]), order == "True", end)


def _dtype(text: str) -> np.dtype[Any]:
    if text.startswith("["):
        raise ValueError(f"it holds records, {quoted(text)}; expected numbers")
    name = text[1:-1]
    if not _DTYPE.fullmatch(name):
        raise ValueError(f"descr must name a type of numbers; got {quoted(name)}")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"descr must name a type of numbers; got {quoted(name)}") from None
    if dtype.hasobject:
        raise ValueError(
            "it holds Python objects; expected numbers (or labels as texts: y.astype(str))"
        )
    return dtype


def _shape(text: str) -> tuple[int, ...]:
    if not _SHAPE.fullmatch(text):
        raise ValueError(f"shape must be a tuple of sizes; got {quoted(text)}")
    shape = tuple(int(size) for size in re.findall(r"\d+", text))
    if len(shape) > _MAX_AXES:
        raise ValueError(f"shape must have at most {_MAX_AXES} axes; got {len(shape)}")
    if math.prod(max(size, 1) for size in shape) > _MAX_BYTES:
        raise ValueError(f"shape must be that of an array that can be; got {quoted(text)}")
    return shape
