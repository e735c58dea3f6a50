"""IDX files by their paths: images, and beside them their labels and the test pair."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable, quoted
from fastvae.data.idx import IDXError, check_number, read_idx, read_labels
from fastvae.data.published import SOURCES, simple
from fastvae.data.splits import Split

_NAME = re.compile(
    r"(?P<stem>.*?)(?P<what>images|labels)[-_.]?idx\d?[-_.]?(ubyte|byte|short|int|float|double)?",
    re.DOTALL,
)
_PART = re.compile(r"(.*?)(train|t10k|test)", re.DOTALL)
_ENDING = re.compile(r".*[-_.](idx\d?|ubyte)", re.DOTALL)
_N_LISTED = 20


class _Named(NamedTuple):
    """What the name of an IDX file says: its set, the part of it, and whether it holds labels."""

    group: str
    part: str
    has_labels: bool


def is_idx_name(path: Path) -> bool:
    """Whether a file is named as IDX files are: `...-idx3-ubyte`, `....idx`, compressed or not."""
    return _ENDING.fullmatch(_plain(path)) is not None or _named(path) is not None


def has_idx_pair(folder: Path) -> bool:
    """Whether a folder holds IDX files of images."""
    return bool(_images(folder))


def read_pair(path: Path) -> Split:
    """Read an IDX file of images or other rows, its labels, and the test pair beside it.

    The others are told by their names, which differ from this one's in `labels` for `images` and
    in `t10k` or `test` for `train`, in capitals or not, with dashes or dots, compressed or plain.
    Files whose names begin with "emnist" hold their images transposed, which are turned upright.

    Raises
    ------
    IDXError
        As `read_idx`, and where the file holds labels, or parts do not match.
    OSError, MemoryError
        As `read_idx`.
    """
    named = _named(path)
    if named is not None and named.has_labels:
        raise IDXError(f"{printable(str(path))} is named as labels are; give the file of images")
    beside = _beside(path.parent, path)
    train, train_labels = _read(path, beside, named)
    if named is None or named.part != "train":
        return Split(train, train_labels, train[:0], None, _label_names(path))
    of_test = [key for key in beside if key.group == named.group and key.part in ("t10k", "test")]
    images = next((key for key in of_test if not key.has_labels), None)
    if images is None:
        return Split(train, train_labels, train[:0], None, _label_names(path))
    test, test_labels = _read(beside[images], beside, images)
    if test.shape[1] != train.shape[1]:
        raise IDXError(
            f"{printable(str(beside[images]))} must have the {train.shape[1]:,} pixels of "
            f"{printable(str(path))}; got {test.shape[1]:,}"
        )
    return Split(train, train_labels, test, test_labels, _label_names(path))


def read_folder_of_pairs(folder: Path) -> Split:
    """Read the training images of a folder of IDX files, and what belongs to them.

    Raises
    ------
    IDXError
        As `read_pair`, and where the folder holds several sets of images.
    OSError, MemoryError
        As `read_idx`.
    """
    images = _images(folder)
    groups = {key.group for key in images}
    if len(groups) == 1:
        for part in ("train", "", "test", "t10k"):
            for key, path in images.items():
                if key.part == part:
                    return read_pair(path)
    listed = ", ".join(quoted(path.name) for path in list(images.values())[:_N_LISTED])
    raise IDXError(
        f"{printable(str(folder))} holds the images of several data sets, {listed}: give the "
        "path of one of these files"
    )


def _read(
    path: Path, beside: dict[_Named, Path], named: _Named | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64] | None]:
    """The rows of a file of images and their labels, if there is a file of them."""
    images = read_idx(path, kind="numbers")
    name = printable(str(path))
    if images.ndim == 1:
        raise IDXError(f"{name} has 1 axes (labels); expected 2 or more (rows or images)")
    if 0 in images.shape:
        raise IDXError(f"{name} must not be empty; got shape {images.shape}")
    if images.ndim == 3 and simple(path.name).startswith("emnist"):
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    labels = None if named is None else beside.get(named._replace(has_labels=True))
    if labels is None:
        return rows, None
    targets = read_labels(labels)
    check_number(rows, targets, path, labels)
    return rows, targets


def _images(folder: Path) -> dict[_Named, Path]:
    return {key: path for key, path in _beside(folder).items() if not key.has_labels}


def _beside(folder: Path, chosen: Path | None = None) -> dict[_Named, Path]:
    """The IDX files of a folder by what their names say.

    Of two of the same meaning it is the compressed one, or else the first; where one is chosen,
    the one that is compressed as that is.
    """
    wants_gz = chosen is None or _is_compressed(chosen)

    def rank(path: Path) -> tuple[bool, str]:
        return _is_compressed(path) != wants_gz, path.name

    found: dict[_Named, Path] = {}
    for path in sorted(_visible(folder), key=rank):
        named = _named(path)
        if named is not None and named not in found and path.is_file():
            found[named] = path
    return found


def _visible(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _named(path: Path) -> _Named | None:
    match = _NAME.fullmatch(_plain(path))
    if match is None:
        return None
    stem = simple(match["stem"])
    of_part = _PART.fullmatch(stem)
    group, part = of_part.groups() if of_part else (stem, "")
    return _Named(group, part, match["what"] == "labels")


def _plain(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _label_names(path: Path) -> dict[int, str] | None:
    """What labels stand for, of a file of EMNIST."""
    name = simple(path.name)
    for source in SOURCES.values():
        if source.label_names and name.startswith(simple(source.name)):
            return dict(source.label_names)
    return None
