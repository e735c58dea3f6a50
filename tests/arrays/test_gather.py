"""Gather: rows of the user's array, whatever its dtype, strides and owner, into our buffer."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from kernel_checks import Array, DType, call, each_dtype, each_implementation, generator

from bench.kernel_cases import poisoned

each_source = pytest.mark.parametrize("source", ["uint8", "float32", "float64"])


def rows(source: str, shape: tuple[int, int]) -> Array:
    """Random pixels: 0 to 255, or 0 to 1 with some zeros."""
    rng = generator(*shape)
    if source == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return np.clip(rng.uniform(-0.5, 1, shape), 0, 1).astype(source)


def wanted(data: Array, index: Array, dtype: DType) -> Array:
    """Each value divided by 255 if it is a pixel, and rounded once."""
    taken = np.asarray(data)[index].astype(np.float64)
    return (taken / 255 if data.dtype == np.uint8 else taken).astype(dtype)


@each_implementation
@each_dtype
@each_source
@pytest.mark.parametrize("n_columns", [1, 7, 16, 31, 32, 33, 784])
@pytest.mark.parametrize("n_rows", [0, 1, 5, 67])
def test_contiguous(
    module: ModuleType, dtype: DType, source: str, n_columns: int, n_rows: int
) -> None:
    data = rows(source, (50, n_columns))
    index = generator(n_rows, n_columns).integers(0, 50, n_rows)
    (out,) = call(module, "gather", [poisoned((n_rows, n_columns), dtype)], data, index)
    np.testing.assert_array_equal(out, wanted(data, index, dtype))


@each_implementation
@each_dtype
def test_each_pixel_is_rounded_as_a_quotient(module: ModuleType, dtype: DType) -> None:
    """Vectors have a product and its correction instead."""
    data = np.arange(256, dtype=np.uint8).reshape(1, 256)
    (out,) = call(module, "gather", [poisoned((1, 256), dtype)], data, np.zeros(1, np.int64))
    np.testing.assert_array_equal(out, data.astype(dtype) / dtype(255))


@each_implementation
@each_dtype
@each_source
def test_any_strides(module: ModuleType, dtype: DType, source: str) -> None:
    data, index = rows(source, (40, 33)), np.array([39, 0, 7, 7, 21])
    views = {
        "column order": np.asfortranarray(data),
        "rows backwards": data[::-1],
        "columns backwards": data[:, ::-1],
        "every other column": data[:, ::2],
        "a slice of columns": data[:, 3:20],
        "every row twice": np.broadcast_to(data[:, np.newaxis], (40, 2, 33)).reshape(80, 33)[::2],
        "one row for all": np.broadcast_to(data[5], (40, 33)),
        "transposed": rows(source, (33, 40)).T,
    }
    for name, view in views.items():
        (out,) = call(module, "gather", [poisoned((5, view.shape[1]), dtype)], view, index)
        np.testing.assert_array_equal(out, wanted(view, index, dtype), err_msg=name)


@each_implementation
@each_dtype
@each_source
def test_strides_that_are_no_multiple_of_the_item(
    module: ModuleType, dtype: DType, source: str
) -> None:
    data, index = rows(source, (40, 33)), np.array([39, 0, 7])
    records = np.zeros((40, 33), [("tag", np.uint8), ("pixel", source)])
    records["pixel"] = data
    table = np.zeros(40, [("tag", np.uint8), ("pixels", source, 33)])
    table["pixels"] = data
    for view in (records["pixel"], table["pixels"]):
        (out,) = call(module, "gather", [poisoned((3, 33), dtype)], view, index)
        np.testing.assert_array_equal(out, wanted(data, index, dtype))


@each_implementation
@each_dtype
@each_source
def test_memory_map_and_writable_arrays(
    module: ModuleType, dtype: DType, source: str, tmp_path: Path
) -> None:
    data, index = rows(source, (40, 33)), np.array([39, 0, 7])
    np.save(tmp_path / "rows.npy", data)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    for array in (mapped, mapped[:, 1:], data, data[:, 1:]):  # the last two are writable
        out = poisoned((3, array.shape[1]), dtype)
        module.gather(out, array, index)
        np.testing.assert_array_equal(out, wanted(data[:, -array.shape[1] :], index, dtype))


@each_implementation
@each_dtype
def test_every_pixel_value(module: ModuleType, dtype: DType) -> None:
    data = np.arange(256, dtype=np.uint8).reshape(1, 256)
    (out,) = call(module, "gather", [poisoned((1, 256), dtype)], data, np.zeros(1, np.int64))
    np.testing.assert_array_equal(out[0], np.arange(256, dtype=dtype) / dtype(255))
    assert tuple(out[0, [0, 255]]) == (0, 1)


@each_implementation
@each_dtype
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_special_values_pass(module: ModuleType, dtype: DType, source: str) -> None:
    data = np.array([[np.nan, np.inf, -np.inf, -0.0, 1e-30]], source)
    (out,) = call(module, "gather", [poisoned((1, 5), dtype)], data, np.zeros(1, np.int64))
    np.testing.assert_array_equal(out, data.astype(dtype))
