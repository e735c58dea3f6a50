"""Files and folders are written whole or not at all, through links, and what was there before."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from failing_writes import contents, each_failure

from fastvae.files.writing import (
    append_file,
    check_file,
    clear_folder,
    clear_left,
    create_file,
    write_file,
    write_folder,
)

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def users_folder() -> Iterator[Path]:
    """A folder of an unprivileged user, who runs the test: root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        if NOBODY not in {user.pw_uid for user in pwd.getpwall()}:
            pytest.skip("root may write anywhere, and there is no other user to become")
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        shutil.rmtree(folder)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refuse(number: int):
    """A system call that fails."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            write_file(tmp_path / f"{mask}", b"new")
        finally:
            os.umask(before)
        assert mode_of(tmp_path / f"{mask}") == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_replaced_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_file(path, b"new")
    assert (path.read_bytes(), mode_of(path)) == (b"new", mode)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_replaced_file_keeps_its_owner_and_group(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, NOBODY, 1)
    path.chmod(0o640)
    write_file(path, b"new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, mode_of(path)) == (NOBODY, 1, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_where_the_owner_cannot_be_kept_the_rest_is(users_folder):
    path = users_folder / "file"
    os.seteuid(0)
    path.write_bytes(b"old")
    path.chmod(0o666)
    os.seteuid(NOBODY)
    write_file(path, b"new")
    assert (path.read_bytes(), mode_of(path), path.stat().st_uid) == (b"new", 0o666, NOBODY)


def test_links_stay_and_their_target_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "target"
    target.write_bytes(b"old")
    target.chmod(0o640)
    (tmp_path / "near").symlink_to("elsewhere/target")
    (tmp_path / "far").symlink_to(tmp_path / "near")
    (tmp_path / "elsewhere" / "back").symlink_to("../far")
    (tmp_path / "folder").symlink_to("elsewhere")
    for i, link in enumerate(("near", "far", "elsewhere/back", "folder/target")):
        write_file(tmp_path / link, b"%d" % i)
        assert (target.read_bytes(), mode_of(target)) == (b"%d" % i, 0o640)
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "far").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "far", "folder", "near"]
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["back", "target"]


def test_links_that_dangle_or_go_in_circles(tmp_path):
    (tmp_path / "link").symlink_to("missing")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "missing").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "nowhere").symlink_to("no/folder")
    with pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere: there is no folder .*no"):
        write_file(tmp_path / "nowhere", b"new")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    writers: list[Any] = [write_file, write_folder]
    for write in writers:
        with pytest.raises(OSError, match="one") as error:
            write(tmp_path / "one", b"new")
        assert error.value.errno == errno.ELOOP
    assert sorted(os.listdir(tmp_path)) == ["link", "missing", "nowhere", "one", "two"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize(("number", "fails"), [(7, True), (3, False)])
def test_a_device_is_written_to_and_stays(tmp_path, number, fails):
    path = tmp_path / "device"  # like /dev/full and /dev/null, which a faulty test would replace
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        path.open("wb").close()
    except PermissionError:
        pytest.skip("devices cannot be made here")
    if fails:
        with pytest.raises(OSError, match="No space left on device: .*device"):
            write_file(path, b"new")
    else:
        write_file(path, b"new")
    assert stat.S_ISCHR(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["device"]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = bytes(range(256)) * 1000  # more than a pipe holds
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_file(path, content)
    reader.join()
    assert read == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["link", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to_file", [True, False])
def test_standard_output_is_continued(tmp_path, name, to_file):
    link = tmp_path / "link"  # like /dev/stdout, which a faulty test would replace
    link.symlink_to("/proc/self/fd/1")
    name = str(link) if name == "link" else name
    program = (
        "from fastvae.files.writing import write_file\n"
        "print('before', flush=True)\n"
        f"write_file({name!r}, b'content\\n')\n"
        "print('after')\n"
    )
    output = tmp_path / "output"
    with output.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=file if to_file else subprocess.PIPE,
            check=True,
        )
    written = output.read_bytes() if to_file else done.stdout
    assert written == b"before\ncontent\nafter\n"
    assert link.is_symlink()


@pytest.mark.parametrize(
    "name",
    ["x" * 255, "é" * 127, ".hidden", " ", "a\nb", "-", "..x", os.fsdecode(b"\xff\xfe"), "*?[]"],
)
def test_any_name_that_the_system_takes(tmp_path, name):
    for content in (b"old", b"new"):
        write_file(tmp_path / name, content)
        assert os.listdir(tmp_path) == [name]
        assert (tmp_path / name).read_bytes() == content


def test_too_long_a_name_is_an_error_that_names_it(tmp_path):
    with pytest.raises(OSError, match="x" * 256) as error:
        write_file(tmp_path / ("x" * 256), b"new")
    assert error.value.errno == errno.ENAMETOOLONG
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "fchmod"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), KeyboardInterrupt()]
)
def test_what_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, call, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(error)) as caught:
            write_file(path, b"new")
    if isinstance(error, OSError):
        assert (caught.value.errno, caught.value.filename) == (error.errno, str(path))
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])


def test_what_is_not_verified_is_not_written(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(temporary: Path) -> None:
        assert temporary.read_bytes() == b"new"
        assert path.read_bytes() == b"old"
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_file(path, b"new", refuse)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["file"])


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EPERM])
def test_file_systems_that_lack_permissions_or_flushing(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for call in ("fsync", "fchmod", "fchown"):
        monkeypatch.setattr(os, call, refuse(number))
    write_file(path, b"new")
    write_folder(tmp_path / "folder", lambda folder: create_file(folder / "file", b"new"))
    assert path.read_bytes() == (tmp_path / "folder" / "file").read_bytes() == b"new"


def test_files_and_folders_are_flushed_before_and_after_the_rename(tmp_path, monkeypatch):
    events: list[str] = []

    def noting(call, describe):
        original = getattr(os, call)

        def noted(*args):
            events.append(describe(*args))
            return original(*args)

        monkeypatch.setattr(os, call, noted)

    noting("fsync", lambda fd: "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
    noting("replace", lambda *_: "rename")
    noting("rename", lambda *_: "rename")
    write_file(tmp_path / "file", b"new")
    assert events == ["file", "rename", "folder"]
    events.clear()
    write_folder(tmp_path / "folder", lambda folder: create_file(folder / "file", b"new"))
    assert events == ["file", "folder", "rename", "folder"]


def test_a_file_that_may_not_be_written_is_not_replaced(users_folder):
    path = users_folder / "file"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="file"):
        write_file(path, b"new")
    assert (path.read_bytes(), os.listdir(users_folder)) == (b"old", ["file"])


def test_a_folder_that_may_not_be_written(users_folder):
    (users_folder / "file").write_bytes(b"old")
    users_folder.chmod(0o555)
    for name in ("file", "new"):
        with pytest.raises(PermissionError, match=f"cannot write .*{name}: the folder .* not writ"):
            write_file(users_folder / name, b"new")
    with pytest.raises(PermissionError, match="is not writable"):
        write_folder(users_folder / "new", lambda folder: None)
    assert ((users_folder / "file").read_bytes(), os.listdir(users_folder)) == (b"old", ["file"])
    users_folder.chmod(0o755)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        write_file(tmp_path / "folder", b"new")
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError, match="there is no folder .*file"):
        write_file(tmp_path / "file" / "new", b"new")


def test_writers_and_readers_side_by_side(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([65 + i]) * 200_000 for i in range(4)]
    write_file(path, contents[0])
    failures: list[BaseException] = []
    seen: set[bytes] = set()
    done = threading.Event()

    def guarded(work) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    def write_often(content: bytes) -> None:
        for _ in range(25):
            write_file(path, content)

    reader = guarded(read)
    writers = [guarded(partial(write_often, content)) for content in contents]
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert failures == []
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]


def test_processes_side_by_side(tmp_path):
    program = (
        "import sys; from fastvae.files.writing import write_file\n"
        "for _ in range(20): write_file(sys.argv[1], sys.argv[2].encode() * 10**5)\n"
    )
    path = tmp_path / "file"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path), letter], cwd=ROOT)
        for letter in "ab"
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert path.read_bytes() in (b"a" * 10**5, b"b" * 10**5)
    assert os.listdir(tmp_path) == ["file"]


def test_a_new_folder_appears_whole(tmp_path):
    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        create_file(folder / "inner" / "file", b"new")
        assert not (tmp_path / "folder").exists()

    write_folder(tmp_path / "folder", fill)
    assert (tmp_path / "folder" / "inner" / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(FileExistsError, match="folder exists; name a new folder"):
        write_folder(tmp_path / "folder", fill)
    (tmp_path / "link").symlink_to("target")
    write_folder(tmp_path / "link", lambda folder: create_file(folder / "file", b"new"))
    assert (tmp_path / "target" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_folder_that_fails_is_taken_away(tmp_path, error):
    def fill(folder: Path) -> None:
        create_file(folder / "file", b"new")
        raise error

    with pytest.raises(type(error)):
        write_folder(tmp_path / "folder", fill)
    assert os.listdir(tmp_path) == []


def test_of_two_new_folders_of_one_name_the_second_is_refused(tmp_path):
    path = tmp_path / "folder"

    def overtaken(folder: Path) -> None:
        create_file(folder / "file", b"second")
        write_folder(path, lambda first: create_file(first / "file", b"first"))

    with pytest.raises(FileExistsError, match="folder exists; name a new folder"):
        write_folder(path, overtaken)
    assert (path / "file").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["folder"]


def test_files_are_created_only_where_there_is_none(tmp_path):
    create_file(tmp_path / "file", b"old")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_a_file_lacks_is_added_in_place(tmp_path):
    path = tmp_path / "file"
    append_file(path, b"one")
    with path.open("rb") as reader:
        assert reader.read() == b"one"
        append_file(path, b"one, two")
        assert reader.read() == b", two"
        append_file(path, b"one, two")
        assert reader.read() == b""
    assert contents(tmp_path) == {"file": b"one, two"}
    path.write_bytes(b"one, t")  # of a process that was killed
    append_file(path, b"one, two, three")
    assert path.read_bytes() == b"one, two, three"


@each_failure
def test_where_adding_fails_the_file_is_as_it_was(tmp_path, failure):
    folder = tmp_path / "folder"
    folder.mkdir()
    append_file(folder / "file", b"old")
    if failure.call == "replace":
        pytest.skip("nothing is replaced")
    with failure.injected(folder), pytest.raises(OSError, match=failure.reason) as caught:
        append_file(folder / "file", b"old and new")
    assert str(folder / "file") in str(caught.value)
    assert contents(folder) == {"file": b"old"}
    append_file(folder / "file", b"old and new")
    assert contents(folder) == {"file": b"old and new"}


# --- what killed writers leave ---------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from fastvae.files import writing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

os.fsync = die
kind, path = sys.argv[1:]
if kind == "file":
    writing.write_file(path, b"new")
else:
    writing.write_folder(path, lambda folder: writing.create_file(folder / "file", b"new"))
"""


def left_by_killed(kind: str, path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, kind, str(path)], cwd=ROOT, check=False)


def write_as(kind: str, path: Path) -> None:
    if kind == "file":
        write_file(path, b"new")
    else:
        write_folder(path, lambda folder: create_file(folder / "file", b"new"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_goes_at_the_next_write(tmp_path, kind):
    for _ in range(2):
        left_by_killed(kind, tmp_path / "target")
    assert [name[-4:] for name in os.listdir(tmp_path)] == [".tmp"]
    write_as(kind, tmp_path / "other")  # it is not its
    assert len(os.listdir(tmp_path)) == 2
    write_as(kind, tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["other", "target"]


@pytest.mark.parametrize(
    "clear", [lambda path: clear_left(path), lambda path: clear_folder(path.parent)]
)
def test_what_is_being_written_stays(tmp_path, clear):
    path = tmp_path / "target"

    def meanwhile(temporary: Path) -> None:
        clear(path)
        write_file(path, b"second")
        assert temporary.read_bytes() == b"first"

    write_file(path, b"first", meanwhile)
    assert contents(tmp_path) == {"target": b"first"}

    def fill(folder: Path) -> None:
        create_file(folder / "file", b"first")
        clear(tmp_path / "folder")

    write_folder(tmp_path / "folder", fill)
    assert (tmp_path / "folder" / "file").read_bytes() == b"first"


def test_only_what_was_left_is_cleared(tmp_path):
    mine = [".mine.tmp", ".0123456789abcdef", "0123abcd-0123456789abcdef.tmp", ".0123abcd-0.tmp"]
    left = [".0123456789abcdef.tmp", ".0123abcd-0123456789abcdef.tmp"]
    for name in mine + left:
        (tmp_path / name).touch()
    (tmp_path / ".01234567-0123456789abcdef.tmp").mkdir()
    (tmp_path / ".01234567-0123456789abcdef.tmp" / "file").touch()
    (tmp_path / ".11234567-0123456789abcdef.tmp").symlink_to(tmp_path / ".mine.tmp")
    os.mkfifo(tmp_path / ".21234567-0123456789abcdef.tmp")
    clear_folder(tmp_path)
    assert set(os.listdir(tmp_path)) == {*mine, ".11234567-0123456789abcdef.tmp"}
    clear_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_new_name_is_taken_where_another_writer_was_quicker(tmp_path, monkeypatch, kind):
    """It took the temporary file for a left one before it was locked."""
    flock = fcntl.flock
    taken: list[str] = []

    def flock_late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.extend(os.listdir(tmp_path))
            clear_folder(tmp_path)
        flock(descriptor, operation)

    def flock_now(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        try:
            flock_late(descriptor, operation)
        finally:
            monkeypatch.setattr(fcntl, "flock", flock_now)

    monkeypatch.setattr(fcntl, "flock", flock_now)
    write_as(kind, tmp_path / "target")
    assert len(taken) == 1
    assert os.listdir(tmp_path) == ["target"]


def test_a_new_name_is_taken_where_another_writer_has_it_locked(tmp_path, monkeypatch):
    flock = fcntl.flock

    def flock_late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (temporary,) = tmp_path.glob(".*.tmp")
        with temporary.open("rb") as file:  # to take it away, for it was not locked
            flock(file, fcntl.LOCK_EX)
            try:
                flock(descriptor, operation)
            finally:
                temporary.unlink()

    monkeypatch.setattr(fcntl, "flock", flock_late)
    write_file(tmp_path / "target", b"new")
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_where_nothing_can_be_locked_files_are_written_and_nothing_is_cleared(
    tmp_path, monkeypatch, number
):
    left = tmp_path / ".0123abcd-0123456789abcdef.tmp"
    left.touch()
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    write_file(tmp_path / "target", b"new")
    clear_folder(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [left.name, "target"]


def test_many_writers_of_one_file_do_not_clear_each_other_s(tmp_path):
    path, failures = tmp_path / "target", []

    def write_often() -> None:
        try:
            for _ in range(100):
                write_file(path, b"new")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write_often) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(tmp_path) == ["target"]


# --- before anything is written --------------------------------------------------------------


def test_what_can_be_written_is_said_before(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("new")
    for name in ("file", "new", "link", "x" * 255):
        assert check_file(tmp_path / name) == tmp_path / name
    assert check_file(os.devnull) == Path(os.devnull)
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", ValueError, "must not be empty"),
        ("a\0b", ValueError, "must not be empty, nor hold a zero byte"),
        (".", IsADirectoryError, "is a folder; name a file in it"),
        ("/", IsADirectoryError, "/ is a folder"),
        ("folder", IsADirectoryError, "folder is a folder"),
        ("new/", IsADirectoryError, "new/ is a folder"),
        ("no/file", FileNotFoundError, "there is no folder no"),
        ("file/new", OSError, "there is no folder file"),
        ("x" * 256, OSError, "File name too long"),
        ("circle", OSError, "circle"),
    ],
)
def test_what_cannot_be_written_is_refused_before(tmp_path, monkeypatch, name, error, message):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("circle").symlink_to("circle")
    with pytest.raises(error, match=message):
        check_file(name)


def test_a_file_that_is_write_protected_is_refused_before(users_folder):
    (users_folder / "file").touch(0o444)
    with pytest.raises(PermissionError, match="file: it is write-protected"):
        check_file(users_folder / "file")
