"""Reader of IDX files, the format in which MNIST and its relatives are published.

An IDX file is four bytes (0, 0, type code, number of axes), one big-endian 32-bit size per axis,
then the values in C order. The format is described at the end of Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits". Only unsigned bytes are read here;
all images and labels of the known data sets are stored as such.
"""

import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable
from fastvae.files.kinds import START, kind_of
from fastvae.files.reading import open_file, read_values, size_of

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_TYPES = {
    0x08: "unsigned byte",
    0x09: "signed byte",
    0x0B: "16-bit integer",
    0x0C: "32-bit integer",
    0x0D: "float32",
    0x0E: "float64",
}
_MAX_AXES = 32
_MAX_EMPTY = 2**62
_CHUNK = 1 << 20
_COMPRESSED_CHUNK = 1 << 14


class IDXError(ValueError):
    """A file is not the IDX file that it should be; the message names file and fault."""


def read_idx(path: str | os.PathLike[str], ndim: int | None = None) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or compressed with gzip.

    The file is read strictly: its length must be exactly what its header says, and no more than
    that is decompressed. Memory is taken as data arrives, so that a header with absurd sizes costs
    nothing.

    Parameters
    ----------
    path : path of the file; whether it is compressed is read from its first bytes
    ndim : number of axes that the file must have; None accepts any

    Returns
    -------
    uint8 array of the shape in the header

    Raises
    ------
    IDXError
        Where the file is not an IDX file, holds another type or number of axes, is truncated, has
        bytes left over, or its compression is corrupt.
    ValueError
        Where it is a pipe, a device or a socket.
    OSError
        Where it cannot be opened or read.
    MemoryError
        Where there is no memory for it; the message says the size.
    """
    path = Path(path)
    name = printable(str(path))
    with open_file(path) as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        try:
            return _read_compressed(file, path, ndim) if compressed else _read(file, path, ndim)
        except EOFError as error:
            raise IDXError(f"{name} is truncated: the gzip data ends early") from error
        except zlib.error as error:
            raise IDXError(f"{name} is corrupt: {error}") from error
        except MemoryError as error:
            raise MemoryError(
                f"there is no memory for the {size_of(file):,} bytes of {name}: {error}"
            ) from error


def read_images(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read the images of an IDX file as rows.

    Parameters
    ----------
    path : path of an IDX file with three axes: image, row, column

    Returns
    -------
    (n, rows * columns) uint8

    Raises
    ------
    IDXError, OSError
        As `read_idx`.
    """
    images = read_idx(path, ndim=3)
    return images.reshape(len(images), math.prod(images.shape[1:]))


def read_labelled(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read a file of images and the file of their labels.

    Parameters
    ----------
    images : path of an IDX file with three axes
    labels : path of an IDX file with one axis, as long as the other's first

    Returns
    -------
    rows : (n, rows * columns) uint8
    labels : (n,) int64

    Raises
    ------
    IDXError
        As `read_idx`, and where the two files differ in their number of items.
    OSError
        As `read_idx`.
    """
    rows = read_images(images)
    targets = read_idx(labels, ndim=1).astype(np.int64)
    if len(rows) != len(targets):
        raise IDXError(
            f"{images} holds {len(rows):,} images, but {labels} holds {len(targets):,} labels: "
            "expected as many labels as images"
        )
    return rows, targets


class _Stream(Protocol):
    def read(self, n: int, /) -> bytes: ...


class _Decompressed:
    """What is in a gzip file, piece by piece; zlib verifies the checksums.

    The module `gzip` reads names and padding byte by byte, which takes an hour where they are long.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._input = file, b""
        self._member = zlib.decompressobj(zlib.MAX_WBITS + 16)

    def read(self, n: int) -> bytes:
        """Return at most `n` bytes, and none at the end of the last member."""
        while True:
            given = self._input or self._file.read(_COMPRESSED_CHUNK)
            if self._member.eof:
                if not given:
                    return b""
                self._input = given = given.lstrip(b"\0")  # padding, as tapes and tools leave it
                if not given:
                    continue
                self._member = zlib.decompressobj(zlib.MAX_WBITS + 16)
            found = self._member.decompress(given, n)
            self._input = self._member.unconsumed_tail or self._member.unused_data
            if found:
                return found
            if not given and not self._member.eof:
                raise EOFError


def _read(file: BinaryIO, path: Path, ndim: int | None) -> npt.NDArray[np.uint8]:
    """Read header and values of a plain file."""
    shape = _read_header(file, path, ndim)
    n_values = size_of(file) - 4 - 4 * len(shape)
    if n_values != math.prod(shape):
        raise _wrong_size(path, shape, n_values)
    return read_values(file, shape, np.dtype(np.uint8))


def _read_compressed(file: BinaryIO, path: Path, ndim: int | None) -> npt.NDArray[np.uint8]:
    """Read header and values of a compressed file."""
    stream = _Decompressed(file)
    shape = _read_header(stream, path, ndim)
    expected = math.prod(shape)
    values = bytearray()
    while len(values) < expected:
        chunk = stream.read(min(_CHUNK, expected - len(values)))
        if not chunk:
            raise _wrong_size(path, shape, len(values))
        values += chunk
    if stream.read(1):  # at the end the checksum has been verified
        raise _wrong_size(path, shape, None)
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_exactly(stream: _Stream, n: int) -> bytes:
    """Read `n` bytes, fewer where there are no more."""
    found = b""
    while len(found) < n and (chunk := stream.read(n - len(found))):
        found += chunk
    return found


def _read_header(stream: _Stream, path: Path, ndim: int | None) -> tuple[int, ...]:
    """Read the type code and the sizes; return the shape."""
    magic = _read_exactly(stream, 4)
    name = printable(str(path))
    if len(magic) < 4:
        raise IDXError(f"{name} is truncated: {len(magic)} bytes, an IDX header has at least 4")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        kind = kind_of(magic + _read_exactly(stream, START - len(magic)))
        raise IDXError(
            f"{name} is not an IDX file: it starts with {magic.hex(' ')}, "
            "expected 00 00 08 and the number of axes" + (f"; it is {kind}" if kind else "")
        )
    if magic[2] != _UNSIGNED_BYTE:
        raise IDXError(
            f"{name} holds type 0x{magic[2]:02x} ({_TYPES[magic[2]]}); "
            "expected 0x08 (unsigned byte)"
        )
    axes = magic[3]
    if not 1 <= axes <= _MAX_AXES or (ndim is not None and axes != ndim):
        kinds = {1: " (labels)", 3: " (images)"}
        expected = f"1 to {_MAX_AXES}" if ndim is None else f"{ndim}{kinds.get(ndim, '')}"
        raise IDXError(f"{name} has {axes} axes{kinds.get(axes, '')}; expected {expected}")
    sizes = _read_exactly(stream, 4 * axes)
    if len(sizes) < 4 * axes:
        raise IDXError(
            f"{name} is truncated: {len(sizes)} bytes of sizes, {axes} axes need {4 * axes}"
        )
    shape = struct.unpack(f">{axes}I", sizes)
    if 0 in shape and math.prod(max(size, 1) for size in shape) > _MAX_EMPTY:
        raise IDXError(f"{name} holds nothing, of a shape that no array can have: {shape}")
    return shape


def _wrong_size(path: Path, shape: tuple[int, ...], found: int | None) -> IDXError:
    """The error for a number of values that is not the header's; None: for more than that."""
    expected = math.prod(shape)
    fault = "is truncated" if found is not None and found < expected else "has bytes left over"
    sizes = " x ".join(f"{size:,}" for size in shape)
    held = "more" if found is None else f"{found:,}"
    return IDXError(
        f"{printable(str(path))} {fault}: its header announces {sizes} = {expected:,} values, "
        f"found {held}"
    )
