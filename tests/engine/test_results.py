"""Large results go past the caches, and are those of small ones to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from network_checks import build, sparse_rows

from fastvae.kernels import engine
from fastvae.kernels.engine import results
from fastvae.kernels.machine.isa import CACHE_LINE

N_ROWS = 1100  # two chunks and a part
WIDTHS = {np.float32: [16, 48, 80, 784], np.float64: [8, 24, 88, 784]}
"""Columns whose rows are whole cache lines, an odd number of them too."""
_CASES = [(dtype, width) for dtype, widths in WIDTHS.items() for width in widths]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each run of a pass wrote past the caches."""
    run, streams = engine.Workspace.run_to, []

    def run_to(*args, **named):
        streams.append(named["streams"])
        run(*args, **named)

    monkeypatch.setattr(engine.Workspace, "run_to", run_to)
    return streams


def is_on_line(array: np.ndarray) -> bool:
    return array.ctypes.data % CACHE_LINE == 0


def off_line(shape: tuple[int, int], dtype: type) -> np.ndarray:
    """An array that starts between two cache lines."""
    room: np.ndarray = np.zeros(shape[0] * shape[1] + CACHE_LINE, dtype)
    start = -(room.ctypes.data // room.itemsize) % (CACHE_LINE // room.itemsize) + 1
    return room[start : start + shape[0] * shape[1]].reshape(shape)


@pytest.mark.parametrize(("dtype", "width"), _CASES)
def test_results_past_the_caches_are_the_same(dtype, width, noted, monkeypatch):
    network = build((width, (17,), 3), dtype)
    latents = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype(dtype)
    expected = network.decode(latents, off_line((N_ROWS, width), dtype))
    assert noted == [False]
    monkeypatch.setattr(results, "_LARGE", 1)
    found = network.decode(latents)
    assert noted == [False, True]
    assert is_on_line(found)
    np.testing.assert_array_equal(found, expected)
    between = network.decode(latents, off_line((N_ROWS, width), dtype))
    assert not noted[-1]
    np.testing.assert_array_equal(between, expected)
    whole = engine.aligned_zeros((N_ROWS + 2) * width, dtype).reshape(-1, width)
    network.decode(latents, whole[1:-1])
    assert noted[-1]
    np.testing.assert_array_equal(whole[1:-1], expected)
    assert not whole[[0, -1]].any()


@pytest.mark.parametrize("dtype", WIDTHS)
def test_rows_that_are_no_whole_lines_go_through_the_caches(dtype, noted, monkeypatch):
    monkeypatch.setattr(results, "_LARGE", 1)
    network = build((83, (17,), 3), dtype)
    rows = sparse_rows(N_ROWS, 83)
    found = network.reconstruct(rows)
    np.testing.assert_array_equal(found, network.reconstruct(rows, off_line(found.shape, dtype)))
    assert noted == [False, False]


def test_an_array_of_other_strides_is_filled_through_a_block(noted, monkeypatch):
    monkeypatch.setattr(results, "_LARGE", 1)
    network = build((32, (17,), 3))
    latents = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype(np.float32)
    backwards = engine.aligned_zeros(N_ROWS * 32, np.float32).reshape(-1, 32)[::-1]
    network.decode(latents, backwards)
    assert noted == [False]
    np.testing.assert_array_equal(backwards, network.decode(latents))


@pytest.mark.parametrize("dtype", [np.dtype(dtype) for dtype in WIDTHS])
def test_large_results_start_on_a_line(dtype):
    large = engine.new_results((2**23 // dtype.itemsize, 1), dtype)
    assert large.shape == (2**23 // dtype.itemsize, 1)
    assert large.dtype == dtype
    assert is_on_line(large)
    assert not engine.go_past_caches(large)  # rows of one number
    assert engine.go_past_caches(large.reshape(-1, 16))
    assert not engine.go_past_caches(large.reshape(-1, 16)[:-1])
    small = engine.new_results((3, 16), dtype)
    assert small.shape == (3, 16)
    assert small.dtype == dtype


@pytest.mark.parametrize("dtype", WIDTHS)
def test_heads_are_bounded_and_side_by_side(dtype):
    network = build((29, (17,), 5), dtype)
    weight, bias = network.read_dense(network.n_encoder)
    bias[5:] = [-100.0, 100.0, np.nan, 0.0, 0.0]
    weight[5:8] = 0.0
    network.write_dense(network.n_encoder, weight, bias)
    mean, log_var = network.encode(sparse_rows(N_ROWS, 29))
    assert mean.flags.c_contiguous
    assert log_var.flags.c_contiguous
    assert (log_var[:, 0] == -30.0).all()
    assert (log_var[:, 1] == 20.0).all()
    assert np.isnan(log_var[:, 2]).all()
    assert np.isfinite(log_var[:, 3:]).all()
    assert np.isfinite(mean).all()
