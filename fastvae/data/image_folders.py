"""Folders of pictures: PNG, JPEG and the like, in folders that are named after their classes.

Pictures may come from strangers. Their sizes are compared before they are decoded, and only the
formats that are named here are tried.
"""

import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastvae.checks.quoting import printable, quoted
from fastvae.data.splits import Split
from fastvae.files.kinds import but_found
from fastvae.files.reading import open_file, size_of

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm")
"""How the names of files end that are read as pictures, in capitals or not; others are skipped."""

_FORMATS = ("PNG", "JPEG", "BMP", "PPM")
_PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_MAX_PIXELS = 1 << 24  # 4096 x 4096
_MAX_BYTES = 9 * _MAX_PIXELS  # of four colours of 16 bits, not compressed, and their metadata
_MAX_HEADER = 1 << 16
_NETPBM = re.compile(rb"P[1-6]\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_N_LISTED = 20
_MAX_DIGITS = 18  # of class names that are numbers: they fit int64


def read_folder(folder: Path) -> Split:
    """Read a folder of pictures of one size as rows of grey pixels.

    It holds pictures; or a folder of them for each class; or such folders named train and test (or
    training and testing). Hidden files, files that are no pictures and deeper folders are skipped.
    Files are taken in the order of their names. Classes whose names are all whole numbers have
    these as labels; others are numbered in the order of their names.

    Colours become grey (ITU-R 601-2 luma), what is transparent black, 16 bits 8 bits.

    Parameters
    ----------
    folder : path of the folder

    Raises
    ------
    ValueError
        Where there are no pictures, they differ in size, or one is damaged.
    OSError
        Where a file or folder cannot be read.
    MemoryError
        Where there is no memory for all of them.
    """
    parts = _parts(folder)
    classes = {part: _classes(place) for part, place in parts.items()}
    names = sorted({name for held in classes.values() for name in held if name is not None})
    if names and any(None in held for held in classes.values()):
        raise ValueError(
            f"{printable(str(folder))} must have folders of classes in train and test, or neither"
        )
    numbers = _numbers(names)
    paths = {part: [path for held in classes[part].values() for path in held] for part in parts}
    size = _size(paths["train"][0])
    rows = {part: _read_all(paths[part], size, paths["train"][0]) for part in parts}
    labels = {
        part: np.repeat(
            np.array([numbers[name] for name in held], np.int64),
            [len(files) for files in held.values()],
        )
        for part, held in classes.items()
        if names
    }
    return Split(
        rows["train"],
        labels.get("train"),
        rows.get("test", rows["train"][:0]),
        labels.get("test"),
        {numbers[name]: name for name in names} if _are_names(names) else None,
    )


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of training and test pictures; the folder itself where it has no such folders."""
    found: dict[str, Path] = {}
    for inner in _inner(folder):
        part = _PARTS.get(inner.name.lower())
        if part in found:
            raise ValueError(
                f"{printable(str(folder))} holds both {quoted(found[part].name)} and "
                f"{quoted(inner.name)}; expected one of them"
            )
        if part is not None:
            found[part] = inner
    return found if "train" in found else {"train": folder}


def _classes(folder: Path) -> dict[str | None, list[Path]]:
    """The pictures of each class, in the order of their names; None: of no class."""
    own = list(_pictures(folder))
    inner: dict[str | None, list[Path]] = {
        place.name: files for place in _inner(folder) if (files := list(_pictures(place)))
    }
    if own and inner:
        raise ValueError(
            f"{printable(str(folder))} holds pictures, such as {quoted(own[0].name)}, beside "
            f"folders of pictures, such as {quoted(next(iter(inner)))}; expected either"
        )
    if own:
        return {None: own}
    if not inner:
        raise ValueError(
            f"{printable(str(folder))} holds no pictures ({', '.join(SUFFIXES)}), nor do the "
            f"folders in it; it holds {_listed(folder)}"
        )
    return inner


def _inner(folder: Path) -> Iterator[Path]:
    return (path for path in _visible(folder) if path.is_dir())


def _pictures(folder: Path) -> Iterator[Path]:
    pictures = (path for path in _visible(folder) if path.suffix.lower() in SUFFIXES)
    # A link to nothing is no reason to train on fewer pictures: opening it says what is missing.
    return (path for path in pictures if path.is_file() or not path.exists())


def _visible(folder: Path) -> Iterable[Path]:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    return (folder / name for name in names)


def _listed(folder: Path) -> str:
    names = [path.name for path in _visible(folder)]
    more = ", ..." if len(names) > _N_LISTED else ""
    return (", ".join(map(quoted, names[:_N_LISTED])) or "nothing") + more


def _are_names(names: Sequence[str]) -> bool:
    """Whether classes have names, and not numbers."""
    are_numbers = all(name.isascii() and name.isdigit() for name in names)
    is_short = all(len(name) <= _MAX_DIGITS for name in names)
    return not (are_numbers and is_short and len(set(map(int, names))) == len(names))


def _numbers(names: Sequence[str]) -> dict[str | None, int]:
    if _are_names(names):
        return {name: number for number, name in enumerate(names)}
    return {name: int(name) for name in names}


def _size(path: Path) -> tuple[int, int]:
    """Width and height of the first picture, which all must have."""
    with _opened(path) as image:
        size: tuple[int, int] = image.size
    if size[0] * size[1] > _MAX_PIXELS or 0 in size:
        raise ValueError(
            f"{printable(str(path))} has {size[0]} x {size[1]} pixels; expected at most "
            f"{_MAX_PIXELS:,} of them"
        )
    return size


def _read_all(paths: Sequence[Path], size: tuple[int, int], first: Path) -> Pixels:
    try:
        rows = np.empty((len(paths), size[0] * size[1]), np.uint8)
    except MemoryError as error:
        raise MemoryError(f"there is no memory for {len(paths):,} pictures: {error}") from error
    for row, path in zip(rows, paths, strict=True):
        with _opened(path) as image:
            found = image.size
            if found == size:
                row[:] = _grey(image).reshape(-1)
        if found != size:
            raise ValueError(
                f"{printable(str(path))} has {found[0]} x {found[1]} pixels; expected the "
                f"{size[0]} x {size[1]} of {quoted(first.name)}: all pictures must be of one size"
            )
    return rows


@contextmanager
def _opened(path: Path) -> Iterator["Image.Image"]:
    """Open a picture; whatever a bad one makes fail becomes a ValueError that names it."""
    from PIL import Image

    with open_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that are not looked at
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            if size_of(file) > _MAX_BYTES:
                raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
            # Of a file, decoders would ask for as many bytes as some length in it says.
            content = file.read(size_of(file))
            _check_header(content)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                yield image
        except MemoryError as error:
            raise MemoryError(f"there is no memory for {printable(str(path))}: {error}") from error
        except Exception as error:  # decoders raise many kinds
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(
                f"{printable(str(path))} is not a sound picture: {_reason(error)}{_but_is(file)}"
            ) from error


def _check_header(content: bytes) -> None:
    """Raise a ValueError where comments in a PGM or PPM, read byte by byte, would take minutes."""
    start = content[:_MAX_HEADER]
    if len(content) > _MAX_HEADER and _NETPBM.match(start):
        n_numbers = len(_COMMENT.sub(b" ", start).split(None, 4)) - 1
        if n_numbers < 2 + (start[1:2] not in b"14"):
            raise ValueError(f"its header has more than {_MAX_HEADER:,} bytes")


def _reason(error: Exception) -> str:
    text = str(error)
    if "cannot identify image file" in text:  # with the address of an object
        return "it is in none of the formats PNG, JPEG, BMP, PGM, PPM"
    return printable(text) or type(error).__name__


def _but_is(file: BinaryIO) -> str:
    """What the file is, where it is no picture; to be added to an error."""
    found = but_found(file)
    return "" if found.endswith("picture") else found


def _grey(image: "Image.Image") -> npt.NDArray[Any]:
    """A picture as grey values from 0 to 255, of shape (height, width)."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, in 32 in older versions of Pillow
        deep = np.asarray(image).astype(np.int64).clip(0, 0xFFFF)
        return ((deep * 0xFF + 0x7FFF) // 0xFFFF).astype(np.uint8)
    if image.mode == "F":
        raise ValueError("it holds floating-point numbers")
    if image.mode.lower() in ("la", "pa", "rgba") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.asarray(image.convert("L"))
