"""Run a command as a process; report its wall time, the time to its ready line, its peak memory.

A small process of its own, `python -m bench.measure COMMAND ...`: the peak memory that the
system reports of a child is at least that of the process that started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

READY = "ready"
"""The line by which a command says that it has come to the point of interest."""


def keeping_compiled_code(folder: Path) -> dict[str, str]:
    """Environment in which JAX keeps what it compiled from process to process, as fastvae does."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def measure_process(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command; return `seconds`, `memory_mb` and, where it said so, `ready_seconds`.

    Raises
    ------
    RuntimeError
        If the command fails; the message holds what it wrote to stderr.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.measure", *command],
        cwd=Path(__file__).resolve().parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(command: list[str]) -> int:
    """Run the command and print its figures as JSON; return its exit code."""
    start = time.perf_counter()
    figures = {}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == READY:
            figures["ready_seconds"] = time.perf_counter() - start
    _, status, usage = os.wait4(process.pid, 0)
    figures["seconds"] = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    figures["memory_mb"] = usage.ru_maxrss * unit / 1e6
    print(json.dumps(figures))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
