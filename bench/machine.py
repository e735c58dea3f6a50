"""What a result depends on besides the code: processor, cores, versions, threading layer."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

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

    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "cpu": _cpu_name(),
        "cpus": cpus(),
        "threads": kernels.get_num_threads(),
        "instruction_set": kernels.isa(),
        "threading_layer": kernels.threading_layer(),
        "system": f"{platform.system()} {platform.machine()}",
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "versions": {"fastvae": __version__, "python": platform.python_version(), **_versions()},
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
