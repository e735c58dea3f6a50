"""The CPUs that this process may use, and what is asked of Numba's number of threads.

Numba reads `NUMBA_NUM_THREADS` when it is imported, so this module comes before it: see
`machine.__init__`.
"""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_THREADS = 1024
"""More threads than any machine has CPUs; from some 10,000 on the pools of threads break."""
_ROOT = Path("/")


def usable_cpus() -> int:
    """Return the CPUs that this process may run on (its affinity, as `taskset` sets it)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_threads() -> int:
    """Return the largest number of threads that may be asked for."""
    return max(MOST_THREADS, usable_cpus())


def cpu_quota() -> int | None:
    """Return the CPUs that this process's control groups allow it, rounded up; None for all.

    A group's quota holds for the groups in it, so the least counts of the process's own group and
    those around it, of versions 1 and 2.
    """
    try:
        quotas = [quota for folder in _cgroups() for quota in _quotas(folder)]
    except (OSError, ValueError):
        return None
    return max(1, math.ceil(min(quotas))) if quotas else None


def _cgroups() -> Iterator[Path]:
    """The folders of the groups that the process is in, up to where they are mounted."""
    own: dict[str, str] = {}
    for line in (_ROOT / "proc/self/cgroup").read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    for line in (_ROOT / "proc/self/mountinfo").read_text("utf-8").splitlines():
        place, _, system = line.partition(" - ")
        kind, _, options = system.split()[:3]
        controller = {"cgroup": "cpu", "cgroup2": ""}.get(kind)
        if controller is None or (controller and controller not in options.split(",")):
            continue
        inside, mounted = (text.replace("\\040", " ") for text in place.split()[3:5])
        top = _ROOT / mounted.lstrip("/")
        group = Path(own.get(controller, "/"))
        # A container may see the group's name on the host, and only what is inside of it.
        folder = top / group.relative_to(inside) if group.is_relative_to(inside) else top
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder


def _quotas(folder: Path) -> Iterator[float]:
    """The CPUs that one group allows, as many as it says."""
    pairs = [(folder / "cpu.max",), (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")]
    for files in pairs:
        try:
            quota, period = " ".join(file.read_text("utf-8") for file in files).split()
            if quota not in ("max", "-1"):
                yield float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue


def prepare_numba() -> None:
    """Check `NUMBA_NUM_THREADS`; where it is not given, set it to a quota that leaves CPUs unused.

    Numba's pool of threads is then no larger, for all that runs in this process.

    Raises
    ------
    ValueError
        If it is not a whole number from 1 to `most_threads()`.
    """
    given = os.environ.get("NUMBA_NUM_THREADS")
    if given is not None:
        check_number("NUMBA_NUM_THREADS", given)
    elif "numba" not in sys.modules:
        quota = cpu_quota()
        if quota is not None and quota < usable_cpus():
            os.environ["NUMBA_NUM_THREADS"] = str(quota)


def check_number(name: str, given: object) -> None:
    """Refuse what is no number of threads.

    Raises
    ------
    ValueError
    """
    try:
        number = int(str(given))
    except ValueError:
        number = 0
    if not 1 <= number <= most_threads():
        raise ValueError(
            f"{name} must be a whole number from 1 to {most_threads()}; got {str(given)[:40]!r}"
        )
