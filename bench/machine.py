"""What a result depends on besides the code: processor, cores, versions, threading layer.

`python -m bench.machine` prints the facts as JSON, of the environment that it is started with.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "numba", "llvmlite", "tbb", "torch", "jax", "jaxlib")


def cpus() -> int:
    """Number of logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rest(seconds: float) -> float:
    """Sleep; return the share of the CPUs' time that others used in the second half of it.

    In the first half thread pools may still spin. A thread pool that shares its CPUs with others
    can be a hundred times slower, so a result must say whether it had them to itself. 0 where the
    system does not tell.
    """
    time.sleep(seconds / 2)
    before = _cpu_times()
    time.sleep(seconds / 2)
    idle, total = (after - start for after, start in zip(_cpu_times(), before, strict=True))
    return 1 - idle / total if total > 0 else 0.0


def _cpu_times() -> tuple[float, float]:
    """Idle and total time of the CPUs of this process so far (proc(5), /proc/stat)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    times = [[float(t) for t in line.split()[1:9]] for line in lines if line.split()[0] in names]
    return sum(t[3] + t[4] for t in times), sum(map(sum, times))


def facts() -> dict[str, Any]:
    """Return the facts about this machine; no names of hosts, users or folders."""
    import numpy as np

    from fastvae import __version__, kernels
    from fastvae.commands.machine import cpu_name

    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "cpu": cpu_name(),
        "cpus": cpus(),
        "threads": kernels.get_num_threads(),
        "instruction_set": kernels.isa(),
        "threading_layer": kernels.threading_layer(),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "versions": {"fastvae": __version__, "python": platform.python_version(), **_versions()},
    }


def why_blas_is_unknown() -> str | None:
    """Return why the kernel that a BLAS runs cannot be told here, None where it can."""
    if importlib.util.find_spec("threadpoolctl") is not None:
        return None
    return (
        "threadpoolctl is not installed; it tells which kernel NumPy's BLAS really runs, without "
        "which no figure of NumPy is kept: pip install 'fastvae-cpu[bench]'"
    )


def blas_kernels() -> list[dict[str, Any]]:
    """Return what NumPy's BLAS really runs in this process, as the library itself says.

    `architecture` is the core whose kernels OpenBLAS or BLIS chose, None where a library does not
    tell. It is the library that came with NumPy (SciPy brings another), or where there is none
    such, each BLAS in the process. Folders are left out.
    """
    import numpy as np
    from threadpoolctl import threadpool_info

    facts = ("internal_api", "version", "architecture", "num_threads")
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    package = str(Path(np.__file__).parent)  # wheels keep libraries in numpy/ or in numpy.libs/
    own = [library for library in libraries if library["filepath"].startswith(package)]
    return [{fact: library.get(fact) for fact in facts} for library in own or libraries]


def blas_text(kernels: list[dict[str, Any]] | None) -> str:
    """Return in words what `blas_kernels` found, or that nothing was recorded."""
    if kernels is None:
        return "not recorded"
    if not kernels:
        return "unknown to threadpoolctl"
    return " and ".join(
        f"{one['architecture'] or 'not told'} ({one['internal_api']} {one['version']}, "
        f"{one['num_threads']} thread{'' if one['num_threads'] == 1 else 's'})"
        for one in kernels
    )


def commit() -> str:
    """Return the commit of this repository, marked where its code was changed since; or nothing."""
    head = _git("rev-parse", "--short=7", "HEAD")
    changed = _git("status", "--porcelain", "--", "fastvae", "kernels", "bench/*.py")
    return f"{head} with changes" if head and changed else head


def _git(*arguments: str) -> str:
    """What git prints of this repository; nothing where there is no git or no repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


if __name__ == "__main__":
    print(json.dumps(facts()))
