"""Slices of the arena: cut between outputs, and updated as the whole arena is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fastvae.kernels import OPTIMIZERS, engine
from fastvae.kernels.engine.layout import read_dense

LAYERS = [(37, 70, "relu"), (70, 10, "identity"), (5, 70, "relu"), (0, 3, "identity")]
LAYERS += [(70, 37, "sigmoid")]
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def filled(table: np.ndarray, dtype: np.dtype, seed: int) -> np.ndarray:
    """An arena of random numbers, with pads of 0."""
    rng = np.random.default_rng(seed)
    arena = engine.new_arena(table, dtype)
    for layer, (n_in, n_out, _) in enumerate(LAYERS):
        weight = rng.standard_normal((n_out, n_in)).astype(dtype)
        bias = rng.standard_normal(n_out).astype(dtype)
        engine.write_dense(table, arena, layer, weight, bias)
    return arena


def slices(table: np.ndarray, dtype: np.dtype, n_owners: int) -> list[engine.Slice]:
    """The slices of so many owners."""
    cuts = engine.cut_panels(engine.panels(table, dtype)[0], n_owners)
    return [engine.Slice(table, dtype, first, last) for first, last in pairwise(cuts)]


def squares(table: np.ndarray, gradient: np.ndarray, n_owners: int) -> np.ndarray:
    """All sums of squares, of the slices of so many owners."""
    owned = slices(table, gradient.dtype, n_owners)
    sums = np.full(len(owned[0].partial), np.nan)
    for own in owned:
        own.add_squares(gradient[own.elements])
        sums[own.sums] = own.partial[own.sums]
    return sums


@each_dtype
def test_panels_cover_the_arena(dtype: np.dtype) -> None:
    table = engine.layer_table(LAYERS, dtype)
    starts, heights = engine.panels(table, dtype)
    assert starts[0] == 0
    assert starts[-1] == len(engine.new_arena(table, dtype))
    assert (np.diff(starts) >= heights).all()
    assert len(starts) == len(heights) + 1


@each_dtype
@pytest.mark.parametrize("n_owners", [1, 2, 3, 7, 100])
def test_slices_cover_the_arena_once(dtype: np.dtype, n_owners: int) -> None:
    table = engine.layer_table(LAYERS, dtype)
    owned = slices(table, dtype, n_owners)
    ends = [own.elements.start for own in owned] + [owned[-1].elements.stop]
    assert ends[0] == 0
    assert ends[-1] == len(engine.new_arena(table, dtype))
    assert ends == sorted(ends)
    assert all(own.size == own.elements.stop - own.elements.start for own in owned)


@each_dtype
def test_sums_of_squares_are_chains_over_inputs(dtype: np.dtype) -> None:
    table = engine.layer_table(LAYERS, dtype)
    gradient = filled(table, dtype, 1)
    sums = squares(table, gradient, 1)
    expected = []
    for layer in range(len(LAYERS)):
        weight, bias = (a.astype(np.float64) for a in read_dense(table, gradient, layer))
        if weight.shape[1]:
            expected.append(np.square(weight).sum(axis=1))
        expected.append(np.square(bias))
    exact = np.concatenate(expected)
    found = sums[sums != 0]
    np.testing.assert_allclose(found, exact[exact != 0], rtol=70 * np.finfo(np.float64).eps)


@each_dtype
@pytest.mark.parametrize("n_owners", [2, 3, 7, 100])
def test_sums_of_squares_do_not_depend_on_the_owners(dtype: np.dtype, n_owners: int) -> None:
    table = engine.layer_table(LAYERS, dtype)
    gradient = filled(table, dtype, 2)
    np.testing.assert_array_equal(squares(table, gradient, n_owners), squares(table, gradient, 1))


@each_dtype
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_owners_update_as_one_does(dtype: np.dtype, optimizer: str, clip_norm: float) -> None:
    table = engine.layer_table(LAYERS, dtype)
    gradient = filled(table, dtype, 3)
    results = []
    for n_owners in (1, 3, 100):
        arenas = [filled(table, dtype, seed) for seed in (4, 5)] + [filled(table, dtype, 6) ** 2]
        sums = squares(table, gradient, n_owners)
        draws = np.array([11])
        run = engine.Training(
            batch_size=1, totals=np.arange(6.0).reshape(2, 3), optimizer=OPTIMIZERS[optimizer],
            hyper=np.array([0.9, 0.99, 1e-8]), schedule=engine.new_schedule(1, 0.01),
            updates_before=2, draws=draws, clip_norm=clip_norm,
        )  # fmt: skip
        for own in slices(table, dtype, n_owners):
            own.partial[:] = sums
            parts = [arena[own.elements] for arena in arenas]
            count, totals = np.array([11]), np.arange(6.0).reshape(2, 3)
            one = replace(run, draws=count, totals=totals)
            part = gradient[own.elements].copy()
            own.apply(parts[0], (parts[1], parts[2]), part, one, np.full((2, 3), 0.5))
            assert count[0] == 12
            np.testing.assert_array_equal(totals, np.arange(6.0).reshape(2, 3) + 0.5)
        results.append(arenas)
    for others in results[1:]:
        for arena, first in zip(others, results[0], strict=True):
            np.testing.assert_array_equal(arena, first)
    assert not np.array_equal(results[0][0], filled(table, dtype, 4))
