"""Where on disk the files of published data sets are, and whether they are what they are named."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from fastvae.checks import did_you_mean
from fastvae.data.published import FILES, SOURCES, Source, simple
from fastvae.files.reading import open_file, size_of

ENVIRONMENT = "FASTVAE_DATA"
"""The environment variable that names a folder with data sets."""

_INSTALLED = Path("/usr/share/datasets")  # where Debian's packages dataset-... put them
_LARGEST = 50_000_000  # of all known files; larger ones are others, without a look at them
_DEPTH = 3  # folders in folders: mnist/MNIST/raw, where torchvision was given mnist


class DataUnavailable(FileNotFoundError):
    """A known data set is neither on disk nor to be downloaded; the message says what to do."""


class MislabelledData(ValueError):
    """A file is, by its checksum, another one than its name and folder say."""


def cache_folder(name: str) -> Path:
    """Return the folder in the user's cache where downloads of a data set are kept."""
    import pooch

    return Path(pooch.os_cache("fastvae")) / "data" / name


def locate(name: str, data_dir: str | os.PathLike[str] | None = None) -> dict[str, Path] | None:
    """Find the four files of a known data set on disk; never download.

    One place is searched: `data_dir`, else the folder that the environment variable `FASTVAE_DATA`
    names, else the user's cache and what the system has installed (Debian's package
    dataset-fashion-mnist). A folder that is named must hold the data set: directly, in a folder of
    the data set's name, or as torchvision (``MNIST/raw``) or NIST (``gzip``) lay it out. The
    files may be compressed (`.gz`, which is taken where there are both) or plain, their names have
    dashes or dots, in capitals or not. Files that lie directly and are by their checksums, or by
    the folder's name, another data set's do not count. In the cache only complete, verified files
    count.

    Parameters
    ----------
    name : str
        One of `NAMES`, but for "synthetic_digits".
    data_dir : path, optional
        The folder to search.

    Returns
    -------
    dict of str to path
        The files, by "train_images", "train_labels", "test_images" and "test_labels";
        None where no folder is named and neither the cache nor the system has the data set.

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
    if named is None:
        return _cached(name) or _installed(name)
    return _held(name, *named)


def advice(name: str) -> str:
    """Return sentences that say where a known data set was sought and may be put.

    Parameters
    ----------
    name : a key of `SOURCES`
    """
    source = SOURCES[name]
    names = ", ".join(f"{file}.gz" for file in source.files.values())
    home = f", of {source.home}," if source.home else ""
    return (
        f"  not in the cache {cache_folder(name)}\n"
        f"  put the four files ({names}; or decompressed, without .gz){home} into a folder "
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
    source = SOURCES[name]
    partial: dict[Path, dict[str, Path]] = {}
    others = set()
    for folder, is_own in _folders(name, base):
        files = _present(folder, source)
        is_told = is_own or source.files is not FILES  # by the names of folder or files
        label = None if is_told else _named_after(folder)
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
        missing = ", ".join(file for role, file in source.files.items() if role not in files)
        raise FileNotFoundError(
            f"{folder} holds {len(files)} of the four files of {name}; missing: {missing} "
            f"(dots or dashes in the name, .gz or plain){known}"
        )
    raise FileNotFoundError(
        f"{base}, which {by} names, does not hold {name}{known}:\n"
        f"  neither there, nor in {name} or {source.folder or name.upper()}/raw in it, are "
        f"{', '.join(source.files.values())} (dots or dashes in the name, .gz or plain)\n"
        "  where a folder is named, no other place is searched and nothing is downloaded"
    )


def _named_after(folder: Path) -> str | None:
    """Return the known data set that a folder, or that of a folder "raw", is named after."""
    folder = folder.absolute()
    holder = folder.parent if simple(folder.name) == "raw" else folder
    return next((name for name in SOURCES if simple(name) == simple(holder.name)), None)


def _folders(name: str, base: Path) -> list[tuple[Path, bool]]:
    """Return the folders that may hold a data set, and whether by their names it must be that one.

    Those named after the data set come first.
    """
    found = level = [(base, False)]
    source = SOURCES[name]
    own = {simple(name), simple(source.folder or name)}
    passed = own | set(map(simple, source.archive_folders))
    for _ in range(_DEPTH):
        level = [
            (inner, is_own or simple(inner.name) in own)
            for folder, is_own in level
            for inner in sorted(folder.iterdir(), key=lambda path: (path.name != name, path.name))
            if simple(inner.name) in passed and inner.is_dir()
        ]
        found = found + level
    return sorted(found, key=lambda one: not one[1])


def _present(folder: Path, source: Source) -> dict[str, Path]:
    """Return those of the four files that a folder holds, compressed or else plain."""
    roles = {simple(file): role for role, file in source.files.items()}
    found: dict[str, Path] = {}
    usual = {f"{file}{suffix}" for file in source.files.values() for suffix in (".gz", "")}
    for path in sorted(
        folder.iterdir(),
        key=lambda path: (path.suffix.lower() != ".gz", path.name not in usual, path.name),
    ):
        role = roles.get(simple(re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)))
        if role is not None and role not in found and path.is_file():
            found[role] = path
    return {role: found[role] for role in FILES if role in found}


def _check_labels(
    name: str, files: Mapping[str, Path], strangers: Mapping[str, tuple[str, str]]
) -> None:
    """Raise a MislabelledData if a file is by its checksum not what its name and folder say."""
    for role, (other, its_role) in strangers.items():
        raise MislabelledData(
            f"{files[role]} is by its checksum the {SOURCES[other].files[its_role]} of "
            f"{other}; expected the {SOURCES[name].files[role]} of {name}"
        )


def _strangers(name: str, files: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """Return which of the files are by their checksums other ones, and what they are."""
    found = {role: identify(path) for role, path in files.items()}
    return {role: known for role, known in found.items() if known and known != (name, role)}


def _cached(name: str) -> dict[str, Path] | None:
    files = {role: cache_folder(name) / f"{file}.gz" for role, file in SOURCES[name].files.items()}
    verified = all(
        path.is_file() and identify(path) == (name, role) for role, path in files.items()
    )
    return files if verified else None


def _installed(name: str) -> dict[str, Path] | None:
    """Return the files of a data set that a package of the system has put where such files go."""
    if _INSTALLED.is_dir():
        for folder in sorted(_INSTALLED.iterdir()):
            if simple(folder.name) == simple(name) and folder.is_dir():
                files = _present(folder, SOURCES[name])
                if len(files) == len(FILES) and not _strangers(name, files):
                    return files
    return None
