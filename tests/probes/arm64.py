"""The kernels' tests and the jobs of `bits` on an emulated aarch64, see tests/arm64.sh."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator

from kernel_checks import SMALLER

from fastvae import kernels
from fastvae.kernels.machine.isa import INSTRUCTION_SETS

from . import bits

TITLE = "aarch64, emulated"
TEXT = """
The tests of the kernels with NEON, and the jobs of "The same bits" with NEON and without
(`FASTVAE_ISA=generic`), with 1 to 4 threads on OpenMP and Numba's own layer, run by QEMU on this
machine. Their results are compared with those that the same jobs have on x86-64, with and without
fused multiply-add. `FASTVAE_ARM64` names the folder that `tests/arm64.sh` works in. Emulation does
arithmetic to the bit, but shows no fault of a weakly ordered memory.
"""
FILES = [
    *(f"tests/machine/test_{name}.py" for name in ("intrinsics", "simd", "subnormals", "team")),
    *(f"tests/{room}" for room in ("maths", "arrays", "engine")),
]
ENVIRONMENTS = [
    (isa, layer, n_threads)
    for isa in ("neon", "generic")
    for layer in ("omp", "workqueue")
    for n_threads in (1, 2, 4)
]
LIMIT = 7200  # seconds for one part, which may have to compile: ten times slower than usual
COUNT = len(ENVIRONMENTS) + len(FILES)


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Do so many parts: environments of `bits` in a random order, then tests.

    Yields
    ------
    Counter
        results, those equal to x86-64's, and tests that passed.

    Raises
    ------
    AssertionError
        If a result differs or a test fails.
    """
    emulated = [str(bits.TESTS / "arm64.sh"), os.environ["FASTVAE_ARM64"], "python3"]
    counted, expected = Counter[str](), {}
    order = random.Random(seed).sample(ENVIRONMENTS, len(ENVIRONMENTS))
    for isa, layer, n_threads in order[:count]:
        fused = INSTRUCTION_SETS[isa].fused
        if fused not in expected:
            here = next(
                name
                for name in (kernels.isa(), *SMALLER[kernels.isa()])
                if INSTRUCTION_SETS[name].fused == fused
            )
            expected[fused] = bits.digests_in(here, bits.LAYERS[0], 2, seed)
        found = bits.digests_in(isa, layer, n_threads, seed, emulated, LIMIT)
        wrong = bits.differing(found, expected[fused])
        assert not wrong, f"{isa}, {layer}, {n_threads} threads: {wrong} differ from x86-64's"
        counted["processes"] += 1
        counted["results"] += len(found)
        counted["results equal to those on x86-64"] += len(found)
        yield counted
    for name in FILES[: max(0, count - len(ENVIRONMENTS))]:
        done = subprocess.run(
            [*emulated, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
            env=os.environ | {"NUMBA_NUM_THREADS": "2"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        assert done.returncode == 0, f"{name}:\n{done.stdout[-4000:]}{done.stderr[-1000:]}"
        for number, what in re.findall(r"(\d+) (passed|skipped)", done.stdout.splitlines()[-1]):
            counted[f"tests {what}"] += int(number)
        yield counted
