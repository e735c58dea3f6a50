"""Random numbers: known answers of Philox, distributions, independence of streams and of size."""

from __future__ import annotations

from math import pi
from statistics import NormalDist
from types import ModuleType

import numpy as np
import pytest
from kernel_checks import (
    Array,
    DType,
    assert_within,
    call,
    each_dtype,
    each_implementation,
    eps,
)

from bench.kernel_cases import poisoned
from fastvae import kernels
from fastvae.kernels import reference
from fastvae.kernels.maths import philox

KNOWN_ANSWERS = [  # Random123, tests/kat_vectors: philox4x32 10, counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
SIZES = [0, 1, 2, 3, 4, 5, 31, 32, 33, 1009, 20011]
COORDINATES = [(0, 0, 0), (2**64 - 1, 3, 2**40 + 5), (12345, 2**32 - 1, 1)]


def words(text: str) -> Array:
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@each_implementation
@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_philox_known_answers(module: ModuleType, counter: str, key: str, result: str) -> None:
    np.testing.assert_array_equal(module.philox4x32(words(counter), words(key)), words(result))


@each_dtype
def test_uniform_is_made_of_the_words_of_philox(dtype: DType) -> None:
    """Element 4 b + w of (seed, stream, step) is word w of the block b, mapped to (0, 1]."""
    for seed, stream, step in COORDINATES:
        (got,) = call(kernels, "uniform", [poisoned(11, dtype)], seed, stream, step)
        for element, value in enumerate(got):
            counter = [element // 4, stream, step & 0xFFFFFFFF, step >> 32]
            key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)
            word = int(kernels.philox4x32(np.array(counter, np.uint32), key)[element % 4])
            if dtype == np.float32:
                assert value == np.float32((word >> 8) * 2.0**-24 + 2.0**-25)
            else:
                assert value == (word + 0.5) * 2.0**-32


@each_dtype
@pytest.mark.parametrize("coordinates", COORDINATES, ids=str)
def test_uniform_and_normal_of_every_size(dtype: DType, coordinates: tuple[int, int, int]) -> None:
    for n in SIZES:
        out = poisoned(n, dtype)
        (u,) = call(kernels, "uniform", [out], *coordinates)
        (wanted,) = call(reference, "uniform", [out], *coordinates)
        np.testing.assert_array_equal(u, wanted)
        (got,) = call(kernels, "normal", [out], *coordinates)
        assert_within(got, *normal_in_float64(n, dtype, coordinates))


@each_dtype
def test_reference_normal(dtype: DType) -> None:
    (got,) = call(reference, "normal", [poisoned(1009, dtype)], *COORDINATES[1])
    assert_within(got, *normal_in_float64(1009, dtype, COORDINATES[1]))


def normal_in_float64(
    n: int, dtype: DType, coordinates: tuple[int, int, int]
) -> tuple[Array, Array]:
    """Box and Muller's transform of the uniform numbers of ``dtype``, and what rounding may do.

    The radius has 4 roundings (logarithm 2, halved by the root; root; product). The angle 2 pi u
    has two of at most 2 pi, which moves cosine and sine by as much; cosine and sine round to within
    one unit, and the product once.
    """
    (u,) = call(reference, "uniform", [poisoned(n + n % 2, dtype)], *coordinates)
    u = u.astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(u[0::2])), 2 * pi * u[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    bound = np.repeat(radius, 2) * (2 * pi + 6) * eps(dtype)
    return pairs.reshape(-1)[:n], bound[:n]


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_an_element_depends_on_its_flat_index_only(
    module: ModuleType, dtype: DType, name: str
) -> None:
    (flat,) = call(module, name, [poisoned(1009, dtype)], 1, 2, 3)
    (short,) = call(module, name, [poisoned(501, dtype)], 1, 2, 3)
    (table,) = call(module, name, [poisoned((7, 9), dtype)], 1, 2, 3)
    np.testing.assert_array_equal(short, flat[:501])
    np.testing.assert_array_equal(table.reshape(-1), flat[:63])


@each_implementation
@each_dtype
@pytest.mark.parametrize("first", [0, 1, 3, 4, 7, 1021, 1024, 4099])
def test_a_part_of_the_normals_is_what_stands_there(
    module: ModuleType, dtype: DType, first: int
) -> None:
    (whole,) = call(module, "normal", [poisoned(first + 2100, dtype)], 1, 2, 3)
    for n in (1, 2, 5, 64, 1023, 1025, 2100):
        (part,) = call(module, "normal_from", [poisoned(n, dtype)], first, 1, 2, 3)
        np.testing.assert_array_equal(part, whole[first : first + n])


@each_implementation
@pytest.mark.parametrize("name", ["uniform", "normal", "permutation"])
def test_seed_stream_and_step_give_other_numbers(module: ModuleType, name: str) -> None:
    out = poisoned(64, np.int64 if name == "permutation" else np.float32)
    coordinates = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3), (1, 2, 3 + 2**32)]
    draws = [call(module, name, [out], *coordinate)[0] for coordinate in coordinates]
    for i, one in enumerate(draws):
        for two in draws[:i]:
            assert np.mean(one == two) < 0.25  # a shuffle of 64 keeps one element in place


@each_implementation
@each_dtype
def test_distributions(module: ModuleType, dtype: DType) -> None:
    """Moments, and Kolmogorov and Smirnov's distance, of 100,000 numbers of a fixed seed.

    Bounds are 4 standard errors; the distance exceeds 2 / sqrt(n) with probability 2 exp(-8).
    """
    n = 100_000
    root = np.sqrt(n)
    (u,) = call(module, "uniform", [poisoned(n, dtype)], 2024, 5, 1)
    assert 0 < u.min() < u.max() <= 1
    assert abs(u.mean(dtype=float) - 0.5) < 4 * np.sqrt(1 / 12) / root
    assert abs(u.var(dtype=float) - 1 / 12) < 4 * np.sqrt(1 / 180) / root
    assert distance(u) < 2 / root
    (x,) = call(module, "normal", [poisoned(n, dtype)], 2024, 5, 2)
    assert abs(x.mean(dtype=float)) < 4 / root
    assert abs(x.var(dtype=float) - 1) < 4 * np.sqrt(2) / root
    assert abs(np.mean(x[0::2].astype(float) * x[1::2])) < 4 * np.sqrt(2) / root  # of one pair
    assert abs(np.mean(x[:-2].astype(float) * x[2:])) < 4 / root  # of neighbouring pairs
    assert distance(np.array([NormalDist().cdf(float(value)) for value in x])) < 2 / root


def distance(sample: Array) -> float:
    """Kolmogorov and Smirnov's distance of a sample's distribution from the uniform one."""
    ordered, n = np.sort(sample.astype(np.float64)), sample.size
    above = np.arange(1, n + 1) / n - ordered
    below = ordered - np.arange(n) / n
    return float(max(above.max(), below.max()))


@each_implementation
@pytest.mark.parametrize("n", SIZES)
def test_permutation_holds_every_row_once(module: ModuleType, n: int) -> None:
    for coordinates in COORDINATES:
        (order,) = call(module, "permutation", [poisoned(n, np.int64)], *coordinates)
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
        (wanted,) = call(reference, "permutation", [poisoned(n, np.int64)], *coordinates)
        np.testing.assert_array_equal(order, wanted)


@each_implementation
def test_every_order_is_equally_likely(module: ModuleType) -> None:
    """Chi-square over the 24 orders of 4 rows: 23 degrees of freedom, above 60 in 4 of 100,000."""
    n_draws = 2400
    counts: dict[bytes, int] = {}
    for step in range(n_draws):
        order = np.empty(4, np.int64)
        module.permutation(order, 7, 1, step)
        counts[order.tobytes()] = counts.get(order.tobytes(), 0) + 1
    assert len(counts) == 24
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 60


def test_streams_differ() -> None:
    streams = [value for name, value in vars(philox).items() if name.startswith("STREAM_")]
    assert len(streams) == len(set(streams)) == 14
