"""The published data sets that can be had by name: their files, and where to find them on disk."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastvae.files.reading import open_file

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
"""The four files of each data set, without `.gz`, by what they hold."""

ENVIRONMENT = "FASTVAE_DATA"
"""The environment variable that names a folder with data sets."""


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

    Searched in this order: `data_dir`, the folder that the environment variable `FASTVAE_DATA`
    names, the user's cache. In the first two the files, `.gz` or plain, may lie in a folder of the
    data set's name or directly. Files that lie directly and are by their checksums another data
    set's are passed over. In the cache only complete, verified files count.

    Parameters
    ----------
    name : a key of `SOURCES`
    data_dir : folder to search first

    Returns
    -------
    path of each file, by the keys of `FILES`, or None where the data set is nowhere

    Raises
    ------
    ValueError
        Where the name is unknown.
    NotADirectoryError
        Where `data_dir` is not a folder.
    FileNotFoundError
        Where a folder of the data set's name holds some of the four files and not all.
    MislabelledData
        Where a file in a folder of the data set's name is by its checksum another one.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(sorted(SOURCES))}")
    for base in _base_folders(data_dir):
        files = _own_folder(name, base / name) or _shared_folder(name, base)
        if files is not None:
            return files
    return _cached(name)


def advice(name: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """Return sentences that say where a known data set was sought and may be put.

    Parameters
    ----------
    name : a key of `SOURCES`
    data_dir : the folder that was searched first, as for `locate`
    """
    lines = []
    for base in _base_folders(data_dir):
        lines.append(f"not in {base / name}, nor directly in {base}")
        others = {found[0] for path in _present(base).values() if (found := identify(path))}
        lines += [f"({base} holds the files of {other})" for other in sorted(others - {name})]
    named = os.environ.get(ENVIRONMENT)
    if named and not Path(named).expanduser().is_dir():
        lines.append(f"${ENVIRONMENT} is {named!r}, which is not a folder")
    lines.append(f"not in the cache {cache_folder(name)}")
    names = ", ".join(f"{file}.gz" for file in FILES.values())
    lines.append(
        f"put the four files ({names}; or decompressed, without .gz) into a folder "
        f"<dir>/{name} and pass <dir> as data_dir (--data-dir), or name it in ${ENVIRONMENT}"
    )
    return "\n".join(f"  {line}" for line in lines)


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
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    known = {
        checksum: (source.name, role)
        for source in SOURCES.values()
        for checksums in (source.md5, source.md5_plain)
        for role, checksum in checksums.items()
    }
    return known.get(digest.hexdigest())


def _base_folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the user's folders that exist; the one given by hand must."""
    folders = []
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            raise NotADirectoryError(f"data_dir must be an existing folder; got {str(folder)!r}")
        folders.append(folder)
    named = os.environ.get(ENVIRONMENT)
    if named and Path(named).expanduser().is_dir():
        folders.append(Path(named).expanduser())
    return folders


def _present(folder: Path) -> dict[str, Path]:
    """Return those of the four files that a folder holds, compressed or else plain."""
    found = {}
    for role, file in FILES.items():
        for path in (folder / f"{file}.gz", folder / file):
            if path.is_file():
                found[role] = path
                break
    return found


def _own_folder(name: str, folder: Path) -> dict[str, Path] | None:
    """Return the files of a folder that is named after the data set and hence must hold it."""
    files = _present(folder)
    if not files:
        return None
    missing = [FILES[role] for role in FILES if role not in files]
    if missing:
        raise FileNotFoundError(
            f"{folder} holds {len(files)} of the four files of {name}; "
            f"missing: {', '.join(missing)} (.gz or plain)"
        )
    for role, path in files.items():
        found = identify(path)
        if found is not None and found != (name, role):
            raise MislabelledData(
                f"{path} is by its checksum the {FILES[found[1]]} of {found[0]}; "
                f"expected the {FILES[role]} of {name}"
            )
    return files


def _shared_folder(name: str, folder: Path) -> dict[str, Path] | None:
    """Return the files of a folder that may be any data set's, unless they are another's."""
    files = _present(folder)
    if len(files) < len(FILES):
        return None
    if any(identify(path) not in (None, (name, role)) for role, path in files.items()):
        return None
    return files


def _cached(name: str) -> dict[str, Path] | None:
    files = {role: cache_folder(name) / f"{file}.gz" for role, file in FILES.items()}
    verified = all(
        path.is_file() and identify(path) == (name, role) for role, path in files.items()
    )
    return files if verified else None
