"""The instruction set that kernels are built for, with its vector width and tile sizes.

One table holds every number that depends on the processor. `FASTVAE_ISA` forces a smaller
set than the host has (for tests, or to reproduce what another machine computes).
"""

import os
import platform
from typing import NamedTuple

import llvmlite.binding as llvm
from numba.core import config


class InstructionSet(NamedTuple):
    """What a kernel needs to know of an instruction set."""

    name: str
    vector_bytes: int
    """Bytes of one vector register."""
    tile_rows: int
    """Rows of the register tile of a matrix product."""
    tile_vectors: int
    """Vectors per row of the tile; `tile_rows * tile_vectors` accumulators stay in registers."""
    short_rows: int
    """Rows of the tile that the last rows are taken in, where the larger one would be padded."""
    sparse_panels: int
    """Panels that one row is multiplied with where its zeros are skipped."""
    fused: bool
    """Whether the hardware has fused multiply-add; without it, a product is rounded first."""
    compresses: bool
    """Whether one instruction moves the lanes of a mask side by side."""
    register_class: str | None
    """The constraint of inline assembly that means any vector register."""


class Processor(NamedTuple):
    """What a family of processors calls what all of them have."""

    flush_bits: int
    """Bits of the floating-point mode that flush subnormal numbers, operands and results."""
    pause: tuple[str, tuple[int, ...]] | None
    """LLVM's name of the instruction for a thread that spins, and its operands."""


CACHE_LINE = 64
"""Bytes that memory moves at a time."""
LINE_FLOATS = CACHE_LINE // 4
"""Elements of a cache line in float32; in float64 every line is asked for twice."""
LINE_PAIR_WORDS = 2 * CACHE_LINE // 8
"""Words of two cache lines, which x86 fetches as a pair."""
BLOCK = 128
"""Contracted indices taken at a time: a part of a panel of 8 KB (AVX2) or 16 KB (AVX-512), which
stays in the first-level cache."""
SPANS = 2
"""Spans of listed non-zeros taken at a time: of one, runs are so short that starting them costs
more than the first-level cache saves; four do not fit in it."""


# A tile needs tile_rows * tile_vectors accumulators and tile_vectors + 1 operands in registers
# (32 with AVX-512 and NEON, 16 otherwise), at least 8 accumulators to hide the latency of fma
# (the short tile too, or it gains nothing), and a width that is a multiple of 8 elements in
# float64 too (losses are summed in groups of 8). One row has tile_vectors * sparse_panels
# accumulators: 8 with AVX2, 4 with AVX-512, where 8 took 14 % longer on a Zen 4 (a part of the
# panels that long does not stay in the first-level cache).
INSTRUCTION_SETS = {
    "avx512": InstructionSet("avx512", 64, 8, 2, 4, 2, True, True, "v"),
    "avx2": InstructionSet("avx2", 32, 6, 2, 4, 4, True, False, "x"),
    "neon": InstructionSet("neon", 16, 4, 4, 2, 2, True, False, "w"),
    "generic": InstructionSet("generic", 16, 2, 4, 2, 2, False, False, None),
}
# x86's MXCSR: flush-to-zero of results and denormals-are-zero of operands; Arm's FPCR: FZ.
_PROCESSORS = {
    "x86": Processor(0x8040, ("llvm.x86.sse2.pause", ())),
    "arm": Processor(1 << 24, ("llvm.aarch64.hint", (1,))),  # yield
    "other": Processor(0, None),
}
_SMALLER = {
    "avx512": ("avx512", "avx2", "generic"),
    "avx2": ("avx2", "generic"),
    "neon": ("neon", "generic"),
    "generic": ("generic",),
}


def processor_family() -> str:
    """Return x86, arm (64 bit) or other."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return "x86"
    return "arm" if machine in ("aarch64", "arm64") else "other"


def _host_instruction_set() -> str:
    features = llvm.get_host_cpu_features()
    if processor_family() == "arm":
        return "neon"
    if all(features.get(f, False) for f in ("avx512f", "avx512vl", "avx512bw", "avx512dq")):
        return "avx512"
    if features.get("avx2", False) and features.get("fma", False):
        return "avx2"
    return "generic"


def _restrict_compiler(name: str) -> None:
    """Take the features beyond `name` from Numba's code generator, for this process."""
    if name == "generic":
        config.CPU_NAME = "generic"
        config.CPU_FEATURES = ""
    elif name == "avx2":
        features = llvm.get_host_cpu_features()
        for feature in features:
            if feature.startswith(("avx512", "avx10", "amx")):
                features[feature] = False
        config.CPU_NAME = "haswell"
        config.CPU_FEATURES = features.flatten()


def _select() -> InstructionSet:
    host = _host_instruction_set()
    forced = os.environ.get("FASTVAE_ISA", "").strip().lower()
    if not forced or forced == host:
        return INSTRUCTION_SETS[host]
    if forced not in _SMALLER[host]:
        raise ValueError(
            f"FASTVAE_ISA={forced!r} is not available; this processor runs: "
            + ", ".join(_SMALLER[host])
        )
    _restrict_compiler(forced)
    return INSTRUCTION_SETS[forced]


ISA = _select()
PROCESSOR = _PROCESSORS[processor_family()]


def isa() -> str:
    """Return the name of the instruction set in use: avx512, avx2, neon or generic."""
    return ISA.name


def lanes(itemsize: int) -> int:
    """Return how many elements of `itemsize` bytes one vector holds."""
    return ISA.vector_bytes // itemsize


def panel_width(itemsize: int) -> int:
    """Return the columns of one weight panel: the width of the register tile, in elements."""
    return ISA.tile_vectors * lanes(itemsize)
