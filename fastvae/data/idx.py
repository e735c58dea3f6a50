"""Reader of IDX files, the format in which MNIST and its relatives are published.

An IDX file is four bytes (0, 0, type code, number of axes), one big-endian 32-bit size per axis,
then the values in C order. The format is described at the end of Y. LeCun, C. Cortes and
C. J. C. Burges, "The MNIST database of handwritten digits". Images and labels are unsigned
bytes in nearly all files; the labels of QMNIST are integers of 32 bits, in rows of 8 whose first is
the class.
"""

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable
from fastvae.data.gzipped import MAGIC, MAX_RATIO, Decompressed, Stream
from fastvae.data.splits import whole
from fastvae.files.kinds import START, kind_of
from fastvae.files.reading import open_file, read_values, size_of

_TYPES = {
    0x08: ("unsigned byte", "u1"),
    0x09: ("signed byte", ">i1"),
    0x0B: ("16-bit integer", ">i2"),
    0x0C: ("32-bit integer", ">i4"),
    0x0D: ("float32", ">f4"),
    0x0E: ("float64", ">f8"),
}
_QMNIST_COLUMNS = 8

Kind = Literal["pixels", "integers", "numbers"]
_KINDS: dict[Kind, tuple[tuple[int, ...], str]] = {
    "pixels": ((0x08,), "0x08 (unsigned byte)"),
    "integers": ((0x08, 0x09, 0x0B, 0x0C), "integers"),
    "numbers": (tuple(_TYPES), "numbers"),
}
_MAX_AXES = 32
_MAX_EMPTY = 2**62
_CHUNK = 1 << 20
_FREE = 16 << 20  # bytes that may be decompressed of a file that cannot be what its header says


class IDXError(ValueError):
    """A file is not the IDX file that it should be; the message names file and fault."""


def read_idx(
    path: str | os.PathLike[str], ndim: int | tuple[int, ...] = (), kind: Kind = "pixels"
) -> npt.NDArray[Any]:
    """Read an IDX file, plain or compressed with gzip.

    The file is read strictly: its length must be exactly what its header says, and no more than
    that is decompressed. Memory is taken as data arrives, so that a header with absurd sizes costs
    nothing.

    Parameters
    ----------
    path : path of the file; whether it is compressed is read from its first bytes
    ndim : number of axes that the file must have, or several such numbers; none accepts any
    kind : which types it may hold: unsigned bytes alone, all integers or all numbers

    Returns
    -------
    array of the shape in the header, in the processor's byte order

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
    axes = (ndim,) if isinstance(ndim, int) else ndim
    with open_file(path) as file:
        compressed = file.read(2) == MAGIC
        file.seek(0)
        read = _read_compressed if compressed else _read
        try:
            return _native(read(file, path, axes, kind))
        except EOFError as error:
            raise IDXError(f"{name} is truncated: the gzip data ends early") from error
        except zlib.error as error:
            raise IDXError(f"{name} is corrupt: {error}") from error
        except MemoryError as error:
            raise MemoryError(
                f"there is no memory for the {size_of(file):,} bytes of {name}: {error}"
            ) from error


def read_images(
    path: str | os.PathLike[str], *, is_transposed: bool = False
) -> npt.NDArray[np.uint8]:
    """Read the images of an IDX file as rows.

    Parameters
    ----------
    path : path of an IDX file with three axes: image, row, column
    is_transposed : whether the file holds the images with their columns as rows

    Returns
    -------
    (n, rows * columns) uint8

    Raises
    ------
    IDXError, OSError
        As `read_idx`.
    """
    images = read_idx(path, ndim=3)
    if is_transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return images.reshape(len(images), math.prod(images.shape[1:]))


def read_labels(path: str | os.PathLike[str]) -> npt.NDArray[np.int64]:
    """Read the labels of an IDX file of whole numbers.

    Parameters
    ----------
    path : path of an IDX file with one axis, or with two: rows of one number, or of the eight that
        QMNIST has for each image, of which the first is the label

    Returns
    -------
    (n,) int64

    Raises
    ------
    IDXError, OSError
        As `read_idx`.
    """
    labels = read_idx(path, (1, 2), "numbers")
    if labels.ndim == 2:
        if labels.shape[1] not in (1, _QMNIST_COLUMNS):
            raise IDXError(
                f"{printable(str(path))} holds rows of {labels.shape[1]:,} labels; expected one "
                f"label, or the {_QMNIST_COLUMNS} numbers of QMNIST"
            )
        labels = labels[:, 0]
    try:
        return whole(labels, f"labels of {printable(str(path))}")
    except ValueError as error:
        raise IDXError(str(error)) from None


def read_labelled(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    is_transposed: bool = False,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read a file of images and the file of their labels.

    Parameters
    ----------
    images : path of an IDX file with three axes
    labels : path of the IDX file of labels, as many as the other has images
    is_transposed : as for `read_images`

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
    rows = read_images(images, is_transposed=is_transposed)
    targets = read_labels(labels)
    check_number(rows, targets, images, labels)
    return rows, targets


def check_number(
    rows: npt.NDArray[Any],
    targets: npt.NDArray[np.int64],
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
) -> None:
    """Raise an IDXError unless the files of these names hold as many labels as images."""
    if len(rows) != len(targets):
        raise IDXError(
            f"{printable(str(images))} holds {len(rows):,} images, but {printable(str(labels))} "
            f"holds {len(targets):,} labels: expected as many labels as images"
        )


def _read(file: BinaryIO, path: Path, axes: tuple[int, ...], kind: Kind) -> npt.NDArray[Any]:
    """Read header and values of a plain file."""
    dtype, shape = _read_header(file, path, axes, kind)
    n_bytes = size_of(file) - 4 - 4 * len(shape)
    if n_bytes != math.prod(shape) * dtype.itemsize:
        raise _wrong_size(path, dtype, shape, n_bytes)
    return read_values(file, shape, dtype)


def _read_compressed(
    file: BinaryIO, path: Path, axes: tuple[int, ...], kind: Kind
) -> npt.NDArray[Any]:
    """Read header and values of a compressed file."""
    stream = Decompressed(file)
    dtype, shape = _read_header(stream, path, axes, kind)
    expected = math.prod(shape) * dtype.itemsize
    if expected > MAX_RATIO * size_of(file) > _FREE:  # of a small file it is said what it holds
        raise _wrong_size(path, dtype, shape, f"a gzip file of {size_of(file):,}")
    values = bytearray()
    while len(values) < expected:
        chunk = stream.read(min(_CHUNK, expected - len(values)))
        if not chunk:
            raise _wrong_size(path, dtype, shape, len(values))
        values += chunk
    if stream.read(1):  # at the end the checksum has been verified
        raise _wrong_size(path, dtype, shape, None)
    return np.frombuffer(values, dtype).reshape(shape)


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values in the processor's byte order, turned round where they are."""
    if values.dtype.isnative:
        return values
    return values.byteswap(inplace=True).view(values.dtype.newbyteorder())


def _read_exactly(stream: Stream, n: int) -> bytes:
    """Read `n` bytes, fewer where there are no more."""
    found = b""
    while len(found) < n and (chunk := stream.read(n - len(found))):
        found += chunk
    return found


def _read_header(
    stream: Stream, path: Path, axes: tuple[int, ...], kind: Kind
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the type code and the sizes; return dtype and shape."""
    magic = _read_exactly(stream, 4)
    name = printable(str(path))
    if len(magic) < 4:
        raise IDXError(f"{name} is truncated: {len(magic)} bytes, an IDX header has at least 4")
    if magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        found = kind_of(magic + _read_exactly(stream, START - len(magic)))
        raise IDXError(
            f"{name} is not an IDX file: it starts with {magic.hex(' ')}, "
            "expected 00 00 08 and the number of axes" + (f"; it is {found}" if found else "")
        )
    type_name, dtype = _TYPES[magic[2]]
    types, wanted = _KINDS[kind]
    if magic[2] not in types:
        raise IDXError(f"{name} holds type 0x{magic[2]:02x} ({type_name}); expected {wanted}")
    n_axes = magic[3]
    if not 1 <= n_axes <= _MAX_AXES or (axes and n_axes not in axes):
        kinds = {1: " (labels)", 3: " (images)"}
        listed = " or ".join(f"{n}{kinds.get(n, '')}" for n in axes) or f"1 to {_MAX_AXES}"
        raise IDXError(f"{name} has {n_axes} axes{kinds.get(n_axes, '')}; expected {listed}")
    sizes = _read_exactly(stream, 4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise IDXError(
            f"{name} is truncated: {len(sizes)} bytes of sizes, {n_axes} axes need {4 * n_axes}"
        )
    shape = struct.unpack(f">{n_axes}I", sizes)
    if 0 in shape and math.prod(max(size, 1) for size in shape) > _MAX_EMPTY:
        raise IDXError(f"{name} holds nothing, of a shape that no array can have: {shape}")
    return np.dtype(dtype), shape


def _wrong_size(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], found: int | str | None
) -> IDXError:
    """The error for a number of bytes that is not the header's.

    None: for more than that; a text: for a file that is too small for it.
    """
    n_values, width = math.prod(shape), dtype.itemsize
    is_short = isinstance(found, str) or (found is not None and found < n_values * width)
    fault = "is truncated" if is_short else "has bytes left over"
    sizes = " x ".join(f"{size:,}" for size in shape)
    held = f"{found:,}{' bytes' * (width > 1)}" if isinstance(found, int) else found or "more"
    of_bytes = f" of {width} bytes" * (width > 1)
    return IDXError(
        f"{printable(str(path))} {fault}: its header announces {sizes} = {n_values:,} values"
        f"{of_bytes}, found {held}"
    )
