"""Sizes that depend on the processor: which, how they are changed, and that no bit changes."""

from __future__ import annotations

import os
import subprocess
import sys

import llvmlite.binding as llvm
import pytest

from fastvae.kernels.machine import isa, sizes

TRAINED = """
import hashlib
import numpy as np
from fastvae import VAE
rng = np.random.default_rng(0)
rows = (rng.integers(1, 256, (300, 200)) * (rng.random((300, 200)) < 0.2)).astype(np.uint8)
vae = VAE.from_sizes(200, (90, 40), 5, seed=0)
vae.fit(rows, epochs=2, batch_size=140, verbose=False)
print(hashlib.sha256(vae.network.parameters.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    ("name", "processor", "wanted"),
    [
        ("avx512", "znver5", sizes.ZEN),
        ("avx512", "sapphirerapids", sizes.INTEL),
        ("avx2", "sapphirerapids", sizes.ZEN),  # one machine code for all processors
        ("neon", "neoverse-v2", sizes.ZEN),
    ],
)
def test_sizes_are_those_of_the_processor(name, processor, wanted, monkeypatch):
    monkeypatch.setattr(sizes, "ISA", isa.INSTRUCTION_SETS[name])
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: processor)
    assert sizes._of_processor() == wanted


def test_a_text_changes_some_sizes():
    changed = sizes._changed(sizes.INTEL, "block=256, asks=1")
    assert changed == sizes.INTEL._replace(block=256, asks=1)
    assert sizes._changed(sizes.ZEN, "") == sizes.ZEN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows=3", "names of block, spans, block_rows, asks.*'rows=3'"),
        ("block", "'block'"),
        ("block=-64", "'block=-64'"),
        ("block=100", "got 100 and 64"),
        ("block_rows=72", "got 128 and 72"),
        ("block_rows=0", "got 128 and 0"),
    ],
)
def test_what_is_no_size_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        sizes._changed(sizes.ZEN, text)


@pytest.mark.slow
def test_other_sizes_change_no_bit():
    def trained(text: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", TRAINED],
            env=os.environ | {"FASTVAE_SIZES": text},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    texts = ["", "block=64,spans=1,block_rows=32,asks=1", "block=256,spans=4,block_rows=8,asks=0"]
    assert len({trained(text) for text in texts}) == 1
