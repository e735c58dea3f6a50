"""The machine's FMA peak: chains of vector multiply-adds that never leave the registers."""

from __future__ import annotations

import time
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastvae.kernels import get_num_threads
from fastvae.kernels.machine.vectors import emit_fma, emit_splat, vector_of

CHAINS = 12
"""Enough to hide an fma's latency (4 cycles, 2 to 3 units) and few enough for 16 registers."""
BLOCK = 1_000_000
"""Multiply-adds per chain and call of the kernel."""


@intrinsic
def fma_chains(typingctx: Any, count: Any, start: Any, factor: Any) -> Any:
    """Run `CHAINS` chains c = c * factor + start, `count` times each; the sum of lane 0.

    The chains start at different values, or the compiler would make one of them.
    """
    if not (isinstance(count, types.Integer) and start == factor == types.float32):
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = vector_of(types.float32)
        addend, multiplier = (emit_splat(builder, arg, vector.lanes) for arg in args[1:])
        before = builder.block
        firsts = [
            builder.fmul(addend, ir.Constant(vector.llvm, [float(i + 1)] * vector.lanes))
            for i in range(CHAINS)
        ]
        body, after = builder.append_basic_block("body"), builder.append_basic_block("after")
        builder.branch(body)
        builder.position_at_end(body)
        index = builder.phi(args[0].type)
        index.add_incoming(ir.Constant(args[0].type, 0), before)
        chains = [builder.phi(vector.llvm) for _ in firsts]
        sums = [emit_fma(builder, chain, multiplier, addend) for chain in chains]
        following = builder.add(index, ir.Constant(args[0].type, 1))
        index.add_incoming(following, body)
        for chain, first, result in zip(chains, firsts, sums, strict=True):
            chain.add_incoming(first, before)
            chain.add_incoming(result, body)
        builder.cbranch(builder.icmp_signed("<", following, args[0]), body, after)
        builder.position_at_end(after)
        total = sums[0]
        for result in sums[1:]:
            total = builder.fadd(total, result)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(count, start, factor), lower


@numba.njit(parallel=True, error_model="numpy")
def _run(out: Any, count: Any, start: Any, factor: Any) -> None:
    for i in numba.prange(out.size):
        out[i] = fma_chains(count, start, factor)


def fma_flops(n_blocks: int) -> float:
    """Floating-point operations of `run_fma` with this number of blocks per thread."""
    lanes = vector_of(types.float32).lanes
    return 2.0 * lanes * CHAINS * BLOCK * n_blocks * get_num_threads()


def run_fma(n_blocks: int) -> None:
    """Keep every thread busy with `n_blocks` blocks of multiply-adds."""
    out = np.zeros(get_num_threads() * n_blocks, np.float32)
    # Start and factor are arguments: a compiler that knew them could fold a chain that is constant.
    _run(out, BLOCK, np.float32(0.1), np.float32(0.9))


def measure_peak(rounds: int = 5, n_blocks: int = 4) -> float:
    """Return the FMA peak of the present number of threads in FLOP/s: the best of some rounds."""
    run_fma(1)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run_fma(n_blocks)
        seconds.append(time.perf_counter() - start)
    return fma_flops(n_blocks) / min(seconds)
