"""The place of cached machine code: which folder it is, and that nobody else can write there.

Machine code is run, so it is only taken from where nobody but this user (or root) can have put it.
The folder is `FASTVAE_CACHE`, or `fastvae` in `NUMBA_CACHE_DIR`, or `fastvae` in the user's folder
for caches. All rules are looked at each time a file is opened, on the opened descriptors, so that
nothing can be exchanged in between. Windows knows no such modes: there its own rules must do.
"""

import contextlib
import errno
import functools
import os
import secrets
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from numba.core import config

_LONGEST_FILE = 2**26
"""Bytes; the largest file has about 2**20."""
_OLD = 3600.0
"""Seconds after which a file that a process began to write is taken as left behind."""
_MOST_LINKS = 40
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_NOT_FOLLOWED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOT_FOLLOWED
# A FIFO in a file's place must not be waited for.
_READ_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _NOT_FOLLOWED
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _NOT_FOLLOWED

_said = False


class _Place(NamedTuple):
    """A folder for machine code, and who may own it."""

    folder: Path
    private: bool
    """Whether it is closed to others; one that was named may be a common, prepared one."""
    of_root: bool
    """Whether it may belong to root, too: it was named, and not found in the user's home."""


@functools.cache
def _absolute(named: str) -> Path:
    """Return the folder that a name stood for when it was first seen, before any `chdir`."""
    return Path(named).expanduser().absolute()


def _place() -> _Place:
    if named := os.environ.get("FASTVAE_CACHE"):
        return _Place(_absolute(named), private=False, of_root=True)
    if config.CACHE_DIR:
        return _Place(_absolute(config.CACHE_DIR) / "fastvae", private=True, of_root=True)
    return _Place(_user_caches() / "fastvae", private=True, of_root=False)


def _user_caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    home = Path(os.environ.get("HOME", ""))
    if not home.is_absolute():
        home = _home_of_user()
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else home / ".cache"  # as its specification wants


def _home_of_user() -> Path:
    import pwd

    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError as error:
        raise OSError(f"user {os.geteuid()} has no home folder") from error


def _private_group(group: int) -> bool:
    """Whether a group is one that only this user is in, as many systems give one to each user."""
    import grp
    import pwd

    try:
        name, entry = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == name and set(entry.gr_mem) <= {name}


def _owners_above() -> set[int]:
    """Who may own the folders above: this user and root, seen from within a container, too."""
    owners = {0, os.geteuid()}
    with contextlib.suppress(OSError, ValueError):
        if Path("/proc/self/uid_map").read_text("utf-8").split() != ["0", "0", "4294967295"]:
            owners.add(int(Path("/proc/sys/kernel/overflowuid").read_text("utf-8")))
    return owners


def _check(path: str, state: os.stat_result, owners: set[int], harmless: int = 0) -> None:
    """Refuse what others than its owners can write, but for these bits of its mode.

    Raises
    ------
    PermissionError
    """
    if sys.platform == "win32":
        return
    if state.st_uid not in owners:
        allowed = " or ".join(map(str, sorted(owners)))
        raise PermissionError(f"{path} belongs to user {state.st_uid}, not to {allowed}")
    if state.st_mode & _OTHERS_WRITE & ~harmless:
        mode = stat.S_IMODE(state.st_mode)
        raise PermissionError(f"{path} can be written by other users (its mode is {mode:04o})")


def _check_above(path: str, owners: set[int], *, named: bool) -> None:
    """Refuse a folder in which others could exchange the next one.

    Whom users let write in their homes is their own matter: that is more than machine code.
    """
    state = os.stat(path)
    harmless = 0
    if state.st_mode & stat.S_ISVTX:
        harmless = _OTHERS_WRITE
    elif state.st_mode & stat.S_IWGRP and (
        _private_group(state.st_gid) if named else state.st_uid == os.geteuid()
    ):
        harmless = stat.S_IWGRP
    _check(path, state, owners, harmless)


def _followed(place: _Place, *, create: bool) -> str:
    """Return where a place is when all links are followed, having checked all on the way.

    The folders above are made with `create`; the last one need not be there.
    """
    folder = place.folder
    if sys.platform == "win32":
        found = os.path.realpath(folder)
        if create:
            os.makedirs(os.path.dirname(found), exist_ok=True)
        return found
    owners = _owners_above()
    path, rest, n_links = "/", str(folder).split("/")[::-1], 0
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            path = os.path.dirname(path)
            continue
        _check_above(path, owners, named=place.of_root)
        inner = os.path.join(path, name)
        try:
            state = os.lstat(inner)
        except FileNotFoundError:
            if rest:
                if not create:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(inner, 0o755)
            path = inner
            continue
        if not stat.S_ISLNK(state.st_mode):
            path = inner
            continue
        n_links += 1
        if n_links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        if state.st_uid not in owners:
            raise PermissionError(f"the link {inner} belongs to user {state.st_uid}")
        target = os.readlink(inner)
        path = "/" if target.startswith("/") else path
        rest.extend(target.split("/")[::-1])
    return path


class _Folder(NamedTuple):
    """An open folder. Where the system opens files by folder and name, `descriptor` says which."""

    path: str
    descriptor: int | None
    owners: set[int]

    def at(self, name: str) -> str:
        """Return a file's path, as the calls that take `dir_fd` want it."""
        return name if self.descriptor is not None else os.path.join(self.path, name)


@contextlib.contextmanager
def _opened(path: str, above: _Folder | None, place: _Place, *, create: bool) -> Iterator[_Folder]:
    """Open a folder by its path or, within one that is open, by its name, and check it."""
    where = path if above is None else above.at(path)
    within = None if above is None else above.descriptor
    shown = path if above is None else os.path.join(above.path, path)
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(where, 0o700 if place.private else 0o755, dir_fd=within)
    if sys.platform == "win32":
        yield _Folder(shown, None, set())
        return
    owners = {os.geteuid(), 0} if place.of_root else {os.geteuid()}
    descriptor = os.open(where, _READ_FOLDER, dir_fd=within)
    try:
        state = os.fstat(descriptor)
        if place.private and state.st_uid == os.geteuid() and state.st_mode & 0o077:
            with contextlib.suppress(OSError):  # if it is still open to others, it is refused
                os.fchmod(descriptor, state.st_mode & 0o700)
        _check(shown, os.fstat(descriptor), owners)
        yield _Folder(shown, descriptor, owners)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_folder(key: str, *, create: bool = False) -> Iterator[_Folder]:
    """Open the folder of the machine code that has this key.

    Raises
    ------
    OSError
        If it does not exist and is not to be made, or cannot be, or if others could have written
        there.
    """
    try:
        place = _place()
        path = _followed(place, create=create)
    except (RuntimeError, ValueError) as error:  # no home folder; a name that no file can have
        raise OSError(str(error)) from error
    with (
        _opened(path, None, place, create=create) as base,
        _opened(f"kernels-{key}", base, place, create=create) as folder,
    ):
        yield folder


def read_file(folder: _Folder, name: str) -> bytes:
    """Return a file's content.

    Raises
    ------
    OSError
        If it cannot be read, is no file, is larger than any of ours, or others could write it.
    """
    descriptor = os.open(folder.at(name), _READ_FILE, dir_fd=folder.descriptor)
    try:
        state = os.fstat(descriptor)
        _check(name, state, folder.owners)
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LONGEST_FILE:
            raise OSError(f"{name} is no file of machine code")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(state.st_size)
    finally:
        os.close(descriptor)


def write_file(folder: _Folder, name: str, content: bytes) -> None:
    """Write a file as a whole, or raise an OSError and leave what was there."""
    _remove_old(folder)
    new = f".{name}.{secrets.token_hex(8)}.tmp"
    place = {"src_dir_fd": folder.descriptor, "dst_dir_fd": folder.descriptor}
    try:
        descriptor = os.open(folder.at(new), _NEW_FILE, 0o644, dir_fd=folder.descriptor)
        with open(descriptor, "wb") as file:
            file.write(content)
        with contextlib.suppress(OSError):  # an empty folder in a file's place
            os.rmdir(folder.at(name), dir_fd=folder.descriptor)
        os.replace(folder.at(new), folder.at(name), **place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(folder.at(new), dir_fd=folder.descriptor)
        raise


def _remove_old(folder: _Folder) -> None:
    """Remove what processes that were killed have left behind."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder.path if folder.descriptor is None else folder.descriptor):
            if name.endswith(".tmp"):
                state = os.stat(folder.at(name), dir_fd=folder.descriptor, follow_symlinks=False)
                if time.time() - state.st_mtime > _OLD:
                    os.unlink(folder.at(name), dir_fd=folder.descriptor)


def warn_once(error: OSError) -> None:
    """Say, once per process, why machine code is not kept."""
    global _said
    if not _said:
        _said = True
        warnings.warn(
            f"machine code is not cached ({error}): kernels are compiled anew in each process; set "
            "FASTVAE_CACHE to a folder that only you can write",
            RuntimeWarning,
            stacklevel=2,
        )


with contextlib.suppress(OSError, RuntimeError):
    _place()  # a relative name is that of the folder at the start
