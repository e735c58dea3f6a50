"""Counter-based random numbers: value = f(seed, stream, step, element).

Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
section 3.3) turns a key (the seed) and a counter (block, stream, step) into four 32-bit words;
element e of an array takes word e % 4 of block e // 4. There is no state, so results depend
neither on the number of threads nor on what was drawn before.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from ..machine.compilation import device_function, kernel
from ..machine.kinds import Pointer, Vectors, Word, Words
from ..machine.memory import get, lane_count, put, stack, store
from ..machine.vectors import (
    VECTOR_FLAGS,
    Vector,
    constant,
    emit_splat,
    intrinsic,
    square_root,
    vector_of,
)
from . import functions

STREAM_WEIGHTS = 0
STREAM_ORDER = 1
STREAM_NOISE = 2
STREAM_PRIOR = 3
STREAM_EVALUATION = 4
STREAM_DATASET = 5
STREAM_FORWARD = 6
STREAM_DIGITS = 7
STREAM_BINARY_VISITS = 8
STREAM_BINARY_ROWS = 9
STREAM_BINARY_FIXED = 10
STREAM_IMPORTANCE = 11
STREAM_POSTERIOR = 12
STREAM_BLOCKS = 2**16
"""Of the order of part 0 where rows are cut into parts; part b has stream STREAM_BLOCKS + b."""

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def _emit_rounds(builder: Any, counter: list[Any], key: list[Any]) -> list[Any]:
    """Emit Philox4x32-10 on words held in the low halves of 64-bit integers or vectors of them."""
    kind = counter[0].type

    def number(value: int) -> Any:
        return ir.Constant(kind, [value] * kind.count if hasattr(kind, "count") else value)

    mask, half = number(0xFFFFFFFF), number(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0 = builder.mul(number(_MULTIPLIERS[0]), c0)
        p1 = builder.mul(number(_MULTIPLIERS[1]), c2)
        c0 = builder.xor(builder.xor(builder.lshr(p1, half), c1), k0)
        c2 = builder.xor(builder.xor(builder.lshr(p0, half), c3), k1)
        c1, c3 = builder.and_(p1, mask), builder.and_(p0, mask)
        k0 = builder.and_(builder.add(k0, number(_WEYL[0])), mask)
        k1 = builder.and_(builder.add(k1, number(_WEYL[1])), mask)
    return [c0, c1, c2, c3]


@intrinsic
def philox_words(typingctx: Any, c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Ten rounds on four words and a key of two, each the low half of a uint64."""
    if not (c0 == c1 == c2 == c3 == k0 == k1 == types.uint64):
        return None
    result = types.UniTuple(types.uint64, 4)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = _emit_rounds(builder, list(args[:4]), list(args[4:]))
        return context.make_tuple(builder, result, words)

    return result(c0, c1, c2, c3, k0, k1), lower


@intrinsic
def _philox_uniforms(
    typingctx: Any, like: Any, block: Any, stream: Any, step: Any, seed: Any
) -> Any:
    """Four vectors of uniforms: lane j of vector w is word w of block + j (see `uniform`)."""
    if not (isinstance(like, types.CPointer) and like.dtype in (types.float32, types.float64)):
        return None
    if not (block == stream == step == seed == types.uint64):
        return None
    vector = vector_of(like.dtype)
    result = types.UniTuple(vector, 4)
    wide = ir.VectorType(ir.IntType(64), vector.lanes)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def splat(value: Any) -> Any:
            return emit_splat(builder, value, vector.lanes)

        def numbers(value: float | int, kind: Any = wide) -> Any:
            return ir.Constant(kind, [value] * vector.lanes)

        _, block_, stream_, step_, seed_ = args
        lanes = ir.Constant(wide, list(range(vector.lanes)))
        mask, half = numbers(0xFFFFFFFF), numbers(32)
        blocks = builder.and_(builder.add(splat(block_), lanes), mask)
        steps, seeds = splat(step_), splat(seed_)
        counter = [
            blocks, builder.and_(splat(stream_), mask), builder.and_(steps, mask),
            builder.lshr(steps, half),
        ]  # fmt: skip
        key = [builder.and_(seeds, mask), builder.lshr(seeds, half)]
        uniforms = []
        for word in _emit_rounds(builder, counter, key):
            if like.dtype == types.float32:
                narrow = ir.VectorType(ir.IntType(32), vector.lanes)
                bits = builder.trunc(builder.lshr(word, numbers(8)), narrow)
                scale, shift = 2.0**-24, 2.0**-25
                value = builder.sitofp(bits, vector.llvm)
                value = builder.fmul(value, numbers(scale, vector.llvm), flags=VECTOR_FLAGS)
                value = builder.fadd(value, numbers(shift, vector.llvm), flags=VECTOR_FLAGS)
            else:
                value = builder.sitofp(word, vector.llvm)
                value = builder.fadd(value, numbers(0.5, vector.llvm), flags=VECTOR_FLAGS)
                value = builder.fmul(value, numbers(2.0**-32, vector.llvm), flags=VECTOR_FLAGS)
            uniforms.append(value)
        return context.make_tuple(builder, result, uniforms)

    return result(like, block, stream, step, seed), lower


@device_function
def _philox_at(block: Word, seed: Word, stream: Word, step: Word) -> Words:
    key = np.uint64(seed)
    high = np.uint64(step)
    return philox_words(
        np.uint64(block) & _MASK,
        np.uint64(stream) & _MASK,
        high & _MASK,
        high >> _HALF,
        key & _MASK,
        key >> _HALF,
    )


@device_function
def _store_range(
    out: Pointer, first: Word, last: Word, block: Word, words: Vectors, buffer: Pointer
) -> None:
    """Store lane j of words[w] as element 4 (block + j) + w, where first <= element < last."""
    count = lane_count(out)
    store(buffer, 0, words[0])
    store(buffer, count, words[1])
    store(buffer, 2 * count, words[2])
    store(buffer, 3 * count, words[3])
    for e in range(max(first, 4 * block), min(last, 4 * (block + count))):
        within = e - 4 * block
        put(out, e, get(buffer, (within % 4) * count + within // 4))


@device_function
def uniform_range(
    out: Pointer, first: Word, last: Word, seed: Word, stream: Word, step: Word
) -> None:
    """Write elements first..last-1 of the stream to out[first..last-1]."""
    buffer = stack(out, 64)
    for block in range(first // 4, (last + 3) // 4, lane_count(out)):
        words = _philox_uniforms(out, np.uint64(block), stream, step, seed)
        _store_range(out, first, last, block, words, buffer)


@device_function
def normal_range(
    out: Pointer, first: Word, last: Word, seed: Word, stream: Word, step: Word
) -> None:
    """Write elements first..last-1 of the stream, as normals, to out[first..last-1].

    Box & Muller (1958): (u0, u1) -> sqrt(-2 log u0) (cos, sin)(2 pi u1), likewise (u2, u3).
    """
    buffer = stack(out, 64)
    for block in range(first // 4, (last + 3) // 4, lane_count(out)):
        u0, u1, u2, u3 = _philox_uniforms(out, np.uint64(block), stream, step, seed)
        n0, n1 = _box_muller(u0, u1)
        n2, n3 = _box_muller(u2, u3)
        _store_range(out, first, last, block, (n0, n1, n2, n3), buffer)


@device_function
def _box_muller(u: Vector, turn: Vector) -> Vectors:
    radius = square_root(functions.log(u) * constant(u, -2.0))
    cosine, sine = functions.cos_sin_turn(turn)
    return radius * cosine, radius * sine


@kernel
def shuffle(out: Words, seed: Word, stream: Word, step: Word) -> None:
    n = out.size
    for i in range(n):
        out[i] = i
    words = np.empty(4, np.uint64)
    for block in range((n - 1) // 4, -1, -1):
        words[0], words[1], words[2], words[3] = _philox_at(block, seed, stream, step)
        for i in range(min(4 * block + 3, n - 1), max(4 * block, 1) - 1, -1):
            j = np.int64((words[i - 4 * block] * np.uint64(i + 1)) >> _HALF)
            out[i], out[j] = out[j], out[i]
