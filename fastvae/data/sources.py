"""The published data sets that can be had by name: their files, and where to find them on disk."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastvae.checks import did_you_mean
from fastvae.files.reading import open_file, size_of

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
"""The four files of each data set, without `.gz`, by what they hold."""

ENVIRONMENT = "FASTVAE_DATA"
"""The environment variable that names a folder with data sets."""

_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_LARGEST = 50_000_000  # of all known files; larger ones are others, without a look at them
_DEPTH = 3  # folders in folders: mnist/MNIST/raw, where torchvision was given mnist


class DataUnavailable(FileNotFoundError):
    """A known data set is neither on disk nor to be downloaded; the message says what to do."""


class MislabelledData(ValueError):
    """A file is, by its checksum, another one than its name and folder say."""


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    name : the name to ask for it by, also the name of its folder
    mirrors : base addresses, each ending in "/", in the order in which they are tried
    md5 : checksum of each compressed file, by the keys of `FILES`
    md5_plain : checksum of each decompressed file, where known
    """

    name: str
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]
    md5_plain: Mapping[str, str]


def _by_file(*checksums: str) -> dict[str, str]:
    return dict(zip(FILES, checksums, strict=False))


SOURCES = {
    source.name: source
    for source in (
        Source(
            "mnist",
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            _by_file(
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            _by_file(
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        ),
        Source(
            "fashion_mnist",
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            _by_file(
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            _by_file(
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
        ),
        Source(
            "kmnist",
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            _by_file(
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
            {},
        ),
    )
}
"""The data sets known by name."""


def cache_folder(name: str) -> Path:
    """Return the folder in the user's cache where downloads of a data set are kept."""
    import pooch

    return Path(pooch.os_cache("fastvae")) / "data" / name


def locate(name: str, data_dir: str | os.PathLike[str] | None = None) -> dict[str, Path] | None:
    """Find the four files of a known data set on disk; never download.

    One place is searched: `data_dir`, else the folder that the environment variable `FASTVAE_DATA`
    names, else the user's cache. A folder that is named must hold the data set: directly, in a
    folder of the data set's name, or as torchvision lays it out (``MNIST/raw``). The files may be
    compressed (`.gz`, which is taken where there are both) or plain, their names have dashes or
    dots, in capitals or not. Files that lie directly and are by their checksums, or by the folder's
    name, another data set's do not count. In the cache only complete, verified files count.

    Parameters
    ----------
    name : a key of `SOURCES`
    data_dir : the folder to search

    Returns
    -------
    path of each file, by the keys of `FILES`, or None where no folder is named and the cache does
    not hold the data set

    Raises
    ------
    ValueError
        Where the name is unknown.
    NotADirectoryError
        Where the folder that is named is none.
    FileNotFoundError
        Where the folder that is named does not hold all four files; the error says what is missing.
    MislabelledData
        Where a file in a folder of the data set's name is by its checksum another one.
    OSError
        Where a folder cannot be read.
    """
    if name not in SOURCES:
        raise ValueError(
            f"unknown data set {name!r}; known: {', '.join(sorted(SOURCES))}"
            f"{did_you_mean(name, SOURCES)}"
        )
    named = _named_folder(data_dir)
    return _cached(name) if named is None else _held(name, *named)


def advice(name: str) -> str:
    """Return sentences that say where a known data set was sought and may be put.

    Parameters
    ----------
    name : a key of `SOURCES`
    """
    names = ", ".join(f"{file}.gz" for file in FILES.values())
    return (
        f"  not in the cache {cache_folder(name)}\n"
        f"  put the four files ({names}; or decompressed, without .gz) into a folder "
        f"<dir>/{name} and pass <dir> as data_dir (--data-dir), or name it in ${ENVIRONMENT}"
    )


def identify(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Tell by the MD5 checksum which known file this is.

    Parameters
    ----------
    path : path of a file, compressed or not

    Returns
    -------
    (name of the data set, key of `FILES`), or None for a file that is not known
    """
    digest = hashlib.md5(usedforsecurity=False)
    with open_file(path) as file:
        if size_of(file) > _LARGEST:
            return None
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    known = {
        checksum: (source.name, role)
        for source in SOURCES.values()
        for checksums in (source.md5, source.md5_plain)
        for role, checksum in checksums.items()
    }
    return known.get(digest.hexdigest())


def _named_folder(data_dir: str | os.PathLike[str] | None) -> tuple[Path, str] | None:
    """Return the folder that is named by hand, and what names it; it must be one."""
    named, by = (os.environ.get(ENVIRONMENT) or None, f"${ENVIRONMENT}")
    if data_dir is not None:
        named, by = os.fspath(data_dir), "data_dir"
    if named is None:
        return None
    folder = Path(os.path.expanduser(named))
    if not named.strip() or not folder.is_dir():
        raise NotADirectoryError(f"{by} must be an existing folder; got {named!r}")
    return folder, by


def _held(name: str, base: Path, by: str) -> dict[str, Path]:
    """Return the files that a folder that is named by hand holds of a data set: all four."""
    partial: dict[Path, dict[str, Path]] = {}
    others = set()
    for folder, is_own in _folders(name, base):
        files = _present(folder)
        label = None if is_own else _named_after(folder)
        if files and label is not None and label != name:
            others.add(label)
            continue
        strangers = _strangers(name, files)
        known_as = {other for other, _ in strangers.values()}
        if len(files) == len(FILES) and (is_own or known_as == {name}):
            _check_labels(name, files, strangers)
        others |= known_as
        files = {role: path for role, path in files.items() if role not in strangers}
        if len(files) == len(FILES):
            return files
        if files:
            partial[folder] = files
    known = "".join(f" ({base} holds files of {other})" for other in sorted(others - {name}))
    if partial:
        folder, files = max(partial.items(), key=lambda held: len(held[1]))
        missing = ", ".join(FILES[role] for role in FILES if role not in files)
        raise FileNotFoundError(
            f"{folder} holds {len(files)} of the four files of {name}; missing: {missing} "
            f"(dots or dashes in the name, .gz or plain){known}"
        )
    raise FileNotFoundError(
        f"{base}, which {by} names, does not hold {name}{known}:\n"
        f"  neither there, nor in {name} or {_TORCHVISION[name]}/raw in it, are "
        f"{', '.join(FILES.values())} (dots or dashes in the name, .gz or plain)\n"
        "  where a folder is named, no other place is searched and nothing is downloaded"
    )


def _named_after(folder: Path) -> str | None:
    """Return the known data set that a folder, or that of a folder "raw", is named after."""
    folder = folder.absolute()
    holder = folder.parent if _simple(folder.name) == "raw" else folder
    return next((name for name in SOURCES if _simple(name) == _simple(holder.name)), None)


def _folders(name: str, base: Path) -> list[tuple[Path, bool]]:
    """Return the folders that may hold a data set, and whether by their names it must be that one.

    Those named after the data set come first.
    """
    found = level = [(base, False)]
    own = _simple(name)
    for _ in range(_DEPTH):
        level = [
            (inner, is_own or _simple(inner.name) == own)
            for folder, is_own in level
            for inner in sorted(folder.iterdir(), key=lambda path: (path.name != name, path.name))
            if _simple(inner.name) in (own, "raw") and inner.is_dir()
        ]
        found = found + level
    return sorted(found, key=lambda one: not one[1])


def _present(folder: Path) -> dict[str, Path]:
    """Return those of the four files that a folder holds, compressed or else plain."""
    roles = {_simple(file): role for role, file in FILES.items()}
    found: dict[str, Path] = {}
    usual = {f"{file}{suffix}" for file in FILES.values() for suffix in (".gz", "")}
    for path in sorted(
        folder.iterdir(),
        key=lambda path: (path.suffix.lower() != ".gz", path.name not in usual, path.name),
    ):
        role = roles.get(_simple(re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)))
        if role is not None and role not in found and path.is_file():
            found[role] = path
    return {role: found[role] for role in FILES if role in found}


def _simple(name: str) -> str:
    """A name without what differs between those who hand the files on."""
    return re.sub(r"[-_.]", "", name).lower()


def _check_labels(
    name: str, files: Mapping[str, Path], strangers: Mapping[str, tuple[str, str]]
) -> None:
    """Raise a MislabelledData if a file is by its checksum not what its name and folder say."""
    for role, (other, its_role) in strangers.items():
        raise MislabelledData(
            f"{files[role]} is by its checksum the {FILES[its_role]} of {other}; "
            f"expected the {FILES[role]} of {name}"
        )


def _strangers(name: str, files: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """Return which of the files are by their checksums other ones, and what they are."""
    found = {role: identify(path) for role, path in files.items()}
    return {role: known for role, known in found.items() if known and known != (name, role)}


def _cached(name: str) -> dict[str, Path] | None:
    files = {role: cache_folder(name) / f"{file}.gz" for role, file in FILES.items()}
    verified = all(
        path.is_file() and identify(path) == (name, role) for role, path in files.items()
    )
    return files if verified else None
