"""Workspaces hold what their passes need, and nothing is written past their ends."""

from __future__ import annotations

import numpy as np
import pytest
from network_checks import SIZES, build, sparse_rows, train

from fastvae import VAE
from fastvae.kernels.engine import layout, workspace
from fastvae.kernels.engine.layout import n_listed
from fastvae.kernels.engine.pieces import Piece
from fastvae.kernels.machine.isa import CACHE_LINE
from fastvae.model import network as networks

I, H, Z = 784, 256, 32  # noqa: E741
LOSSES = I // 8
"""Sums of the loss over groups of 8 columns."""
PASSES = [I, H, 2 * Z, Z, Z, H, I, LOSSES]
"""Columns: data, hidden layer, head, noise, latent, hidden layer, slope of the loss, losses."""
PASSES_LISTS = [I, I]
"""Of each row what is not zero, and where that is."""
GRADIENTS = [H, Z, 2 * Z, H]
"""Columns of what is derived by: hidden layer, latent, head, hidden layer."""
PACKED = [H, Z, H]
"""Inputs of the layers behind the first, packed."""
DENSE = [*PASSES, *GRADIENTS, I, *PACKED]
SPARSE = [*PASSES, *PASSES_LISTS, *GRADIENTS, *PACKED]
"""The data is not packed. Lists of rows and those of columns take turns in one room."""
ROOM = 1.08
"""Rows are padded to an odd number of cache lines; threads have a panel each."""


@pytest.mark.parametrize(
    ("n_rows", "training", "skip_zeros", "columns"),
    [
        (60_000, True, False, DENSE),
        (60_000, True, True, SPARSE),
        (512, False, False, PASSES),
        (512, False, True, [*PASSES, *PASSES_LISTS]),
    ],
)
def test_a_workspace_has_room_for_what_it_needs(n_rows, training, skip_zeros, columns):
    network = VAE.from_sizes(I, (H,), Z).network
    work = network.new_workspace(n_rows, training=training, skip_zeros=skip_zeros)
    needed = 4 * n_rows * sum(columns)
    assert needed <= work.nbytes <= ROOM * needed


def test_packed_inputs_of_large_layers_have_one_room():
    network = VAE.from_sizes(I, (1024, 1024), Z).network
    work = network.new_workspace(64, training=True, skip_zeros=False)
    first = layout.ACTIVE + 2 * len(network.table)
    offsets = work.places["offset"][first:]
    large = [layout.is_large(layer) for layer in network.table]
    assert large == [True, True, False, False, True, True]
    assert len({*offsets[large]}) == 1
    assert len({*offsets}) == 3


FENCE = 100_000
"""Elements behind a matrix or a list that nobody may write to."""


def is_untouched(array, end):
    return not array[end : end + FENCE].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [*SIZES, (200, (3,), 1)])
@pytest.mark.parametrize("skip_zeros", [False, True])
def test_nothing_is_written_past_the_end_of_a_matrix_or_list(skip_zeros, sizes, dtype, monkeypatch):
    ends = []
    place = layout.place_matrices

    def place_apart(strides, sizes, itemsize):
        places, size = place(strides, [size + FENCE for size in sizes], itemsize)
        line = CACHE_LINE // itemsize  # the last vector of a matrix may go past it
        ends.append(places["offset"] + np.array(sizes) + line)
        return places, size

    monkeypatch.setattr(layout, "place_matrices", place_apart)
    monkeypatch.setattr(
        workspace, "n_listed", lambda *sizes, **kind: n_listed(*sizes, **kind) + FENCE
    )
    network = build(sizes, dtype)
    rows = sparse_rows(300, sizes[0]) if skip_zeros else np.ones((300, sizes[0]), np.uint8)
    train(network, rows, n_steps=2, batch_size=150, skip_zeros=skip_zeros)
    network.encode(rows), network.reconstruct(rows), network.evaluate(rows, 2, seed=0)
    (passes,) = network._spare[skip_zeros]
    assert not network._spare[not skip_zeros]
    for work, matrix_ends in zip((network._training, passes), ends, strict=True):
        assert work.matrices.any()
        assert all(is_untouched(work.matrices, end) for end in matrix_ends)
        assert is_untouched(work.lists, work.lists.size - FENCE)
        assert work.lists.any() or len(work.lists) <= FENCE


def test_a_workspace_of_passes_cannot_train():
    network = build(SIZES[0])
    work = network.new_workspace(4, training=False, skip_zeros=False)
    with pytest.raises(RuntimeError, match="no room for gradients"):
        work.train((), np.arange(4), None, Piece(work.passes.training))


def test_training_goes_on_in_its_workspace_and_lets_a_large_one_go(monkeypatch):
    network, rows = build(SIZES[0]), sparse_rows(80, SIZES[0][0])
    train(network, rows, n_steps=1)
    first = network._training
    network.release_training()
    train(network, rows, n_steps=1, clip_norm=1.0)
    assert network._training is first
    train(network, rows, n_steps=1, skip_zeros=True)
    assert network._training is not first
    monkeypatch.setattr(networks, "_KEPT_BYTES", 1000)
    network.release_training()
    assert network._training is network._gradient is None
    train(network, rows, n_steps=1, clip_norm=1.0)


def test_only_large_arrays_are_touched_before_they_are_used(monkeypatch):
    class Noted(np.ndarray):
        """An array that counts what is written to it."""

        n_writes = 0

        def __setitem__(self, key, value):
            self.n_writes += 1
            super().__setitem__(key, value)

    for size, n_writes in ((2**10 - 1, 0), (2**10, 1), (2**12 + 1, 5)):
        monkeypatch.setattr(workspace, "_TOUCHED", 2**10)
        values = np.ones(size, np.float32).view(Noted)
        workspace._touch(values)
        assert values.n_writes == n_writes
