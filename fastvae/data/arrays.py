"""The user's own rows: arrays in memory, .npy and .npz files, checked and never unpickled."""

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable, quoted
from fastvae.data.gzipped import MAX_RATIO
from fastvae.data.splits import Split, as_classes, rows_of_labels
from fastvae.files import npy
from fastvae.files.kinds import but_found
from fastvae.files.reading import open_file, read_values, size_of

Array = npt.NDArray[Any]

# Ours, those of Keras and of MedMNIST, in capitals or not; and those of one part alone.
_NAMES = {
    "train": ("train", "x_train", "train_images"),
    "train_labels": ("train_labels", "y_train"),
    "test": ("test", "x_test", "test_images"),
    "test_labels": ("test_labels", "y_test"),
}
_NAMES_ALONE = {"train": ("x",), "train_labels": ("y",)}
# What zipfile and zlib raise on damaged archives.
_FAULTS = (
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_N_LISTED = 20
_MAX_DIRECTORY = 4 << 20  # 40,000 arrays and more, read in less than a second
_METHODS = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MAX_RATIO}
"""How members may be compressed, and how much larger than in the archive they then can be."""


def from_array(data: Array, what: str = "array") -> Split:
    """Return an array as training rows, with no labels and no test rows.

    Parameters
    ----------
    data : (n, ...) array of real numbers, n >= 1; axes after the first are flattened
    what : name of the array in error messages

    Raises
    ------
    ValueError
        Where the array is not rows of real numbers.
    """
    rows = _as_rows(data, what)
    return Split(rows, None, rows[:0], None)


def read_array_file(path: Path) -> Split:
    """Read a .npy or .npz file of rows; see `Dataset` for the names in an archive.

    Types, shapes and sizes are checked before any value is read. Of an archive only what is asked
    for is decompressed.

    Parameters
    ----------
    path : path of the file; a .npy file is memory-mapped, not read

    Raises
    ------
    ValueError
        Where the file is truncated, corrupt or of another format, holds Python objects, lacks
        training rows, or its arrays do not match one another.
    OSError
        Where it cannot be opened or read.
    MemoryError
        Where there is no memory for what it holds; the message says the size.
    """
    with open_file(path) as file:
        if path.suffix.lower() == ".npy":
            return from_array(_map(file, path), printable(str(path)))
        return _read_archive(file, path)


def _map(file: BinaryIO, path: Path) -> Array:
    with _sound(file, path):
        header = npy.read_header(file, size_of(file))
    _check_rows(header, printable(str(path)))
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    with _sound(file, path):
        return np.memmap(file, header.dtype, "r", header.end, header.shape, order)


class _Archive:
    """An open file for `zipfile`, which reads an archive's directory in one piece, of any size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if n > _MAX_DIRECTORY:
            raise ValueError(f"its directory must have at most {_MAX_DIRECTORY:,} bytes; got {n:,}")
        return self._file.read(n)


def _read_archive(file: BinaryIO, path: Path) -> Split:
    """Read what is asked for: first all headers, then, where they fit, the values."""
    name = printable(str(path))
    with _sound(file, path):
        archive = zipfile.ZipFile(cast(IO[bytes], _Archive(file)))
    members = _members(archive, name, but_found(file, ".npz"))
    with _sound(file, path):
        headers = {
            role: _header(archive, member, size_of(file)) for role, member in members.items()
        }
    for role in ("train", "test"):
        if role in headers:
            _check_rows(headers[role], f"{role} of {name}")
            if headers[role].n_columns != headers["train"].n_columns:
                raise ValueError(
                    f"{name}: test must have the {headers['train'].n_columns:,} columns of train; "
                    f"got shape {headers['test'].shape}"
                )
        if f"{role}_labels" in headers:
            n = headers[role].shape[0] if role in headers else 0
            _check_labels(headers[f"{role}_labels"], n, f"{role}_labels of {name}")
    with _sound(file, path):
        arrays = {role: _values(archive, member) for role, member in members.items()}
    train = _as_rows(arrays["train"], f"train of {name}")
    test = _as_rows(arrays["test"], f"test of {name}") if "test" in arrays else train[:0]
    given = {
        role: rows_of_labels(arrays[f"{role}_labels"], f"{role}_labels of {name}")
        for role in ("train", "test")
        if f"{role}_labels" in arrays
    }
    labels, label_names = as_classes(given, name)
    return Split(train, labels.get("train"), test, labels.get("test"), label_names)


@contextmanager
def _sound(file: BinaryIO, path: Path) -> Iterator[None]:
    """Turn whatever a bad file makes fail inside into a ValueError that names file and reason."""
    name = printable(str(path))
    try:
        yield
    except (*_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a bad offset
            raise
        raise ValueError(
            f"{name} is not a sound {path.suffix.lower()} file: "
            f"{printable(str(error)) or type(error).__name__}{but_found(file, path.suffix.lower())}"
        ) from error
    except MemoryError as error:
        raise MemoryError(f"there is no memory for what {name} holds: {error}") from error


def _members(archive: zipfile.ZipFile, name: str, found: str) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive that are asked for, by what they are; `found`: what it is."""
    present: dict[str, list[zipfile.ZipInfo]] = {}
    for member in archive.infolist():
        present.setdefault(member.filename.removesuffix(".npy"), []).append(member)
    chosen: dict[str, list[zipfile.ZipInfo]] = {}
    for names_of in (_NAMES, _NAMES_ALONE):
        for role, names in names_of.items() if "train" not in chosen else ():
            held = [key for key in present if key.lower() in names]
            if len(held) > 1:
                listed = " and ".join(held[:_N_LISTED])
                raise ValueError(f"{name} holds both {listed}; expected one of them")
            if held:
                chosen[role] = present[held[0]]
    if "train" not in chosen and len(present) == 1:
        (chosen["train"],) = present.values()
    if "train" not in chosen:
        listed = ", ".join(map(quoted, list(present)[:_N_LISTED]))
        more = ", ..." if len(present) > _N_LISTED else ""
        raise ValueError(
            f"{name} must hold an array named train, x_train, train_images or X, or a single "
            f"array; it holds {listed or 'nothing'}{more}{found}"
        )
    for role, members in chosen.items():
        if len(members) > 1:
            raise ValueError(f"{name} holds {len(members)} arrays for {role}; expected one")
    return {role: member for role, (member,) in chosen.items()}


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, archive_size: int) -> npy.Header:
    """The header of a member whose announced sizes can be true."""
    name = quoted(member.filename)
    if member.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if member.compress_type not in _METHODS:
        raise ValueError(
            f"{name} is compressed by method {member.compress_type} of zip; expected an archive of "
            "numpy.savez or numpy.savez_compressed"
        )
    largest = _METHODS[member.compress_type] * member.compress_size
    if member.compress_size > archive_size or member.file_size > largest:
        raise ValueError(
            f"{name} cannot have the {member.file_size:,} bytes that the archive announces"
        )
    with archive.open(member) as stream:
        try:
            return npy.read_header(stream, member.file_size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _values(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """The values of a member whose header was found to be good."""
    with archive.open(member) as stream:
        header = npy.read_header(stream, member.file_size)
        shape = header.shape[::-1] if header.is_fortran else header.shape
        array = read_values(stream, shape, header.dtype)
    return array.T if header.is_fortran else array


def _check_rows(data: Array | npy.Header, what: str) -> None:
    if data.dtype.kind not in "buif":
        raise ValueError(f"{what} must hold real numbers; got dtype {data.dtype}")
    if len(data.shape) < 2 or 0 in data.shape:
        raise ValueError(
            f"{what} must have shape (n, n_features) or (n, ...) and not be empty; "
            f"got shape {data.shape}"
        )


def _as_rows(data: Array, what: str) -> Array:
    _check_rows(data, what)
    return data if data.ndim == 2 else data.reshape(len(data), -1)


def _check_labels(labels: npy.Header, n: int, what: str) -> None:
    """Raise a ValueError unless there are labels, or rows of them, for each of the `n` rows."""
    if (
        labels.shape[:1] != (n,)
        or not 1 <= len(labels.shape) <= 2
        or labels.dtype.kind not in "iubfUS"
    ):
        raise ValueError(
            f"{what} must be {n:,} integers, one for each row; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
