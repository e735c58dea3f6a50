"""Reader of IDX files, the format in which MNIST and its relatives are published.

An IDX file is four bytes (0, 0, type code, number of axes), one big-endian 32-bit size per axis,
then the values in C order. The format is described at the end of Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits". Only unsigned bytes are read here;
all images and labels of the known data sets are stored as such.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

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
_CHUNK = 1 << 20


class IDXError(ValueError):
    """A file is not the IDX file that it should be; the message names file and fault."""


def read_idx(path: str | os.PathLike[str], ndim: int | None = None) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or compressed with gzip.

    The file is read strictly: its length must be exactly what its header says. Memory is taken
    as data arrives, so that a header with absurd sizes costs nothing.

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
    OSError
        Where it cannot be opened or read.
    """
    path = Path(path)
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return _read(file, path, ndim, file_size=os.fstat(file.fileno()).st_size)
        try:
            with gzip.open(file) as stream:
                return _read(cast(BinaryIO, stream), path, ndim)
        except EOFError as error:
            raise IDXError(f"{path} is truncated: the gzip data ends early") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise IDXError(f"{path} is corrupt: {error}") from error


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


def _read(
    stream: BinaryIO, path: Path, ndim: int | None, file_size: int | None = None
) -> npt.NDArray[np.uint8]:
    """Read header and values from a stream of decompressed bytes."""
    shape = _read_header(stream, path, ndim)
    expected = math.prod(shape)
    header_size = 4 + 4 * len(shape)
    if file_size is not None and file_size - header_size != expected:
        raise _wrong_size(path, shape, file_size - header_size)
    values = bytearray()
    while len(values) < expected:
        chunk = stream.read(min(_CHUNK, expected - len(values)))
        if not chunk:
            raise _wrong_size(path, shape, len(values))
        values += chunk
    left_over = 0
    # Reading to the end also makes the gzip module verify the checksum behind the data.
    while chunk := stream.read(_CHUNK):
        left_over += len(chunk)
    if left_over:
        raise _wrong_size(path, shape, expected + left_over)
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_header(stream: BinaryIO, path: Path, ndim: int | None) -> tuple[int, ...]:
    """Read the type code and the sizes; return the shape."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise IDXError(f"{path} is truncated: {len(magic)} bytes, an IDX header has at least 4")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise IDXError(
            f"{path} is not an IDX file: it starts with {magic.hex(' ')}, "
            "expected 00 00 08 and the number of axes"
        )
    if magic[2] != _UNSIGNED_BYTE:
        raise IDXError(
            f"{path} holds type 0x{magic[2]:02x} ({_TYPES[magic[2]]}); "
            "expected 0x08 (unsigned byte)"
        )
    axes = magic[3]
    if axes == 0 or (ndim is not None and axes != ndim):
        kinds = {1: " (labels)", 3: " (images)"}
        expected = "at least 1" if ndim is None else f"{ndim}{kinds.get(ndim, '')}"
        raise IDXError(f"{path} has {axes} axes{kinds.get(axes, '')}; expected {expected}")
    sizes = stream.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise IDXError(
            f"{path} is truncated: {len(sizes)} bytes of sizes, {axes} axes need {4 * axes}"
        )
    return struct.unpack(f">{axes}I", sizes)


def _wrong_size(path: Path, shape: tuple[int, ...], found: int) -> IDXError:
    expected = math.prod(shape)
    fault = "is truncated" if found < expected else "has bytes left over"
    sizes = " x ".join(f"{size:,}" for size in shape)
    return IDXError(
        f"{path} {fault}: its header announces {sizes} = {expected:,} values, found {found:,}"
    )
