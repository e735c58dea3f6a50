"""How many threads: what the CPUs, quotas and variables of a process make of it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import numba
import pytest
from model_checks import pixel_rows, small_vae

import fastvae
from fastvae import kernels
from fastvae.kernels.machine import cpus, threads

PACKAGE = Path(fastvae.__file__).parent


def in_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_NUM_THREADS"} | variables
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300,
        env=environment,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("given", ["100000", "abc", "0", "-3", "", "1.5", "1e3", "9" * 5000])
def test_an_impossible_number_of_threads_is_named(given):
    done = in_python("from fastvae import VAE", NUMBA_NUM_THREADS=given)
    line = done.stderr.splitlines()[-1]
    assert line.startswith("ValueError: NUMBA_NUM_THREADS must be a whole number from 1 to 1024")
    assert given[:40] in line
    assert len(line) < 200


def test_as_many_threads_as_cpus_are_always_possible(monkeypatch):
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 5000)
    cpus.check_number("n", 5000)
    with pytest.raises(ValueError, match="from 1 to 5000; got '5001'"):
        cpus.check_number("n", 5001)


V1, V2 = "cgroup rw,cpu,cpuacct", "cgroup2 rw"
FILES = {V1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), V2: ("cpu.max",)}


def groups(root, monkeypatch, system, own, quotas, *, inside="/", mounted="/sys/fs/cgroup"):
    """A file system with a process in the group `own`; `quotas` are those of folders."""
    kind, options = system.split()
    (root / "proc/self").mkdir(parents=True)
    controllers = "4:memory:/other\n3:cpu,cpuacct" if system == V1 else "0:"
    (root / "proc/self/cgroup").write_text(f"{controllers}:{own}\n")
    (root / "proc/self/mountinfo").write_text(
        "22 1 8:1 / / rw,relatime - ext4 /dev/sda rw\n"
        f"33 22 0:9 {inside} {mounted} rw,nosuid shared:7 - {kind} cgroup {options}\n"
    )
    for folder, text in quotas.items():
        path = root / mounted.lstrip("/") / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, part in zip(FILES[system], text.split("|"), strict=True):
            (path / name).write_text(part)
    monkeypatch.setattr(cpus, "_ROOT", root)


CASES = {
    "root": (V2, "/", {"": "200000 100000\n"}, 2),
    "own": (V2, "/a/b", {"a/b": "150000 100000\n"}, 2),
    "parent": (V2, "/a/b", {"a": "100000 100000", "a/b": "max 100000"}, 1),
    "least": (V2, "/a/b/c", {"": "9 1", "a": "300000 100000", "a/b/c": "500000 100000"}, 3),
    "another's": (V2, "/a", {"b": "100000 100000", "a": "max 100000"}, None),
    "small": (V2, "/a", {"a": "1000 100000"}, 1),
    "none": (V2, "/a", {}, None),
    "nonsense": (V2, "/a", {"a": "many 0", "": "100000 0"}, None),
    "version 1": (V1, "/x/y", {"x": "250000|100000\n", "x/y": "-1|100000"}, 3),
    "version 1, own": (V1, "/x", {"x": "50000|100000", "": "-1|100000"}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_least_quota_of_the_groups_around_the_process_counts(name, tmp_path, monkeypatch):
    *case, expected = CASES[name]
    groups(tmp_path, monkeypatch, *case)
    assert cpus.cpu_quota() == expected


@pytest.mark.parametrize("own", ["/docker/abc/inner", "/docker/abc", "/elsewhere"])
def test_a_container_sees_what_is_inside_of_it(own, tmp_path, monkeypatch):
    quotas = {"": "200000 100000", "inner": "100000 100000"}
    groups(tmp_path, monkeypatch, V2, own, quotas, inside="/docker/abc", mounted="/a\\040b")
    expected = 1 if own.endswith("inner") else 2
    (tmp_path / "a\\040b").rename(tmp_path / "a b")
    assert cpus.cpu_quota() == expected


def test_without_control_groups_there_is_no_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(cpus, "_ROOT", tmp_path)
    assert cpus.cpu_quota() is None


PREPARED = """
import os, sys, threading
sys.path.insert(0, {machine!r})
import cpus
cpus.cpu_quota = lambda: 2
cpus.usable_cpus = lambda: 64
cpus.prepare_numba()
os.sched_getaffinity = lambda pid: set(range(64))
sys.path.pop(0)
from fastvae import kernels, VAE
seen = [kernels.get_num_threads(), kernels.max_threads()]
thread = threading.Thread(target=lambda: seen.append(kernels.get_num_threads()))
thread.start(); thread.join()
print(*seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs an affinity")
def test_a_quota_is_what_the_pool_is_made_for():
    code = PREPARED.format(machine=str(PACKAGE / "kernels" / "machine"))
    assert in_python(code).stdout == "2 2 2\n"
    assert in_python(code, NUMBA_NUM_THREADS="5").stdout == "5 5 5\n"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity")
def test_the_affinity_counts():
    first = min(os.sched_getaffinity(0))
    code = "import os; os.sched_setaffinity(0, {%d}); from fastvae import kernels; print(%s)"
    asked = "kernels.get_num_threads(), kernels.max_threads()"
    assert in_python(code % (first, asked)).stdout == "1 1\n"


def elsewhere(function):
    """What a function returns in another Python thread."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append(function()))
    thread.start()
    thread.join()
    return seen[0]


@pytest.fixture
def as_before():
    before = kernels.get_num_threads()
    yield
    kernels.set_num_threads(before)


@pytest.mark.skipif(threads.max_threads() < 2, reason="needs two threads")
@pytest.mark.usefixtures("as_before")
def test_the_number_holds_for_all_python_threads():
    for n in (1, 2):
        kernels.set_num_threads(n)
        assert kernels.get_num_threads() == elsewhere(kernels.get_num_threads) == n
    elsewhere(lambda: kernels.set_num_threads(1))
    assert kernels.get_num_threads() == 1


@pytest.mark.skipif(threads.max_threads() < 2, reason="needs two threads")
@pytest.mark.usefixtures("as_before")
def test_a_number_set_through_numba_is_kept_in_its_thread():
    kernels.set_num_threads(2)

    def set_one_and_look():
        numba.set_num_threads(1)
        first = kernels.get_num_threads()
        elsewhere(lambda: kernels.set_num_threads(2))
        return first, kernels.get_num_threads()

    assert elsewhere(set_one_and_look) == (1, 1)
    assert kernels.get_num_threads() == 2


@pytest.mark.skipif(threads.max_threads() < 2, reason="needs two threads")
@pytest.mark.usefixtures("as_before")
def test_a_call_has_its_own_number_and_leaves_the_others():
    kernels.set_num_threads(2)
    seen = []

    def look(*_):
        kernels.set_num_threads(2)  # of all others
        seen.append((kernels.get_num_threads(), elsewhere(kernels.get_num_threads)))

    small_vae().fit(
        pixel_rows(40, 37), epochs=1, n_threads=1, callbacks=[look], verbose=False, batch_size=20
    )
    assert set(seen) == {(1, 2)}
    assert kernels.get_num_threads() == 2


@pytest.mark.usefixtures("as_before")
def test_teams_have_no_more_than_two_members_a_cpu(monkeypatch):
    monkeypatch.setattr(threads, "get_num_threads", lambda: 64)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 3)
    assert threads.team_size() == 6
    monkeypatch.setattr(threads, "get_num_threads", lambda: 2)
    assert threads.team_size() == 2


def test_nothing_imports_numba_before_the_kernels_have_seen_to_its_threads():
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "kernels"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not any(name.split(".")[0] == "numba" for name in [module, *names]), path


def test_parallel_kernels_are_called_by_launch_only():
    """Elsewhere they would not take turns."""
    for path in [*(PACKAGE / "kernels").rglob("*.py"), *(PACKAGE / "data").rglob("*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        parallel = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and any(getattr(d, "id", "") == "parallel_kernel" for d in node.decorator_list)
        } | {"draw_strokes", "run_steps"}
        called = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & parallel, path
