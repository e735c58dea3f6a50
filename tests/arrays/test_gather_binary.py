"""Gather to binary rows: each value becomes 0 or 1, by a draw or a threshold."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from kernel_checks import Array, DType, call, each_dtype, each_implementation, generator

from bench.kernel_cases import poisoned
from fastvae import kernels
from fastvae.kernels.maths.philox import STREAM_BINARY_FIXED, STREAM_BINARY_ROWS

each_source = pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
each_name = pytest.mark.parametrize("name", kernels.BINARIZATIONS)


def rows(source: str, shape: tuple[int, int]) -> Array:
    """Grey pixels, half of them zero in runs, some of them one."""
    rng = generator(*shape)
    on = np.repeat(rng.random((shape[0], shape[1] // 40 + 1)) < 0.5, 40, axis=1)[:, : shape[1]]
    grey = np.where(on, rng.integers(0, 300, shape).clip(0, 255), 0).astype(np.uint8)
    return grey if source == "uint8" else (grey / 255).astype(source)


def binary(
    module: ModuleType, data: Array, index: Array, dtype: DType, name: str, seed: int = 3,
    keys: Array | None = None,
) -> Array:  # fmt: skip
    """What the kernel makes of rows whose keys are their numbers, if no others are given."""
    keys = np.arange(len(data)) if keys is None else keys
    out = poisoned((len(index), data.shape[1]), dtype)
    code = kernels.BINARIZATIONS[name]
    (found,) = call(module, "gather_binary", [out], data, index, keys, code, seed)
    return found


@each_dtype
@each_source
@each_name
@pytest.mark.parametrize("n_columns", [1, 7, 16, 63, 64, 65, 131, 784])
def test_it_agrees_with_the_reference(dtype: DType, source: str, name: str, n_columns: int) -> None:
    """To the bit: comparing rounds nothing."""
    data = rows(source, (50, n_columns))
    index = generator(n_columns).integers(0, 50, 67)
    keys = generator(n_columns, 1).integers(-(2**63), 2**63 - 1, 50)
    for chosen in (None, keys):
        found = binary(kernels, data, index, dtype, name, keys=chosen)
        wanted = binary(kernels.reference, data, index, dtype, name, keys=chosen)
        np.testing.assert_array_equal(found, wanted)
    assert set(np.unique(found)) <= {0.0, 1.0}


@each_implementation
@each_dtype
@each_source
@each_name
def test_any_strides(module: ModuleType, dtype: DType, source: str, name: str) -> None:
    data, index = rows(source, (40, 83)), np.array([39, 0, 7, 7, 21])
    views = {
        "column order": np.asfortranarray(data),
        "rows backwards": data[::-1],
        "columns backwards": data[:, ::-1],
        "every other column": data[:, ::2],
        "one row for all": np.broadcast_to(data[5], (40, 83)),
        "transposed": rows(source, (83, 40)).T,
    }
    for title, view in views.items():
        found = binary(module, view, index, dtype, name)
        wanted = binary(module, np.ascontiguousarray(view), index, dtype, name)
        np.testing.assert_array_equal(found, wanted, err_msg=title)


@each_implementation
@each_dtype
@each_name
def test_what_is_certain_stays(module: ModuleType, dtype: DType, name: str) -> None:
    """No draw makes 1 of 0, or 0 of 1."""
    data = generator(1).integers(0, 2, (300, 1000)).astype(np.float32)
    found = binary(module, data, np.arange(300), dtype, name)
    np.testing.assert_array_equal(found, data)


@each_implementation
def test_a_one_stays_beside_the_largest_number(module: ModuleType) -> None:
    """Which is 1 itself in float32: it comes once in 2**24 draws."""
    seed, key, column = 3, 264, 76028  # where one was found
    u = np.empty(column + 5, np.float32)
    kernels.uniform(u, seed, STREAM_BINARY_ROWS, key)
    assert u[column] == 1.0
    data, keys = np.full((1, u.size), 255, np.uint8), np.array([key])
    found = binary(module, data, np.zeros(1, np.int64), np.float32, "dynamic", seed, keys)
    assert found.all()


@each_implementation
@each_dtype
@each_name
def test_nan_stays(module: ModuleType, dtype: DType, name: str) -> None:
    data = np.array([[np.nan, 0.0, 1.0, -0.0]], dtype)
    found = binary(module, data, np.zeros(1, np.int64), dtype, name)
    np.testing.assert_array_equal(found, [[np.nan, 0.0, 1.0, 0.0]])
    assert not np.signbit(found[0, 1:]).any()


@each_implementation
@each_dtype
def test_the_threshold_is_a_half(module: ModuleType, dtype: DType) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    found = binary(module, pixels, np.zeros(1, np.int64), dtype, "threshold")
    np.testing.assert_array_equal(found[0], np.arange(256) >= 128)
    near = np.array([[np.nextafter(0.5, 0, dtype=dtype), 0.5]], dtype)
    found = binary(module, near, np.zeros(1, np.int64), dtype, "threshold")
    np.testing.assert_array_equal(found, [[0, 1]])


@each_implementation
@each_dtype
@pytest.mark.parametrize("name", ["dynamic", "fixed"])
def test_the_mean_of_draws_is_the_value(module: ModuleType, dtype: DType, name: str) -> None:
    """Within 5 standard errors of 20,000 draws of each of 101 values."""
    data = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, 101).repeat(20_000, axis=0)
    mean = binary(module, data, np.arange(len(data)), dtype, name).mean(axis=0, dtype=np.float64)
    p = data[0].astype(np.float64)
    assert (np.abs(mean - p) <= 5 * np.sqrt(p * (1 - p) / len(data)) + 1e-12).all()


@each_implementation
@each_dtype
def test_what_draws_depend_on(module: ModuleType, dtype: DType) -> None:
    """By "dynamic" on seed, key and column, by "fixed" on the latter two; on no place."""
    data, index = np.full((9, 77), 0.5, np.float32), np.arange(9)

    def found(name: str, seed: int = 3, shift: int = 0, order: Array = index) -> Array:
        return binary(module, data, order, dtype, name, seed, np.arange(9) + shift)

    for name in ("dynamic", "fixed"):
        first = found(name)
        assert len(np.unique(first, axis=0)) == 9
        np.testing.assert_array_equal(found(name, shift=2)[:7], first[2:])
        np.testing.assert_array_equal(found(name, order=index[::-1].copy()), first[::-1])
        assert np.array_equal(found(name, seed=4), first) == (name == "fixed")
    assert not np.array_equal(found("dynamic", seed=0), found("fixed", seed=0))


@each_dtype
def test_each_key_has_its_draws(dtype: DType) -> None:
    """Element c of the step that the key names; keys of any 64 bits."""
    keys = np.array([0, 1, 2**40, 2**63 - 1, -1, -(2**63)])
    data = np.full((6, 77), 0.5, dtype)
    for name, stream, seed in (
        ("dynamic", STREAM_BINARY_ROWS, 3),
        ("fixed", STREAM_BINARY_FIXED, 0),
    ):
        found = binary(kernels, data, np.arange(6), dtype, name, keys=keys)
        for row, key in zip(found, keys.tolist(), strict=True):
            u = np.empty(77, dtype)
            kernels.uniform(u, seed, stream, key % 2**64)
            np.testing.assert_array_equal(row, u <= 0.5)
