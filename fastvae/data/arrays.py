"""The user's own rows: arrays in memory, .npy and .npz files, checked and never unpickled."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64] | None
Split = tuple[Array, Labels, Array, Labels]

_NAMES = {
    "train": ("train", "x_train"),
    "train_labels": ("train_labels", "y_train"),
    "test": ("test", "x_test"),
    "test_labels": ("test_labels", "y_test"),
}


def from_array(data: Array, what: str = "array") -> Split:
    """Return an array as training rows, with no labels and no test rows.

    Parameters
    ----------
    data : (n, ...) array of real numbers, n >= 1; axes after the first are flattened
    what : name of the array in error messages

    Returns
    -------
    train, train_labels, test, test_labels : (n, n_features) array, None, (0, n_features), None

    Raises
    ------
    ValueError
        Where the array is not rows of real numbers.
    """
    rows = _as_rows(data, what)
    return rows, None, rows[:0], None


def read_array_file(path: Path) -> Split:
    """Read a .npy or .npz file of rows; see `Dataset` for the names in an archive.

    Parameters
    ----------
    path : path of the file; a .npy file is memory-mapped, not read

    Returns
    -------
    train, train_labels, test, test_labels
        (n, n_features), (n,) int64 or None, (m, n_features) with m = 0 where there are no test
        rows, (m,) int64 or None

    Raises
    ------
    ValueError
        Where the file is truncated, corrupt or of another format, holds Python objects, lacks
        training rows, or its arrays do not match one another.
    OSError
        Where it cannot be opened or read.
    """
    if path.suffix == ".npy":
        return from_array(_map(path), str(path))
    arrays = _read_archive(path)
    chosen = {role: _only_one(path, arrays, names) for role, names in _NAMES.items()}
    if chosen["train"] is None and len(arrays) == 1:
        (chosen["train"],) = arrays.values()
    if chosen["train"] is None:
        raise ValueError(
            f"{path} must hold an array named train or x_train, or a single array; "
            f"it holds {', '.join(arrays) or 'nothing'}"
        )
    train = _as_rows(chosen["train"], f"train of {path}")
    test = train[:0] if chosen["test"] is None else _as_rows(chosen["test"], f"test of {path}")
    if test.shape[1] != train.shape[1]:
        raise ValueError(
            f"{path}: test must have the {train.shape[1]:,} columns of train; "
            f"got shape {test.shape}"
        )
    return (
        train,
        _as_labels(chosen["train_labels"], len(train), f"train_labels of {path}"),
        test,
        _as_labels(chosen["test_labels"], len(test), f"test_labels of {path}"),
    )


def _map(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size, str(path))
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a sound .npy file: {error}") from error
    return array


def _read_archive(path: Path) -> dict[str, Array]:
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    _check_header(file, member.file_size, member.filename)
                with archive.open(member) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                arrays[member.filename.removesuffix(".npy")] = array
    # NotImplementedError: a compression or a feature that zipfile does not know.
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path} is not a sound .npz file: {error}") from error
    return arrays


def _check_header(file: IO[bytes], file_size: int, what: str) -> None:
    """Refuse a header that promises other than what the file holds, before it costs memory."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"{what} has format version {version}; expected (1, 0) or (2, 0)")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{what} holds Python objects; expected numbers")
    expected = math.prod(shape) * dtype.itemsize
    found = file_size - file.tell()
    if found != expected:
        raise ValueError(
            f"{what} holds {found:,} bytes of values; its header announces {expected:,}"
        )


def _only_one(path: Path, arrays: dict[str, Array], names: tuple[str, ...]) -> Array | None:
    present = [name for name in names if name in arrays]
    if len(present) > 1:
        raise ValueError(f"{path} holds both {' and '.join(present)}; expected one of them")
    return arrays[present[0]] if present else None


def _as_rows(data: Array, what: str) -> Array:
    if data.dtype.kind not in "buif":
        raise ValueError(f"{what} must hold real numbers; got dtype {data.dtype}")
    if data.ndim < 2 or data.size == 0:
        raise ValueError(
            f"{what} must have shape (n, n_features) or (n, ...) and not be empty; "
            f"got shape {data.shape}"
        )
    return data if data.ndim == 2 else data.reshape(len(data), -1)


def _as_labels(labels: Array | None, n: int, what: str) -> Labels:
    if labels is None:
        return None
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{what} must be {n:,} integers, one for each row; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return labels.astype(np.int64)
