"""Instruction sets: each that this processor runs passes the kernels' tests, and takes effect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_checks import SMALLER

from fastvae import kernels
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


def run(isa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python from the repository's root with an instruction set forced."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "FASTVAE_ISA": isa},
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
