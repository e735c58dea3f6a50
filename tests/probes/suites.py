"""The suite run in ways that show what a plain run hides: strict, reordered, without assertions.

`python -m probes.suites` runs the quick part of it in each way; `nox -s strict` does so.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TITLE = "The suite in other circumstances"
TEXT = """
The whole suite, then its quick part under `-W error -X dev -X warn_default_encoding` (files that
are left open, encodings that are left to the system), with five seeds of hashing, in two orders
drawn at random, under `-O` and `-OO` (no assertions, no docstrings), where no byte code is written,
and where compiled code checks its indices (`NUMBA_BOUNDSCHECK=1`, tests of kernels and engine). The
last sees what indexes arrays outside of parallel loops: the members of a team, which lead a run and
do its tasks, the permutation, Philox. Numba loses what is raised in a parallel loop, and pointers
have no bounds: these are what the walls are for. Each version of Python adds a run of its own.
"""
ROOT = Path(__file__).resolve().parents[2]
QUICK = ["-m", "not slow"]
# Encodings that others leave to the system are theirs: pyproject.toml knows fastvae's.
STRICT = ["-W", "error", "-W", "ignore::EncodingWarning"]
# Options of Python, settings of the environment, options of pytest.
WAYS: dict[str, tuple[list[str], dict[str, str], list[str]]] = {
    "whole": ([], {}, []),
    "-W error -X dev": (
        [*STRICT, "-X", "dev", "-X", "warn_default_encoding"],
        {},
        QUICK,
    ),
    **{f"hash seed {seed}": ([], {"PYTHONHASHSEED": str(seed)}, QUICK) for seed in range(5)},
    **{f"order {seed}": ([], {}, [*QUICK, "--order", str(seed)]) for seed in (1, 2)},
    # pytest warns that assertions outside of tests are gone, as is meant.
    "-O": (["-O"], {}, [*QUICK, "-W", "ignore::pytest.PytestConfigWarning"]),
    "-OO": (["-OO"], {}, [*QUICK, "-W", "ignore::pytest.PytestConfigWarning"]),
    "no byte code": ([], {"PYTHONDONTWRITEBYTECODE": "1"}, QUICK),
    "bounds checked": (
        [],
        {"NUMBA_BOUNDSCHECK": "1"},
        [*QUICK, "tests/arrays", "tests/maths", "tests/engine", "tests/machine"],
    ),
}
COUNT = len(WAYS)


def run(way: str) -> Counter[str]:
    """Run the suite in a way; return how many tests passed, were skipped or failed as expected.

    Raises
    ------
    AssertionError
        If one failed.
    """
    options, environment, arguments = WAYS[way]
    command = [sys.executable, *options, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{way}:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    found = re.findall(r"(\d+) (passed|skipped|xfailed)", done.stdout.splitlines()[-1])
    return Counter({what: int(number) for number, what in found})


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Run the suite in the first `count` ways; the seed only tells environments apart.

    Yields
    ------
    Counter
        Tests passed in each way, by the version of Python, and failures, of which there are none.
    """
    counted = Counter[str]()
    python = ".".join(platform.python_version_tuple()[:2])
    for way in list(WAYS)[:count]:
        for what, number in run(way).items():
            counted[f"{what}, Python {python}, {way}"] += number
        counted["failed"] += 0
        yield counted


def main() -> None:
    """Run all but the whole suite."""
    for way in list(WAYS)[1:]:
        print(way, dict(run(way)), flush=True)


if __name__ == "__main__":
    main()
