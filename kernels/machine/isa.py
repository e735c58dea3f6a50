"""The instruction set that kernels are built for, with its vector width and tile sizes.

One table holds every number that depends on it; what caches like is in `sizes`. The set is the
largest that the processor has and that Numba's code generator may use: `NUMBA_CPU_NAME`,
`NUMBA_CPU_FEATURES` and `NUMBA_ENABLE_AVX` can take features from it. `FASTVAE_ISA` forces a
smaller set (for tests, or to reproduce what another machine computes).
"""

import os
import platform
import re
from collections.abc import Mapping
from typing import NamedTuple

import llvmlite.binding as llvm
from numba.core import config, registry


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
    estimates: bool
    """Whether there are estimates of 1 / x and 1 / sqrt(x) to 14 bits."""
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


# A tile needs tile_rows * tile_vectors accumulators and tile_vectors + 1 operands in registers
# (32 with AVX-512 and NEON, 16 otherwise), at least 8 accumulators to hide the latency of fma
# (the short tile too, or it gains nothing), and a width that is a multiple of 8 elements in
# float64 too (losses are summed in groups of 8). One row has tile_vectors * sparse_panels
# accumulators: 8 with AVX2, 4 with AVX-512, where 8 took 14 % longer on a Zen 4 (a part of the
# panels that long does not stay in the first-level cache).
INSTRUCTION_SETS = {
    "avx512": InstructionSet("avx512", 64, 8, 2, 4, 2, True, True, True, "v"),
    "avx2": InstructionSet("avx2", 32, 6, 2, 4, 4, True, False, False, "x"),
    "neon": InstructionSet("neon", 16, 4, 4, 2, 2, True, False, False, "w"),
    "generic": InstructionSet("generic", 16, 2, 4, 2, 2, False, False, False, None),
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


def _host_instruction_set(features: Mapping[str, bool]) -> str:
    if processor_family() == "arm":
        return "neon"
    if all(features.get(f, False) for f in ("avx512f", "avx512vl", "avx512bw", "avx512dq")):
        return "avx512"
    if features.get("avx2", False) and features.get("fma", False):
        return "avx2"
    return "generic"


# What LLVM makes of these shows which instructions it may use; a name or a list of features does
# not: features imply others, and names of processors stand for some.
_PROBES = {
    "x86": """
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
define <8 x float> @a(<8 x float> %x) {
  %r = call <8 x float> @llvm.fma.v8f32(<8 x float> %x, <8 x float> %x, <8 x float> %x)
  ret <8 x float> %r
}
define <8 x i32> @b(<8 x i32> %x, <8 x i32> %y) { %r = add <8 x i32> %x, %y ret <8 x i32> %r }
define <64 x i8> @c(<64 x i8> %x, <64 x i8> %y) { %r = add <64 x i8> %x, %y ret <64 x i8> %r }
define <8 x i64> @d(<8 x i64> %x, <8 x i64> %y) { %r = mul <8 x i64> %x, %y ret <8 x i64> %r }
define <4 x i64> @e(<4 x i64> %x, <4 x i64> %y) { %r = mul <4 x i64> %x, %y ret <4 x i64> %r }
""",
    "arm": """
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)
define <4 x float> @a(<4 x float> %x) {
  %r = call <4 x float> @llvm.fma.v4f32(<4 x float> %x, <4 x float> %x, <4 x float> %x)
  ret <4 x float> %r
}
""",
}
_SIGNS = {
    "avx512": (r"vpaddb\s+%zmm", r"vpmullq\s+%zmm", r"vpmullq\s+%ymm"),  # BW, DQ, VL
    "avx2": (r"vpaddd\s+%ymm", r"vfmadd"),
    "neon": (r"fmla",),
    "generic": (),
}
_BASELINE = {"x86": ["+64bit", "+cmov", "+cx8", "+fxsr", "+mmx", "+sse2"], "arm": []}
"""What every processor of the family has; LLVM ends the process where it is told otherwise."""


_BESIDE_AVX2 = ("bmi", "bmi2", "cx16", "f16c", "lzcnt", "movbe", "popcnt", "sahf", "xsave")
"""What else x86-64-v3 has; all processors with AVX2 do, if no virtual machine hides it."""


def _checked_features(text: str, has: Mapping[str, bool]) -> str:
    """`NUMBA_CPU_FEATURES` without what the processor lacks, as LLVM takes it."""
    asked = [item.strip() for item in text.lower().split(",") if item.strip()]
    for item in asked:
        if item[0] not in "+-" or item[1:] not in has:
            raise ValueError(
                "NUMBA_CPU_FEATURES must be names of processor features with + or - before each, "
                f"separated by commas, as in '+avx2,-avx512f'; got {item!r}"
            )
        if item[0] == "+" and not has[item[1:]]:
            raise ValueError(
                f"NUMBA_CPU_FEATURES={item!r} is not available: this processor has no {item[1:]}"
            )
    lacks = [f"-{name}" for name, there in has.items() if not there]
    return ",".join([*asked, *lacks, *_BASELINE[processor_family()]])


def _generated_instruction_set(host: str, has: Mapping[str, bool]) -> str:
    """The set that Numba's code generator may use of the host's."""
    family = processor_family()
    if family == "x86" and not config.ENABLE_AVX:
        return "generic"
    if family == "other" or (config.CPU_NAME is None and config.CPU_FEATURES is None):
        return host
    if config.CPU_FEATURES is not None:
        config.CPU_FEATURES = _checked_features(config.CPU_FEATURES, has)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = [f"{'+' if there else '-'}{name}" for name, there in has.items()]
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name() if config.CPU_NAME is None else config.CPU_NAME,
        features=",".join(features) if config.CPU_FEATURES is None else config.CPU_FEATURES,
    )
    assembly = machine.emit_assembly(llvm.parse_assembly(_PROBES[family]))
    return next(
        name for name in _SMALLER[host] if all(re.search(sign, assembly) for sign in _SIGNS[name])
    )


def _restrict_compiler(name: str, has: Mapping[str, bool]) -> None:
    """Have Numba's code generator make the same of `name` for all processors that have it.

    So its machine code can be prepared on another one.
    """
    if name == "generic":
        config.CPU_NAME = "generic"
        config.CPU_FEATURES = ""
    elif name == "avx2":
        config.CPU_NAME = "x86-64-v3"
        lacks = [f"-{feature}" for feature in _BESIDE_AVX2 if not has.get(feature)]
        config.CPU_FEATURES = ",".join(lacks)


def _fuses_already() -> bool:
    """Whether Numba's code generator was made before, and fuses products and sums."""
    made = vars(registry.cpu_target).get("_toplevel_target_context")
    return made is not None and re.search(r"\+fma4?\b", made.codegen()._tm_features) is not None


def _limits() -> str:
    """What limits Numba's code generator, in the environment or in Numba's own file."""
    said = {"NUMBA_CPU_NAME": config.CPU_NAME, "NUMBA_CPU_FEATURES": config.CPU_FEATURES}
    if str(config.CPU_NAME).lower() == "generic" and not config.CPU_FEATURES:
        del said["NUMBA_CPU_FEATURES"]  # Numba's default beside that name
    texts = [f"{name}={value!r}" for name, value in said.items() if value is not None]
    return ", ".join(texts if config.ENABLE_AVX else [*texts, "NUMBA_ENABLE_AVX=0"])


def _select() -> tuple[InstructionSet, str]:
    """The set in use, and what keeps it from being the processor's largest."""
    has = llvm.get_host_cpu_features()
    host = _host_instruction_set(has)
    limits = _limits()
    generated = _generated_instruction_set(host, has)
    forced = os.environ.get("FASTVAE_ISA", "").strip().lower()
    chosen = forced or generated
    if chosen not in _SMALLER[generated]:
        raise ValueError(
            f"FASTVAE_ISA={forced!r} is not available; this processor runs"
            f"{f' with {limits}' if generated != host else ''}: " + ", ".join(_SMALLER[generated])
        )
    if chosen != generated:
        limits = f"FASTVAE_ISA={forced!r}"
    if forced or chosen == "generic":
        _restrict_compiler(chosen, has)
    if chosen == "generic" and processor_family() == "x86" and _fuses_already():
        raise ValueError(
            f"{limits} comes too late: Numba has been started for more than the generic "
            "instruction set; import fastvae before what compiles with Numba"
        )
    return INSTRUCTION_SETS[chosen], "" if chosen == host else limits


ISA, _LIMITS = _select()
PROCESSOR = _PROCESSORS[processor_family()]
_TOLD = config.CPU_NAME, config.CPU_FEATURES, config.ENABLE_AVX


def tell_compiler() -> None:
    """Tell Numba's code generator again what the set was chosen for.

    Numba reads its variables anew before it compiles where any of them has changed.
    """
    config.reload_config()
    config.CPU_NAME, config.CPU_FEATURES, config.ENABLE_AVX = _TOLD


def isa() -> str:
    """Return the name of the instruction set in use: avx512, avx2, neon or generic."""
    return ISA.name


def isa_limits() -> str:
    """Return what keeps the set from being the processor's largest, as NAME='value'; '' if nothing
    does."""
    return _LIMITS


def lanes(itemsize: int) -> int:
    """Return how many elements of `itemsize` bytes one vector holds."""
    return ISA.vector_bytes // itemsize


def panel_width(itemsize: int) -> int:
    """Return the columns of one weight panel: the width of the register tile, in elements."""
    return ISA.tile_vectors * lanes(itemsize)
