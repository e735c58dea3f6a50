"""Dataset: images and labels for training and test, from a name, a file or an array."""

import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastvae import checks
from fastvae.checks.quoting import quoted
from fastvae.checks.scales import warn_if_binary
from fastvae.data.arrays import from_array, read_array_file
from fastvae.data.csv_tables import read_table
from fastvae.data.download import fetch
from fastvae.data.idx import read_labelled
from fastvae.data.idx_files import has_idx_pair, is_idx_name, read_folder_of_pairs, read_pair
from fastvae.data.image_folders import read_folder
from fastvae.data.published import EMNIST_SPLITS, SOURCES, known_name, simple
from fastvae.data.sources import DataUnavailable, advice, locate
from fastvae.data.splits import Split
from fastvae.data.synthetic import TEST_FIRST, synthetic_digits
from fastvae.files.kinds import but_found
from fastvae.files.reading import open_file
from fastvae.kernels import STREAM_DATASET, permutation, uniform

Array = npt.NDArray[Any]
Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64] | None]

SYNTHETIC = "synthetic_digits"
NAMES = (*sorted(SOURCES), SYNTHETIC)
"""The names that `Dataset` knows."""

_SYNTHETIC_SIZES = 60_000, 10_000


@checks.public
class Dataset:
    """Training and test rows with their labels.

    Parameters
    ----------
    name : what to load
        - "mnist", "fashion_mnist", "kmnist" or "qmnist": taken from `data_dir`, or else from the
          folder that ``$FASTVAE_DATA`` names; where no folder is named, from the user's cache,
          else downloaded. "emnist_letters", "emnist_balanced", "emnist_byclass",
          "emnist_bymerge", "emnist_digits" and "emnist_mnist" likewise, but not downloaded; their
          images are turned upright. Names may have dashes and capitals: "EMNIST-letters";
        - "synthetic_digits": drawn by `fastvae.data.synthetic_digits`, 60,000 training and
          10,000 test images unless other sizes are given;
        - the path of a .npy file, which is memory-mapped and holds training rows, or of a .npz
          file with the arrays `train`, `test`, `train_labels`, `test_labels` or `x_train`,
          `x_test`, `y_train`, `y_test` (Keras) or `train_images`, `test_images` (MedMNIST); all
          but the first may be missing; an archive of a single array, or of `X` and `y`, holds
          training rows;
        - the path of a table of numbers, .csv or .tsv, also .gz: a row a line, with a header or
          without; a column named `label`, `labels`, `class` or `target` holds labels; empty cells
          are NaN. Square pictures of whole numbers from 0 to 255 become uint8, and what stands
          before them without a header is a label; all else is float64;
        - the path of an IDX file of images, `...train-images-idx3-ubyte`, also .gz; its labels
          and the test pair are taken from beside it; or of a folder that holds such files;
        - the path of a folder of pictures (PNG, JPEG, BMP, PGM, PPM) of one size, which become
          grey; in folders that are named after their classes, and those in `train` and `test`;
        - an array of training rows. Further axes, as in (n, 28, 28), are flattened. DataFrames
          (pandas, polars), CPU tensors and masked arrays are taken too, unless a value is
          missing or masked.
    train_size, test_size : number of rows to take, from the first on; None takes all
    batch_size : rows of the batches that `batches` yields
    seed : of the order of the batches and the draws of test rows, and of the synthetic digits
    data_dir : folder that holds a known data set; see `fastvae.data.locate`
    download : whether a known data set that is not on disk may be downloaded

    Attributes
    ----------
    name : str
        The name of a known data set, the path of a file, or "array".
    train : (n_train, n_features) array
        uint8 where it holds pixels (0 to 255); the user's own arrays keep their type.
    train_labels : (n_train,) int64 array or None
    test : (n_test, n_features) array
        Of shape (0, n_features) where there are no test rows.
    test_labels : (n_test,) int64 array or None
    label_names : dict of int to str, or None
        What labels stand for, where that is not the label itself: classes of folders, texts in a
        column of labels, the characters of EMNIST.
    feature_names : list of str, or None
        What the header of a table calls its columns, without that of labels.
    batch_size, seed : int

    Raises
    ------
    ValueError
        For an unknown name, a size that is not positive or more than there is, arrays that are
        not rows of real numbers, labels that do not match, and files that are truncated, corrupt
        or mislabelled (`IDXError` and `MislabelledData` are ValueErrors).
    DataUnavailable
        Where no folder is named, and a known data set is not in the cache and cannot, or may not,
        be downloaded; the message says where the four files may be put. It is a FileNotFoundError.
    FileNotFoundError, NotADirectoryError
        Where the folder that is named does not hold the data set, or is none.
    OSError
        Where a file cannot be read.
    TypeError
        Where a size or the seed is not an integer.
    """

    def __init__(
        self,
        name: str | os.PathLike[str] | npt.ArrayLike = "mnist",
        train_size: int | None = None,
        test_size: int | None = None,
        batch_size: int = 1,
        seed: int = 0,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        download: bool = True,
    ) -> None:
        train_size = None if train_size is None else _positive("train_size", train_size)
        test_size = None if test_size is None else _positive("test_size", test_size)
        self.batch_size = _positive("batch_size", batch_size)
        self.seed = checks.seed(seed)
        if isinstance(name, str) and simple(name) == simple(SYNTHETIC):
            self.name, split = SYNTHETIC, _synthetic(train_size, test_size, self.seed)
        else:
            self.name, split = _load(name, data_dir, download)
        self.train, self.train_labels = _first("train_size", train_size, self.name, *split[:2])
        self.test, self.test_labels = _first("test_size", test_size, self.name, *split[2:4])
        self.label_names, self.feature_names = split.label_names, split.feature_names
        self._passes = 0

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}: {len(self.train):,} training and {len(self.test):,} test "
            f"rows of {self.train.shape[1]:,} {self.train.dtype}, batch_size={self.batch_size})"
        )

    def batches(self) -> Iterator[tuple[Pair, Pair, int]]:
        """Return an iterator over one pass: every training row once, in a new order.

        Each call continues the data set's random stream: the p-th call on a data set yields the
        p-th order of its seed.

        Yields
        ------
        train : (inputs, labels)
            The batch's training rows. inputs: (b, n_features) float32, uint8 pixels divided by
            255; labels: (b,) int64, or None where there are none.
        test : (inputs, labels)
            As many test rows, drawn at random with replacement; inputs of shape (0, n_features)
            and labels None where the data set has no test rows.
        b : int
            Number of rows: the batch size, for the last batch what is left.
        """
        for rows, name in ((self.train, "train"), (self.test, "test")):
            if rows.dtype == np.uint8:
                warn_if_binary(rows, name)
        step = self._passes
        self._passes += 1
        return self._pass(step)

    def _pass(self, step: int) -> Iterator[tuple[Pair, Pair, int]]:
        n_train, n_test = len(self.train), len(self.test)
        order = np.empty(n_train, np.int64)
        permutation(order, self.seed, STREAM_DATASET, 2 * step)
        drawn = np.empty(n_train if n_test else 0)
        uniform(drawn, self.seed, STREAM_DATASET, 2 * step + 1)
        for start in range(0, n_train, self.batch_size):
            batch = slice(start, start + self.batch_size)
            test_rows = (drawn[batch] * n_test).astype(np.int64)
            yield (
                _pair(self.train, self.train_labels, order[batch]),
                _pair(self.test, self.test_labels, test_rows),
                len(order[batch]),
            )


def _pair(data: Array, labels: npt.NDArray[np.int64] | None, rows: npt.NDArray[np.int64]) -> Pair:
    return checks.as_floats(np.asarray(data[rows])), None if labels is None else labels[rows]


def _load(
    name: str | os.PathLike[str] | npt.ArrayLike,
    data_dir: str | os.PathLike[str] | None,
    download: bool,
) -> tuple[str, Split]:
    """Load all rows of a known data set, a file or an array; return their name, too."""
    known = known_name(name) if isinstance(name, str) else None
    if known is not None:
        return known, _known(known, data_dir, download)
    if isinstance(name, (str, os.PathLike)):
        return _path_name(Path(name)), _read(name)
    try:
        return "array", from_array(checks.as_array(name, "array"))
    except TypeError as error:
        raise ValueError(str(error)) from error


def _path_name(path: Path) -> str:
    """The path as a name, which must not be that of a known data set: ./mnist, not mnist."""
    is_known = known_name(str(path)) is not None or simple(str(path)) == simple(SYNTHETIC)
    return os.path.join(os.curdir, path) if is_known else str(path)


def _known(name: str, data_dir: str | os.PathLike[str] | None, download: bool) -> Split:
    files = fetch(name, data_dir) if download else locate(name, data_dir)
    if files is None:
        raise DataUnavailable(f"{name} is not on disk:\n{advice(name)}")
    source, turned = SOURCES[name], SOURCES[name].is_transposed
    return Split(
        *read_labelled(files["train_images"], files["train_labels"], is_transposed=turned),
        *read_labelled(files["test_images"], files["test_labels"], is_transposed=turned),
        None if source.label_names is None else dict(source.label_names),
    )


def _read(name: str | os.PathLike[str]) -> Split:
    """Read a file or a folder by what its name says that it is."""
    path = Path(name)
    if os.fspath(name) and os.path.isdir(path):
        return read_folder_of_pairs(path) if has_idx_pair(path) else read_folder(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return read_array_file(path)
    if path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
        return read_table(path)
    found = _but_is(os.fspath(name))
    if is_idx_name(path) or "an IDX file" in found:
        return read_pair(path)
    splits = ""
    if simple(path.name) == "emnist":
        splits = f" (emnist is one of these, by its splits: {', '.join(EMNIST_SPLITS)})"
    raise ValueError(
        f"unknown data set {quoted(os.fspath(name), 200)}; known: {', '.join(NAMES)}{splits}, "
        "or the path of a .npy, .npz, .csv, .tsv or IDX file, or of a folder of pictures, or an "
        f"array{found}{'' if splits else checks.did_you_mean(os.fspath(path), NAMES)}"
    )


def _but_is(path: str) -> str:
    """What the file of a path is, if there is one and it can be told; to be added to an error."""
    try:
        with open_file(path) as file:
            return but_found(file)
    except FileNotFoundError:
        is_path = os.path.dirname(path) or Path(path).suffix
        return "; there is no such file or folder" if is_path else ""
    except ValueError as error:  # a pipe, a device
        return f"; {error}" if os.path.exists(path) else ""
    except OSError:
        return ""


def _synthetic(train_size: int | None, test_size: int | None, seed: int) -> Split:
    train = synthetic_digits(train_size or _SYNTHETIC_SIZES[0], seed)
    test = synthetic_digits(test_size or _SYNTHETIC_SIZES[1], seed, first=TEST_FIRST)
    return Split(train.images, train.labels, test.images, test.labels)


def _positive(what: str, size: int) -> int:
    size = operator.index(size)
    if size < 1:
        raise ValueError(f"{what} must be at least 1; got {size}")
    return size


def _first(
    what: str,
    size: int | None,
    name: str,
    rows: Array,
    labels: npt.NDArray[np.int64] | None,
) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """Return the first `size` rows and labels, as views."""
    if size is None:
        return rows, labels
    if size > len(rows):
        raise ValueError(f"{what} must be at most {len(rows):,}, all rows of {name}; got {size:,}")
    return rows[:size], None if labels is None else labels[:size]
