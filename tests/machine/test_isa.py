"""Instruction sets: each that this processor runs passes the kernels' tests, and takes effect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_checks import SMALLER
from numba.core import config

from fastvae import kernels
from fastvae.kernels.machine import isa as module
from fastvae.kernels.machine.isa import INSTRUCTION_SETS

ROOT = Path(__file__).resolve().parents[2]
TRAINING = """
import hashlib
import numpy as np
from fastvae import VAE
rows = np.random.default_rng(0).integers(0, 256, (300, 50)).astype(np.uint8)
rows[:, ::3] = 0
for dtype in ("float32", "float64"):
    for clip_norm in (None, 0.3):
        vae = VAE.from_sizes(50, (37, 19), 5, dtype=dtype, seed=3)
        history = vae.fit(rows, epochs=2, batch_size=70, clip_norm=clip_norm, verbose=False)
        weights = [np.array(layer.weight) for layer in vae.named_layers().values()]
        weights += [np.array(layer.bias) for layer in vae.named_layers().values()]
        weights += [*vae.encode(rows), vae.reconstruct(rows), vae.sample(70, seed=1)]
        weights += vae.elbo(rows, n_samples=2, per_sample=True)
        found = b"".join(array.tobytes() for array in weights)
        print(dtype, clip_norm, hashlib.sha256(found).hexdigest(), history["loss"])
"""
PROGRAM = "from fastvae import kernels; print(kernels.isa(), kernels.cache_folder())"


def run(isa: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python from the repository's root with an instruction set forced, or none ('')."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "FASTVAE_ISA": isa, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_host_has_a_known_instruction_set() -> None:
    assert kernels.isa() in INSTRUCTION_SETS
    assert set(SMALLER) == set(INSTRUCTION_SETS)


@pytest.mark.parametrize("isa", SMALLER[kernels.isa()])
def test_forced_instruction_set_has_its_own_cache(isa: str) -> None:
    done = run(isa, "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    name, _, folder = done.stdout.strip().partition(" ")
    assert name == isa
    assert folder != str(kernels.cache_folder()) or folder == "None"


def test_unknown_instruction_set_is_refused() -> None:
    done = run("avx1024", "-c", PROGRAM)
    assert done.returncode != 0
    assert "FASTVAE_ISA='avx1024' is not available" in done.stderr
    for isa in (kernels.isa(), *SMALLER[kernels.isa()]):
        assert isa in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "isa", [isa for isa in SMALLER[kernels.isa()] if INSTRUCTION_SETS[isa].fused]
)
def test_instruction_sets_with_fma_train_to_the_same_bits(isa: str) -> None:
    runs = [run(name, "-c", TRAINING) for name in (isa, kernels.isa())]
    for done in runs:
        assert done.returncode == 0, done.stderr
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.slow
@pytest.mark.parametrize("isa", SMALLER[kernels.isa()])
def test_kernels_pass_on_a_smaller_instruction_set(isa: str) -> None:
    """The tests of the kernels, among them those that read the machine code."""
    tests = ROOT / "tests"
    files = sorted(str(path) for path in tests.glob("arrays/test_*.py"))
    names = ("machine/test_simd.py", "machine/test_intrinsics.py", "maths")
    files += [str(tests / name) for name in names]
    options = ["-q", "-p", "no:cacheprovider", "-k", "not reference"]
    done = run(isa, "-m", "pytest", *options, *files)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


# --- what Numba's code generator was told ----------------------------------------------------

X86 = pytest.mark.skipif(module.processor_family() != "x86", reason="names of x86")
V4 = ("avx512f", "avx512vl", "avx512bw", "avx512dq")
V3 = "+avx2,+fma"


def generated(
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    features: str | None,
    avx: bool = True,
    has: tuple[str, ...] = (*V4, "avx", "avx2", "fma", "f16c"),
) -> str:
    """The set that the code generator may use on a processor that has the features `has`."""
    there = dict.fromkeys([*V4, "avx", "avx2", "fma", "f16c", "sse2", "amx-tile"], False)
    there |= dict.fromkeys(["sse2", *has], True)
    monkeypatch.setattr(config, "CPU_NAME", name)
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    monkeypatch.setattr(config, "ENABLE_AVX", avx)
    return module._generated_instruction_set(module._host_instruction_set(there), there)


@X86
@pytest.mark.parametrize(
    ("name", "features", "avx", "wanted"),
    [
        (None, None, True, "avx512"),
        ("generic", "", True, "generic"),
        ("", "", True, "generic"),
        ("haswell", None, True, "avx512"),  # Numba takes the features of the processor all the same
        ("haswell", "", True, "avx2"),
        ("x86-64-v2", "", True, "generic"),
        ("x86-64-v3", "", True, "avx2"),
        ("skylake-avx512", "", True, "avx512"),
        ("sapphirerapids", "", True, "avx512"),  # it has what this processor lacks
        ("generic", V3, True, "avx2"),
        ("generic", " +AVX2, +fma ,", True, "avx2"),
        ("generic", "+fma", True, "generic"),
        ("generic", "+avx2,+fma,-fma", True, "generic"),
        ("skylake-avx512", "-avx512vl", True, "avx2"),
        ("skylake-avx512", "-avx512dq", True, "avx2"),
        ("skylake-avx512", "-avx512bw", True, "avx2"),
        ("skylake-avx512", "-avx", True, "generic"),
        ("skylake-avx512", "-avx,+fma", True, "generic"),
        ("skylake-avx512", "-avx,+avx2,+fma", True, "avx2"),
        ("skylake-avx512", "-sse2", True, "generic"),
        ("pentium", "", True, "generic"),  # LLVM ends the process for a name of 32 bits alone
        ("pentium", V3, True, "avx2"),
        (None, None, False, "generic"),
        ("skylake-avx512", V3, False, "generic"),
    ],
)
def test_the_set_is_what_the_code_generator_may_use(monkeypatch, name, features, avx, wanted):
    assert generated(monkeypatch, name, features, avx) == wanted


@X86
def test_a_processor_lends_no_features_that_it_lacks(monkeypatch):
    assert generated(monkeypatch, "skylake-avx512", "", has=("avx", "avx2", "fma")) == "avx2"
    assert config.CPU_FEATURES is not None
    assert {"-avx512f", "-amx-tile", "+64bit", "+cx8", "+sse2"} <= set(
        config.CPU_FEATURES.split(",")
    )
    assert generated(monkeypatch, "skylake-avx512", "", has=("avx",)) == "generic"


@X86
@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("avx2", "must be names of processor features with . or - before each.*got 'avx2'"),
        ("+avx2,+nothing", "got '.nothing'"),
        ("+", "got '.'"),
        ("+help", "got '.help'"),
        ("+soft-float", "got '.soft-float'"),
        ("+avx2 +fma", "got '.avx2 .fma'"),
        ("+avx2,+amx-tile", "NUMBA_CPU_FEATURES='.amx-tile' is not available: this processor has"),
    ],
)
def test_features_that_llvm_would_stumble_over_are_refused(monkeypatch, features, message):
    with pytest.raises(ValueError, match=message):
        generated(monkeypatch, "generic", features)


V3_FEATURES = ("avx", "avx2", "fma", *module._BESIDE_AVX2)
ELSEWHERE = """
import llvmlite.binding as llvm
has = llvm.FeatureMap(llvm.get_host_cpu_features())
has |= {{name: False for name in has if name.startswith(("avx512", {hidden!r}))}}
llvm.get_host_cpu_features = lambda: has
llvm.get_host_cpu_name = lambda: "haswell"
"""
MADE = """
from numba import types
from fastvae.kernels.maths.philox import shuffle
array = types.Array(types.int64, 1, "C")
shuffle.compile((array, types.uint64, types.uint64, types.uint64))
print(sum(shuffle.stats.cache_hits.values()))
"""


@X86
@pytest.mark.parametrize(
    ("has", "features"),
    [
        (V3_FEATURES, ""),
        ((*V3_FEATURES, *V4, "gfni", "sse4a"), ""),
        ((*V3_FEATURES, "avxvnni", "waitpkg"), ""),
        (set(V3_FEATURES) - {"bmi2"}, "-bmi2"),  # in a virtual machine
    ],
)
def test_avx2_is_the_same_for_all_processors_that_have_it(monkeypatch, has, features):
    monkeypatch.setattr(module.llvm, "get_host_cpu_features", lambda: dict.fromkeys(has, True))
    monkeypatch.setenv("FASTVAE_ISA", "avx2")
    for name in ("CPU_NAME", "CPU_FEATURES"):
        monkeypatch.setattr(config, name, None)
    chosen, _ = module._select()
    assert chosen.name == "avx2"
    assert config.CPU_NAME == "x86-64-v3"
    assert features == config.CPU_FEATURES


@pytest.mark.slow
@X86
@pytest.mark.skipif(kernels.isa() not in ("avx512", "avx2"), reason="no AVX2")
def test_avx2_code_that_one_processor_has_made_is_loaded_on_another(tmp_path):
    place = {"FASTVAE_CACHE": str(tmp_path / "code")}
    others = [ELSEWHERE.format(hidden=name) for name in ("gfni", "bmi2")]
    runs = [run("avx2", "-c", other + MADE, **place) for other in ("", *others)]
    assert [done.stdout for done in runs] == ["0\n", "1\n", "0\n"], [done.stderr for done in runs]


@pytest.mark.slow
def test_the_limit_is_named_and_shown():
    done = run("", "-m", "fastvae", "info", NUMBA_CPU_NAME="generic")
    assert done.returncode == 0, done.stderr
    assert "instruction set  generic (by NUMBA_CPU_NAME='generic')" in done.stdout
    for isa in SMALLER[kernels.isa()][:1]:
        done = run(kernels.isa(), "-c", PROGRAM, NUMBA_CPU_NAME="generic")
        assert f"FASTVAE_ISA='{kernels.isa()}' is not available" in done.stderr
        assert "runs with NUMBA_CPU_NAME='generic': generic" in done.stderr
        assert f"(by FASTVAE_ISA='{isa}')" in run(isa, "-m", "fastvae", "info").stdout


@pytest.mark.slow
@X86
@pytest.mark.skipif(kernels.isa() == "generic", reason="nothing to take away")
def test_generic_bits_are_not_promised_where_numba_was_started_with_more():
    program = "import numba\n@numba.njit\ndef f(): pass\n" + PROGRAM
    done = run("generic", "-c", program)
    assert done.returncode == 1
    assert "FASTVAE_ISA='generic' comes too late" in done.stderr


@pytest.mark.slow
@X86
@pytest.mark.skipif(kernels.isa() == "generic", reason="nothing to take away")
@pytest.mark.parametrize(
    ("variables", "equal"),
    [
        ({"NUMBA_ENABLE_AVX": "0"}, "generic"),
        ({"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}, kernels.isa()),
    ],
)
def test_training_on_what_is_left_has_the_bits_of_its_set(variables, equal):
    program = TRAINING.replace('("float32", "float64")', '("float32",)')
    runs = [run("", "-c", program, **variables), run(equal, "-c", program)]
    for done in runs:
        assert done.returncode == 0, done.stderr
    assert runs[0].stdout == runs[1].stdout != ""
