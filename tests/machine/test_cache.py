"""The cache of machine code: where it is, who may have written it, and what is taken from it."""

from __future__ import annotations

import errno
import os
import pickle
import random
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import types

from fastvae import kernels
from fastvae.commands.cli import main
from fastvae.kernels.arrays import warmup
from fastvae.kernels.machine import cache, compilation
from fastvae.kernels.machine.cached_code import _MARK, _checksum

INT64 = (types.int64,)
NOBODY = 65534
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


def plus_one(x: int) -> int:
    return x + 1


def plus_two(x: int) -> int:
    return x + 2


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test hear the warning that a process hears once."""
    monkeypatch.setattr(cache, "_said", False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place of our own, named by FASTVAE_CACHE."""
    folder = tmp_path / "code"
    monkeypatch.setenv("FASTVAE_CACHE", str(folder))
    return folder


def run(function: Callable[[int], int] = plus_one) -> bool:
    """Use a function as a new process would; return whether its code was loaded, not compiled."""
    compiled = compilation.kernel(function)
    assert compiled(1) == function(1)
    return sum(compiled.stats.cache_hits.values()) == 1


def files(place: Path) -> list[Path]:
    """The files of machine code in a place."""
    return sorted(place.glob("kernels-*/*.code"))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what is in it ---------------------------------------------------------------------------


def test_code_is_kept_and_loaded(place: Path) -> None:
    assert not run()
    assert [path.name.partition("-")[0] for path in files(place)] == ["plus_one"]
    assert run()
    assert compilation.cache_folder() == files(place)[0].parent
    assert not list(files(place)[0].parent.glob(".*"))


def test_each_function_and_type_has_a_file(place: Path) -> None:
    run()
    assert not run(plus_two)
    compiled = compilation.kernel(plus_one)
    compiled(1.0)
    assert len(files(place)) == 3
    assert run()
    assert run(plus_two)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def replaced(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        path.unlink()
        make(path)

    return harm


def huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(10 * 2**40)


def linked(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


class Bomb:
    """What nobody may unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


def signed(path: Path, content: bytes, key: str = str(compilation._KEY)) -> None:
    """Write a file whose checksum is right."""
    path.write_bytes(_MARK + _checksum(key, path.name, content) + content)


def of_another_key(path: Path) -> None:
    signed(path, path.read_bytes()[len(_MARK) + 32 :], key="0" * 20)


HARMS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "head only": lambda path: path.write_bytes(path.read_bytes()[:55]),
    "one byte long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "a head and a pickle": lambda path: path.write_bytes(
        path.read_bytes()[:55] + pickle.dumps(Bomb())
    ),
    "first bit": lambda path: flip(path, 0),
    "last bit": lambda path: flip(path, 8 * path.stat().st_size - 1),
    "huge": huge,
    "another key": of_another_key,
    "whole, but nothing of Numba's": lambda path: signed(path, pickle.dumps((1, 2))),
    "whole, but no pickle": lambda path: signed(path, b"\x80"),
    "FIFO": replaced(lambda path: os.mkfifo(path)),
    "folder": replaced(lambda path: path.mkdir()),
    "link": linked,
    "link to nothing": replaced(lambda path: path.symlink_to("nothing")),
    "link to itself": replaced(lambda path: path.symlink_to(path)),
    "device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "writable by others": lambda path: path.chmod(0o666),
    "writable by the group": lambda path: path.chmod(0o664),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_what_does_not_match_is_compiled_and_written_again(
    place: Path, harm: Callable[[Path], object]
) -> None:
    run()
    [path] = files(place)
    harm(path)
    assert not run()
    assert stat.S_ISREG(path.lstat().st_mode)
    assert run()


def test_flipped_bits_are_noticed(place: Path) -> None:
    run()
    [path] = files(place)
    compiled, chance = compilation.kernel(plus_one), random.Random(7)
    assert compilation.would_load(compiled, INT64)
    n_bits = 8 * path.stat().st_size
    for bit in [*range(0, 480, 9), *(chance.randrange(n_bits) for _ in range(40))]:
        flip(path, bit)
        assert not compilation.would_load(compiled, INT64)
        flip(path, bit)
    assert compilation.would_load(compiled, INT64)


def test_files_that_are_swapped_are_noticed(place: Path) -> None:
    run()
    run(plus_two)
    one, two = files(place)
    contents = one.read_bytes(), two.read_bytes()
    two.write_bytes(contents[0])
    one.write_bytes(contents[1])
    assert not run()
    assert not run(plus_two)
    assert run()
    assert run(plus_two)


def test_code_for_another_processor_is_not_taken(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    compiled = compilation.kernel(plus_one)
    codegen = compiled.targetctx.codegen()
    triple, name, features = codegen.magic_tuple()
    for other in ((triple, "other", features), (triple, name, features + ",+new")):
        monkeypatch.setattr(type(codegen), "magic_tuple", lambda self, other=other: other)
        assert not compilation.would_load(compiled, INT64)


@pytest.mark.parametrize("name", ["OPT", "BOUNDSCHECK", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT"])
def test_code_made_with_other_options_is_not_taken(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run()
    compiled = compilation.kernel(plus_one)
    assert compilation.would_load(compiled, INT64)
    monkeypatch.setattr(compilation.config, name, 2)
    assert not compilation.would_load(compiled, INT64)


def test_a_closure_is_not_kept(place: Path) -> None:
    """What its cells hold is in no key."""
    n = 3
    compiled = compilation.kernel(lambda x: x + n)
    assert compiled(1) == 4
    assert not files(place)


def test_without_sources_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would tell one version of them from another."""
    monkeypatch.setattr(compilation, "_KERNELS", tmp_path)
    assert compilation._sources_key() is None
    (tmp_path / "unreadable.py").mkdir()
    assert compilation._sources_key() is None


# --- where it is -----------------------------------------------------------------------------


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = str(compilation._KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setattr(compilation.config, "CACHE_DIR", "")
    monkeypatch.delenv("FASTVAE_CACHE", raising=False)
    if sys.platform != "darwin":
        assert compilation.cache_folder() == tmp_path / "c" / "fastvae" / f"kernels-{key}"
    monkeypatch.setattr(compilation.config, "CACHE_DIR", str(tmp_path / "b"))
    assert compilation.cache_folder() == tmp_path / "b" / "fastvae" / f"kernels-{key}"
    monkeypatch.setenv("FASTVAE_CACHE", str(tmp_path / "a"))
    assert compilation.cache_folder() == tmp_path / "a" / f"kernels-{key}"
    monkeypatch.setenv("FASTVAE_CACHE", "")
    assert compilation.cache_folder() == tmp_path / "b" / "fastvae" / f"kernels-{key}"


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place where no variable names one, in a home folder of its own."""
    monkeypatch.delenv("FASTVAE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(compilation.config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    caches = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return caches / "fastvae"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_the_default_place_is_ours_alone(default: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert not run()
    finally:
        os.umask(before)
    assert mode_of(default) == mode_of(files(default)[0].parent) == 0o700
    assert run()


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777, 0o1777])
def test_a_default_place_with_other_modes_is_mended(default: Path, mode: int) -> None:
    run()
    folder = files(default)[0].parent
    default.chmod(mode)
    folder.chmod(mode)
    assert run()
    assert mode_of(default) == mode_of(folder) == 0o700


def test_a_default_place_that_cannot_be_mended_is_refused(
    default: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    default.chmod(0o777)
    monkeypatch.setattr(os, "fchmod", failing(errno.EROFS))
    with pytest.warns(RuntimeWarning, match=r"can be written by other users \(its mode is 0777\)"):
        assert not run()


@pytest.mark.parametrize("mode", [0o775, 0o2775])
def test_a_group_that_may_write_in_the_home_is_its_owner_s_matter(default: Path, mode: int) -> None:
    run()
    for above in list(default.parents)[:2]:
        above.chmod(mode)
    assert run()
    default.parent.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"{default.parent} can be written by other users"):
        assert not run()


@pytest.mark.parametrize("variable", ["FASTVAE_CACHE", "NUMBA_CACHE_DIR"])
def test_a_relative_name_is_that_of_the_first_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    cache._absolute.cache_clear()
    monkeypatch.delenv("FASTVAE_CACHE", raising=False)
    if variable == "FASTVAE_CACHE":
        monkeypatch.setenv(variable, "code")
    else:
        monkeypatch.setattr(compilation.config, "CACHE_DIR", "code")
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path)
    run()
    monkeypatch.chdir(tmp_path / "later")
    assert run()
    cache._absolute.cache_clear()
    assert (tmp_path / "code").is_dir()
    assert not list((tmp_path / "later").iterdir())


@pytest.mark.parametrize("home", ["", ".", "relative"])
def test_a_home_that_is_no_place_is_not_taken(
    default: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    import pwd

    entry = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(
        pwd, "getpwuid", lambda _: pwd.struct_passwd((*entry[:5], str(tmp_path), entry[6]))
    )
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.chdir(tmp_path)
    run()
    assert files(default)
    assert not (tmp_path / "fastvae").exists()


def test_without_a_home_nothing_is_kept(default: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(_: int) -> Any:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    with pytest.warns(RuntimeWarning, match="has no home folder"):
        assert not run()
    assert compilation.cache_folder() is None


# --- who may have written there ----------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777, 0o1770, 0o2775])
def test_a_named_place_that_others_can_write_is_refused_once(place: Path, mode: int) -> None:
    run()
    place.chmod(mode)
    with pytest.warns(
        RuntimeWarning, match=rf"{place} can be written .* {mode:04o}.*FASTVAE_CACHE"
    ):
        assert not run()
    assert not run(plus_two)  # without a word, or the warning would be an error
    assert compilation.cache_folder() is None
    assert mode_of(place) == mode


@pytest.mark.parametrize("mode", [0o775, 0o777])
def test_so_is_one_whose_folder_of_the_key_others_can_write(place: Path, mode: int) -> None:
    run()
    files(place)[0].parent.chmod(mode)
    with pytest.warns(RuntimeWarning, match=f"kernels-.* can be written .* {mode:04o}"):
        assert not run()


def test_so_is_one_that_could_be_exchanged(place: Path) -> None:
    run()
    above = place.parent
    above.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"{above} can be written by other users"):
        assert not run()
    above.chmod(0o1777)
    assert run()


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o750])
def test_a_named_place_that_others_cannot_write_is_taken_as_it_is(place: Path, mode: int) -> None:
    run()
    place.chmod(mode)
    assert run()
    assert mode_of(place) == mode


def test_a_named_place_can_be_read_by_others(place: Path) -> None:
    """It may be made by root for all."""
    before = os.umask(0o022)
    try:
        run()
    finally:
        os.umask(before)
    assert mode_of(place) == mode_of(files(place)[0].parent) == 0o755
    assert mode_of(files(place)[0]) == 0o644


def test_a_shared_folder_has_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTVAE_CACHE", raising=False)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(compilation.config, "CACHE_DIR", str(shared))
    run()
    assert mode_of(shared / "fastvae") == 0o700
    assert run()
    shared.chmod(0o777)
    with pytest.warns(RuntimeWarning, match=f"{shared} can be written by other users"):
        assert not run()


def as_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files that there are belong to others, as far as is looked at."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4321)


@pytest.mark.skipif(AS_ROOT, reason="root's own files are root's to everybody")
def test_what_belongs_to_another_user_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    as_another_user(monkeypatch)
    with pytest.warns(RuntimeWarning, match=f"belongs to user {os.getuid()}"):
        assert not run()


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
class TestOwners:
    """Places, folders, files and links that belong to others."""

    @pytest.fixture(autouse=True)
    def _shared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder as /tmp, in which everybody may make a folder of the name that is looked for."""
        monkeypatch.delenv("FASTVAE_CACHE", raising=False)
        self.shared = tmp_path / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o1777)
        monkeypatch.setattr(compilation.config, "CACHE_DIR", str(self.shared))

    def test_who_made_it_first_is_refused(self) -> None:
        run()
        for path in (self.shared / "fastvae", files(self.shared / "fastvae")[0].parent):
            os.chown(path, NOBODY, -1)
            cache._said = False
            with pytest.warns(RuntimeWarning, match=f"{path} belongs to user {NOBODY}, not to 0"):
                assert not run()
            os.chown(path, 0, -1)
        assert run()

    def test_a_file_of_another_user_is_not_unpickled(self) -> None:
        run()
        [path] = files(self.shared / "fastvae")
        signed(path, pickle.dumps(Bomb()))
        os.chown(path, NOBODY, -1)
        assert not run()
        assert path.stat().st_uid == 0
        assert run()

    def test_a_link_of_another_user_is_not_followed(self, tmp_path: Path) -> None:
        run()
        (self.shared / "fastvae").rename(tmp_path / "ours")
        (self.shared / "fastvae").symlink_to(tmp_path / "ours")
        assert run()
        os.lchown(self.shared / "fastvae", NOBODY, -1)
        with pytest.warns(RuntimeWarning, match=f"link .* belongs to user {NOBODY}"):
            assert not run()

    def test_a_folder_above_that_is_of_another_user(self) -> None:
        run()
        os.chown(self.shared, NOBODY, -1)
        with pytest.warns(RuntimeWarning, match=f"{self.shared} belongs to user {NOBODY}"):
            assert not run()

    def test_what_belongs_to_root_is_taken_where_it_was_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a user would, but for the access that root has anyway."""
        run()
        as_another_user(monkeypatch)
        assert run()
        monkeypatch.setenv("FASTVAE_CACHE", str(self.shared / "fastvae"))
        assert run()
        monkeypatch.delenv("FASTVAE_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.shared))
        monkeypatch.setenv("HOME", str(self.shared / "home"))
        monkeypatch.setattr(compilation.config, "CACHE_DIR", "")
        with pytest.warns(RuntimeWarning, match="belongs to user 0, not to 4321"):
            assert not run()


def test_a_private_group_is_nobody_else(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many systems give each user a group, and let it write all that the user makes."""
    run()
    place.parent.chmod(0o775)
    monkeypatch.setattr(cache, "_private_group", lambda group: group == os.getegid())
    os.chown(place.parent, -1, os.getegid())
    assert run()
    place.parent.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="0777"):
        assert not run()


def test_which_group_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    name = pwd.getpwuid(os.geteuid()).pw_name
    for group, members, expected in [
        (name, [], True),
        (name, [name], True),
        (name, [name, "other"], False),
        ("staff", [], False),
        ("staff", [name], False),
    ]:
        entry = grp.struct_group((group, "x", 1, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _, entry=entry: entry)
        assert cache._private_group(1) == expected


# --- failures stop nothing ---------------------------------------------------------------------


def failing(number: int) -> Callable[..., Any]:
    def fails(*args: Any, **settings: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fails


NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.EMFILE]


@pytest.mark.parametrize("number", NUMBERS, ids=map(errno.errorcode.get, NUMBERS))
@pytest.mark.parametrize("call", ["open", "mkdir", "replace", "fstat", "write"])
def test_a_failing_disk_stops_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    if call == "write":
        monkeypatch.setattr(cache, "open", failing(number), raising=False)
    else:
        monkeypatch.setattr(os, call, failing(number))
    with pytest.warns(RuntimeWarning, match=os.strerror(number)):
        assert not run()
    assert not run(plus_two)  # without a word
    monkeypatch.undo()
    assert not list(place.glob("*/*"))


def test_a_limit_of_file_sizes_stops_nothing(place: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.warns(RuntimeWarning, match="too large"):
            assert not run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(place.glob("*/*"))


def test_places_that_cannot_be_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "inner" / f"kernels-{compilation._KEY}")
    for named in [
        tmp_path / "fifo",
        tmp_path / "inner",
        tmp_path / "file",
        tmp_path / "file" / "below",
        tmp_path / "loop",
        tmp_path / "loop" / "below",
        tmp_path / ("x" * 300),
        tmp_path / "/".join(["x" * 200] * 30),
        "/proc/nothing/here",
        "~nobody-of-that-name/cache",
        "\udcff" * 300,
    ]:
        monkeypatch.setenv("FASTVAE_CACHE", str(named))
        monkeypatch.setattr(cache, "_said", False)
        with pytest.warns(RuntimeWarning, match="machine code is not cached"):
            assert not run()
        assert compilation.cache_folder() is None


def test_a_name_that_no_file_can_have_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment there is none; Numba's own file of settings may hold one."""
    monkeypatch.delenv("FASTVAE_CACHE", raising=False)
    monkeypatch.setattr(cache.config, "CACHE_DIR", "/tmp/a\0b")
    with pytest.warns(RuntimeWarning, match="machine code is not cached .*embedded null"):
        assert not run()


def test_a_working_folder_that_is_gone_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("FASTVAE_CACHE", "not seen before")
    gone.rmdir()
    with pytest.warns(RuntimeWarning, match="machine code is not cached"):
        assert not run()


def test_a_folder_that_is_deleted_meanwhile_is_made_again(place: Path) -> None:
    run()
    for path in files(place):
        path.unlink()
        path.parent.rmdir()
    place.rmdir()
    assert not run()
    assert run()


def test_the_warning_may_be_an_error(place: Path) -> None:
    """Then it ends the call, not the process's ability to compile."""
    run()
    place.chmod(0o777)
    compiled = compilation.kernel(plus_one)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            compiled(1)
    assert compiled(1) == 2


@pytest.mark.parametrize("call", ["replace", "rmdir", "fstat"])
def test_an_interrupt_leaves_no_half_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    run()
    [path] = files(place)
    path.write_bytes(b"")

    def interrupted(*args: Any, **settings: Any) -> Any:
        raise KeyboardInterrupt

    compiled = compilation.kernel(plus_one)
    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        compiled(1)
    monkeypatch.undo()
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    monkeypatch.setenv("FASTVAE_CACHE", str(place))
    assert not run()
    assert run()


def test_what_killed_processes_left_is_cleared_some_time(place: Path) -> None:
    run()
    folder = files(place)[0].parent
    old, new = folder / ".plus_two.code.0.tmp", folder / ".plus_two.code.1.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 7200))
    run(plus_two)
    assert not old.exists()
    assert new.exists()


# --- a place that is only read -----------------------------------------------------------------


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be one that is only read."""

    def opened(path: Any, flags: int, *args: Any, really: Any = os.open, **settings: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return int(really(path, flags, *args, **settings))

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fchmod", failing(errno.EROFS))


@pytest.mark.parametrize("mode", [0o555, 0o755])
def test_a_prepared_place_is_read(place: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    run()
    place.chmod(mode)
    read_only(monkeypatch)
    assert run()
    assert compilation.cache_folder() == files(place)[0].parent
    with pytest.warns(RuntimeWarning, match=r"Read-only file system.*compiled anew"):
        assert not run(plus_two)
    assert run()


@pytest.mark.skipif(AS_ROOT, reason="no mode binds root")
def test_a_place_that_its_user_may_only_read(place: Path) -> None:
    run()
    folder = files(place)[0].parent
    folder.chmod(0o555)
    try:
        assert run()
        with pytest.warns(RuntimeWarning, match=r"Permission denied.*compiled anew"):
            assert not run(plus_two)
    finally:
        folder.chmod(0o755)


# What is imported must be so before rights are dropped.
PREPARED = """
import os
import sys
import warnings

import numpy as np
from numba.core import event

from fastvae import VAE, kernels
from fastvae.kernels.machine.compilation import kernel

rows = np.random.default_rng(0).random((20, 7))
VAE.from_sizes(7, (5,), 2, dtype=np.float64).fit(rows, epochs=1, verbose=False)
kernel(lambda n: np.empty(n))(3)
os.environ["FASTVAE_CACHE"] = sys.argv[1]
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
assert not os.access(kernels.cache_folder(), os.W_OK)
assert kernels.is_compiled()
with event.install_recorder("numba:compile") as compiled:
    vae = VAE.from_sizes(7, (5,), 2)
    vae.fit(rows, epochs=1, verbose=False)
    assert vae.sample(1).shape == (1, 7)
    assert not compiled.buffer
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        kernels.permutation(np.empty(5, np.int64), 0, 0, 0)
        vae.feedforward(np.zeros((1, 7), np.float32))
    assert compiled.buffer, "this was to be missing"
assert [str(one.message)[:26] for one in heard] == ["machine code is not cached"], heard
"""


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_what_root_prepared_serves_another_user() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name, "code")
        environment = os.environ | {"FASTVAE_CACHE": str(place)}
        copy_code(place, np.float32)
        Path(name).chmod(0o755)
        assert program("import fastvae; fastvae.VAE.from_sizes(7, (5,), 2)", environment) == ""
        assert program(PREPARED, os.environ, name + "/code") == ""


# --- what is needed ----------------------------------------------------------------------------


def program(text: str, environment: Any, *arguments: str) -> str:
    """Run a program in a process of its own, in which warnings are errors; return its output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_code(place: Path, *dtypes: Any) -> list[Path]:
    """Fill a place with what training in these dtypes needs; compile it, if need be."""
    source, target = kernels.cache_folder(), place / f"kernels-{compilation._KEY}"
    assert source is not None
    if not kernels.is_compiled(dtypes, on_disk=True):
        program(
            f"from fastvae import kernels; kernels.warmup({[str(np.dtype(d)) for d in dtypes]})",
            os.environ,
        )
    place.mkdir(mode=0o755)
    target.mkdir(mode=0o755)
    names = [
        function._cache._name(argument_types, function.targetctx.codegen())
        for dtype in dtypes
        for function, argument_types in warmup._needed(np.dtype(dtype))
    ]
    return [Path(shutil.copy(source / name, target)) for name in dict.fromkeys(names)]


@pytest.mark.slow
def test_is_compiled_looks_at_the_very_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "code"
    copied = copy_code(place, np.float32, np.float64)
    assert len(copied) == 7
    monkeypatch.setenv("FASTVAE_CACHE", str(place))

    def compiled(dtype: Any) -> bool:
        return kernels.is_compiled((dtype,), on_disk=True)

    assert compiled(np.float32)
    assert compiled("float64")
    needed = [(np.float32, copied[:4]), (np.float64, [copied[0], *copied[4:]])]
    for path in copied:
        content = path.read_bytes()
        for harm in (b"", content[:-1], None):
            if harm is None:
                path.unlink()
            else:
                path.write_bytes(harm)
            for dtype, paths in needed:
                assert compiled(dtype) == (path not in paths), path
        path.write_bytes(content)
    assert kernels.is_compiled((np.float32, np.float64), on_disk=True)


# Dispatchers ask their cache for what they have not in memory.
ASKED = """
import numpy as np
from fastvae import VAE, kernels
from fastvae.kernels.machine.cached_code import CachedCode

asked, load = [], CachedCode.load_overload

def noted(self, signature, target_context):
    asked.append(self._function[1])
    return load(self, signature, target_context)

CachedCode.load_overload = noted
"""
NEEDED = """
rows = np.random.default_rng(0).random((40, 9))
for dtype in (np.float32, np.float64):
    vae = VAE.from_sizes(9, (5,), 2, dtype=dtype)
    asked.clear()
    vae.fit(rows, validation=rows[:7], clip_norm=1.0, epochs=2, verbose=False)
    print(*sorted(asked))
    assert kernels.is_compiled((dtype,))
"""
COMMANDS = """
import sys
import warnings
import matplotlib
from fastvae.commands.cli import main

warnings.filterwarnings("ignore", ".*effective sample size")

matplotlib.use("Agg")
assert main(["warmup", *sys.argv[1:]]) == 0
assert main(["warmup", *sys.argv[1:]]) == 0
asked.clear()
train = "train --dataset synthetic_digits --train-size 200 --test-size 40 --epochs 2"
options = "--validation 30 --latent 2 --hidden 9 --output out --sample-grid 1 --clip-norm 1"
assert main([*train.split(), *options.split(), "--animation"]) == 0
for likelihood in ("gaussian", "bernoulli"):
    options = f"--likelihood {likelihood} --batch-size 7 --optimizer sgd --output {likelihood}"
    assert main([*train.split(), *options.split()]) == 0
assert main([*train.split(), "--binarize", "dynamic", "--output", "drawn"]) == 0
learned = "gaussian --sigma learned --output learned"
for likelihood in ("continuous_bernoulli --output grey", learned):
    options = f"--latent 2 --clip-norm 1 --likelihood {likelihood}"
    assert main([*train.split(), *options.split()]) == 0
models = ["out", "grey", "learned"]
if sys.argv[1:]:
    vae = VAE.from_sizes(784, (9,), 2, dtype=np.float64)
    vae.card["dataset"] = "synthetic_digits"
    vae.save("float64.safetensors")
    models.append("float64.safetensors")
commands = ["evaluate", "sample", "reconstruct", "interpolate", "manifold", "latent", "info"]
commands += ["evaluate --nll 200 --test-size 5", "sample --output sample.gif"]
assert main(["evaluate", "--binarize", "fixed", "out"]) == 0
commands += ["interpolate --output interpolation.gif"]
for model in models:
    for command in commands:
        assert main([*command.split(), model]) == 0
assert not asked, asked
"""


@pytest.mark.slow
def test_what_training_needs_is_listed() -> None:
    lines = program(ASKED + NEEDED, os.environ).splitlines()
    assert lines == [
        "run_member run_steps run_task shuffle",
        "run_member run_steps run_task",
    ]


@pytest.mark.slow
def test_after_warmup_in_python_nothing_is_loaded_to_make_and_train_a_model() -> None:
    warmed = """
for dtype in (np.float32, np.float64):
    kernels.warmup((dtype,))
    asked.clear()
    VAE.from_sizes(9, (5,), 2, dtype=dtype).fit(np.eye(9), epochs=1, verbose=False)
    assert not asked, asked
"""
    program(ASKED + warmed, os.environ)


FORKED = """
import os
import numpy as np
from fastvae import VAE, kernels

vae = VAE.from_sizes(7, (5,), 2)

def fit():
    vae.fit(np.eye(20, 7), epochs=1, verbose=True)
    assert kernels.is_compiled()

fit()
child = os.fork()
if child == 0:
    assert not kernels.is_compiled()
    print("child", flush=True)
    fit()
    fit()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert kernels.is_compiled()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_works_alone_says_that_it_compiles_what_only_it_needs(tmp_path: Path) -> None:
    place = tmp_path / "code"
    copy_code(place, np.float32)
    environment = os.environ | {"FASTVAE_CACHE": str(place), "NUMBA_THREADING_LAYER": "omp"}
    lines = program(FORKED, environment).splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("child", "compiling"))] == [
        "child",
        "compiling",
    ], lines


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--float64"]])
def test_after_warmup_no_command_compiles(tmp_path: Path, options: list[str]) -> None:
    moved = f"import os; os.chdir({str(tmp_path)!r})\n"
    output = program(ASKED + moved + COMMANDS, os.environ, *options)
    assert f"already compiled, in {kernels.cache_folder()}" in output


@pytest.mark.slow
def test_warmup_says_what_is_kept(tmp_path: Path) -> None:
    text = "from fastvae.commands.cli import main; main(['warmup'])"
    program(text, os.environ)
    source = compilation.cache_folder()
    assert source is not None
    place = tmp_path / "code"
    shutil.copytree(source, place / source.name)
    environment = os.environ | {"FASTVAE_CACHE": str(place)}
    assert program(text, environment) == f"already compiled, in {place / source.name}\n"
    for path in files(place):
        if path.name.startswith(("shuffle", "draw_strokes")):
            path.write_bytes(path.read_bytes()[:-1])
            last = program(text, environment)
            assert last.startswith("compiled in")
            assert last.endswith(f" s, kept in {place / source.name}\n")


def test_warmup_does_not_say_that_it_keeps_what_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["warmup"]) == 0
    monkeypatch.setenv("FASTVAE_CACHE", str(tmp_path))
    tmp_path.chmod(0o777)
    assert kernels.is_compiled()
    assert not kernels.is_compiled(on_disk=True)
    capsys.readouterr()
    assert main(["warmup"]) == 0
    assert capsys.readouterr().out == "already compiled, not kept: no cache folder can be used\n"
