"""Files that are written whole or not at all, and that replace an old one only when they are safe.

New content goes into a temporary file in the folder of its target, from there to the disk, and
then takes the target's place in one step (rename(2)): a reader sees the old file or the new one,
and whatever fails before leaves the old one as it was. Two writers do not meet: each has a
temporary file of its own, and the last one to finish stays. A hard link to the old file keeps the
old content.

A process that is killed leaves its temporary file. It is locked (flock(2)) while it is in use, so
that the next writer of the same target can tell what was left, and take it away.

Only what others watch while it grows (`append_file`) is added to in place.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

_MAX_LINKS = 40  # as many as Linux follows
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.([0-9a-f]{8}-)?[0-9a-f]{16}\.tmp")
# What file systems without permissions, or without a way to flush a folder, answer.
_REFUSALS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EACCES)


def write_file(
    path: str | os.PathLike[str],
    content: bytes,
    verify: Callable[[Path], None] | None = None,
    previous: Path | None = None,
) -> None:
    """Write a file; a reader sees the old one or the new one, whole.

    A symbolic link stays and what it leads to is replaced or made. A file that is replaced hands
    on its permissions and, where that is allowed, its owner and group. What is not an ordinary file
    (a device, a pipe, /dev/stdout) is written to.

    Parameters
    ----------
    path : path
        The file.
    content : bytes
        All that it is to hold.
    verify : callable, optional
        Called with the path of the finished temporary file before it takes the target's place;
        an exception keeps the old file. Not called for what is not an ordinary file.
    previous : Path, optional
        Where the old file stays, in the place of an older one. There is a file at `path` all the
        time.

    Raises
    ------
    OSError
        If it cannot be written, or there is one that this user may not write; the error names it.
    """
    path = Path(path)
    with _naming(path):
        target = _end_of_links(path)
        special = _open_special(target)
        if special is not None:
            with open(special, "wb") as file:
                file.write(content)
            return
        check_parent(path)
        old = _status(target)
        with _temporary(target, partial(_new_file, like=old)) as (temporary, descriptor):
            _write_out(descriptor, content, old)
            if verify is not None:
                verify(temporary)
            if previous is not None and old is not None:
                _keep(target, previous, old)
            os.replace(temporary, target)
        _flush_folder(target.parent)


def append_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file by adding to it what it lacks: a reader that holds it open sees it grow.

    Where adding fails, the file is as it was. A reader may see part of what is added.

    Parameters
    ----------
    path : path
        The file; a new one is written whole.
    content : bytes
        All that it is to hold. What is there already is taken for its beginning.

    Raises
    ------
    OSError
        If it cannot be written; the error names it.
    """
    path = Path(path)
    if not path.exists():
        write_file(path, content)
        return
    with _naming(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        with open(descriptor, "ab", buffering=0) as file:
            length = os.fstat(descriptor).st_size
            rest = memoryview(content)[length:]
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                with _where_possible():
                    os.fsync(descriptor)
            except BaseException:
                file.truncate(length)
                raise


def write_folder(path: str | os.PathLike[str], fill: Callable[[Path], None]) -> None:
    """Write a new folder; it appears when all that it holds is on the disk.

    Parameters
    ----------
    path : path
        The folder, or a symbolic link to where it is to be.
    fill : callable
        Called with a temporary folder, in which it makes folders and, with `create_file`, files.
        It may verify what it made: after an exception there is no folder.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    OSError
        If it cannot be written; the error names it.
    """
    path = Path(path)
    with _naming(path):
        target = _end_of_links(path)
        if os.path.lexists(target):
            raise _folder_exists(path)
        check_parent(path)
        with _temporary(target, _new_folder) as (temporary, _):
            fill(temporary)
            for folder, _, _ in os.walk(temporary):
                _flush_folder(Path(folder))
            _rename_folder(temporary, target, path)
        _flush_folder(target.parent)


def create_file(path: Path, content: bytes, like: os.stat_result | None = None) -> None:
    """Make a new file and see it to the disk.

    Parameters
    ----------
    path : Path
        Must not exist.
    content : bytes
        All that it is to hold.
    like : os.stat_result, optional
        Status of the file whose permissions, owner and group it takes; else it is made as any new
        file, with 0666 less the umask.

    Raises
    ------
    OSError
        If it exists or cannot be written.
    """
    descriptor = _new_file(path, like)
    try:
        _write_out(descriptor, content, like)
    finally:
        os.close(descriptor)


def is_writable(folder: Path) -> bool:
    """Whether this user may make files in a folder."""
    return _may(folder, os.W_OK | os.X_OK)


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that can be written, be it there or not; make nothing.

    Raises
    ------
    ValueError
        If it is empty.
    OSError
        If it is a folder, or cannot be written.
    """
    given = os.fspath(path)
    if not given or "\0" in given:
        raise ValueError(
            f"the name of a file must not be empty, nor hold a zero byte; got {given!r}"
        )
    checked = Path(path)
    if checked.is_dir() or given.endswith(os.sep):
        raise IsADirectoryError(f"{given} is a folder; name a file in it")
    check_parent(checked)
    with suppress(FileNotFoundError):
        os.stat(checked)  # the error says what is wrong with the name
        if not _may(checked, os.W_OK):
            raise PermissionError(f"cannot write {given}: it is write-protected")
    return checked


def check_parent(path: Path) -> None:
    """Raise an OSError unless there is a folder that `path`, links followed, can be written in."""
    parent = _end_of_links(path).parent
    if not parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {parent}")
    if not is_writable(parent):
        raise PermissionError(f"cannot write {path}: the folder {parent} is not writable")


def _may(path: Path, mode: int) -> bool:
    effective = os.access in os.supports_effective_ids  # not on every system
    return os.access(path, mode, effective_ids=effective)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make the system's errors name `path`, not the temporary file, or no file at all."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error


@contextmanager
def _where_possible() -> Iterator[None]:
    """Pass over what the file system or the user's rights do not allow."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise


def _end_of_links(path: Path) -> Path:
    """What a chain of symbolic links leads to, whether it exists or not.

    Links in /proc stand for open files and not for the names that they show.
    """
    for _ in range(_MAX_LINKS):
        if not path.is_symlink() or _is_in_proc(path):
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


def _is_in_proc(path: Path) -> bool:
    return os.path.realpath(path.parent).startswith("/proc/")


def _open_special(target: Path) -> int | None:
    """A descriptor of what is written to and not replaced; None for an ordinary or no file."""
    if os.path.realpath(target.parent) == f"/proc/{os.getpid()}/fd" and target.name.isdecimal():
        # Opened anew, a file behind /dev/stdout would be written from its start.
        return os.dup(int(target.name))
    try:
        mode = os.stat(target).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(mode) and not _is_in_proc(target):
        return None
    return os.open(target, os.O_WRONLY | os.O_CLOEXEC)


def _status(target: Path) -> os.stat_result | None:
    """The status of a file that this user may write; None if there is no file."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _make_alike(descriptor: int, old: os.stat_result) -> None:
    """Give a new file the owner, group and permissions of an old one, as far as is allowed."""
    for owner in (old.st_uid, -1):  # the group can be kept where the owner cannot
        with _where_possible():
            os.fchown(descriptor, owner, old.st_gid)
            break
    new = os.fstat(descriptor)
    same_owner = (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid)
    with _where_possible():
        # Set-user-ID and the like are rights of the old owner.
        os.fchmod(descriptor, old.st_mode & (0o7777 if same_owner else 0o777))


def clear_left(path: str | os.PathLike[str]) -> None:
    """Take away temporary files and folders of this path that killed writers left."""
    target = _end_of_links(Path(path))
    _clear(target.parent, f".{_mark_of(target)}-")


def clear_folder(folder: Path) -> None:
    """Take away what killed writers left in a folder, of whatever file."""
    _clear(folder, ".")


def _clear(folder: Path, start: str) -> None:
    """Take away temporary files and folders that nobody has locked, as far as that is allowed."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if name.startswith(start) and _TEMPORARY.fullmatch(name):
            with suppress(OSError):  # in use, gone already, another user's, or no locks here
                _take_away(folder / name)


def _take_away(left: Path) -> None:
    descriptor = os.open(left, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            shutil.rmtree(left)
        else:
            left.unlink()
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(target: Path, make: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """A new file or folder beside `target`, and the descriptor that has it locked; it goes again.

    `make` makes it and returns the descriptor.
    """
    clear_left(target)
    while True:
        temporary = _name_beside(target)
        descriptor = make(temporary)
        if not _is_lost(temporary, descriptor):
            break
        os.close(descriptor)
    try:
        yield temporary, descriptor
    finally:
        with suppress(FileNotFoundError):
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink()
        os.close(descriptor)


def _is_lost(temporary: Path, descriptor: int) -> bool:
    """Lock a new file or folder; return whether another writer was quicker and takes it away."""
    return not lock(descriptor) or not temporary.exists()


def lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False where another process has done so.

    On a file system that knows no locks it is taken as done.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not on every file system
        pass
    return True


def _new_file(path: Path, like: os.stat_result | None) -> int:
    return os.open(path, _NEW_FILE, 0o666 if like is None else 0o600)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, _FOLDER)


def _write_out(descriptor: int, content: bytes, like: os.stat_result | None) -> None:
    """Fill a new file and see it to the disk."""
    with open(descriptor, "wb", closefd=False) as file:
        if like is not None:
            _make_alike(descriptor, like)
        file.write(content)
        file.flush()
        with _where_possible():
            os.fsync(descriptor)


def _name_beside(target: Path) -> Path:
    """A name for a temporary file in the folder of `target`: no other process makes the same."""
    return target.with_name(f".{_mark_of(target)}-{secrets.token_hex(8)}.tmp")


def _mark_of(target: Path) -> str:
    """What the names of a file's temporary files share; of fixed length, for names have a limit."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]


def _keep(target: Path, previous: Path, status: os.stat_result) -> None:
    """Let `previous` be what `target` is now: the same file or, without hard links, a copy."""
    temporary = _name_beside(previous)
    try:
        try:
            os.link(target, temporary)
        except OSError as error:
            if error.errno not in (*_REFUSALS, errno.EMLINK, errno.EXDEV):
                raise
            create_file(temporary, target.read_bytes(), status)
        os.replace(temporary, previous)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_folder(temporary: Path, target: Path, path: Path) -> None:
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _folder_exists(path) from error
        raise


def _folder_exists(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists; name a new folder")


def _flush_folder(folder: Path) -> None:
    """See a folder's new names to the disk."""
    with _where_possible():
        descriptor = os.open(folder, _FOLDER)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
