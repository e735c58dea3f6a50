"""How work is split: what a team's size changes are tasks, and no bit."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numba
import numpy as np
import pytest
from model_checks import small_vae
from network_checks import build, sparse_rows, train

from fastvae.kernels.engine import splitting
from fastvae.kernels.engine.records import GATHER, ROW_LOSSES, TOTALS
from fastvae.kernels.machine.sizes import BLOCK_ROWS
from fastvae.kernels.maths.tiles import CHUNK_ROWS

part_size = numba.njit(lambda *numbers: splitting.part_size(*numbers))
wanted_tasks = numba.njit(lambda n_members: splitting.wanted_tasks(n_members))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 96, 97, 784])
@pytest.mark.parametrize("n_others", [1, 4, 25])
@pytest.mark.parametrize("wanted", [2, 8, 128])
def test_parts_are_between_the_least_and_the_most(n: int, n_others: int, wanted: int) -> None:
    most, least = 96, 16
    size = part_size(n, most, least, n_others, wanted)
    assert 1 <= size <= most
    n_parts = -(-n // size)
    if n_parts * n_others < wanted:  # more would be smaller than the least
        assert size <= least
    if n_parts > -(-n // most):  # no more than are wanted, or than that
        assert (n_parts - 1) * n_others < wanted
        assert n >= (n_parts - 1) * least


def test_a_team_of_two_gets_what_caches_like() -> None:
    assert wanted_tasks(1) == wanted_tasks(2) == 8
    assert wanted_tasks(64) == 256


@pytest.mark.parametrize("objective", ["zeros left out", "dense"])
def test_a_team_of_any_size_finds_the_same_bits(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members that no thread is there for leave their tasks to others."""
    sizes: Any = (784, (96, 40), 20)
    rows = sparse_rows(300, 784)
    found, tasks = [], []
    for n_members in (1, 2, 3, 8, 64):
        monkeypatch.setattr("fastvae.kernels.engine.workspace.team_size", lambda n=n_members: n)
        network = build(sizes)
        skip_zeros = objective != "dense"
        run = {"batch_size": 150, "n_steps": 2, "n_members": n_members}
        totals = train(network, rows, skip_zeros=skip_zeros, **run)
        digest = hashlib.sha256(network.parameters.tobytes() + totals.tobytes())
        found.append(digest.hexdigest())
        work = network.new_workspace(150, training=True, skip_zeros=skip_zeros)
        network.hand_over(rows, work)
        tasks.append(int(work.count_tasks(work.passes.training, n_members)[0].sum()))
    assert len(set(found)) == 1
    assert tasks[-1] > 2 * tasks[0]  # those between have blocks of rows


def test_totals_and_losses_of_many_rows_are_shared() -> None:
    network = build((784, (32,), 40))
    for n_rows, is_alone in ((16, True), (2000, False)):
        work = network.new_workspace(n_rows, training=True, skip_zeros=False)
        program = work.passes.training
        _, alone, _ = work.count_tasks(program, 8)
        kinds = program["kind"]

        assert alone[kinds == ROW_LOSSES].all() == is_alone
        assert alone[kinds == TOTALS].all() == is_alone
        np.testing.assert_array_equal(alone[kinds == GATHER], False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": np.float64},
        {"likelihood": "gaussian", "missing": "ignore"},
        {"n_classes": 3, "prior": "label"},
    ],
)
def test_passes_of_a_team_of_any_size_find_the_same_bits(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = small_vae(**settings)
    rng = np.random.default_rng(0)
    rows: Any = sparse_rows(2_000, vae.n_features)
    if "missing" in settings:
        rows = np.where(rng.random(rows.shape) < 0.1, np.nan, rows / 255)
    labels = rng.integers(0, 3, len(rows)) if vae.n_classes else None
    found, blocks = [], []
    for n_members in (1, 2, 3, 8, 64):
        monkeypatch.setattr("fastvae.kernels.engine.workspace.team_size", lambda n=n_members: n)
        mean, log_var = vae.encode(rows, labels=labels)
        decoded = vae.decode(mean, labels=labels)
        found.append((mean.tobytes(), log_var.tobytes(), decoded.tobytes()))
        blocks.append(splitting.block_rows(512, n_members))
    assert len(set(found)) == 1
    assert blocks == [64, 64, 64, 64, 0]


def test_a_team_that_changes_within_a_step_leaves_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by another thread's `set_num_threads`, between two pieces of a long step."""
    rows = sparse_rows(300, 784)

    def trained() -> bytes:
        network = build((784, (96, 40), 20))
        train(network, rows, batch_size=150, n_steps=2)
        return network.parameters.tobytes()

    wanted = trained()
    teams = itertools.cycle([1, 64, 2, 16, 3])
    monkeypatch.setattr("fastvae.kernels.engine.workspace.team_size", lambda: next(teams))
    monkeypatch.setattr("fastvae.model.network.flop_per_piece", lambda: 1e6)
    assert trained() == wanted


@pytest.mark.parametrize("n_members", [1, 2, 3, 8])
@pytest.mark.parametrize("n_rows", [16, 64, 100, 128, 500, 513, 2048, 10_001])
def test_blocks_of_rows_are_shared_evenly(n_rows: int, n_members: int) -> None:
    size = splitting.block_rows(n_rows, n_members)
    alone = n_members == 1
    if n_rows < (splitting.LEAST_ROWS_ALONE if alone else splitting.LEAST_BLOCK_ROWS * n_members):
        assert size == 0
        return
    assert size % splitting.TASK_ROWS == 0
    assert 0 < size <= min(BLOCK_ROWS, CHUNK_ROWS)
    n_blocks = -(-n_rows // size)
    assert n_members * -(-n_rows // (n_members * BLOCK_ROWS)) >= n_blocks
    # Rounded up to whole tasks, blocks are fewer by what that takes from the last ones.
    assert n_blocks > n_members * (-(-n_rows // (n_members * BLOCK_ROWS)) - 1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": np.float64},
        {"n_classes": 3, "prior": "label"},
        {"likelihood": "gaussian", "sigma": "feature"},
        {"likelihood": "gaussian", "missing": "ignore"},
    ],
)
@pytest.mark.parametrize(
    "objective",
    [
        {},
        {"objective": "iwae", "n_samples": 5},
        {"objective": "dreg", "n_samples": 3},
        {"free_bits": 0.1},
        {"clip_norm": 0.5},
        {"binarize": "dynamic"},
    ],
)
def test_rows_in_blocks_train_the_same_bits(
    settings: dict[str, Any], objective: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions by rows and regions by columns, with whole batches and a short last one."""
    if "binarize" in objective and "likelihood" in settings:
        pytest.skip("binary rows are those of a Bernoulli likelihood")
    found = []
    for size in (0, 8, 40, 64):
        monkeypatch.setattr("fastvae.kernels.engine.workspace.block_rows", lambda n, m, s=size: s)
        vae = small_vae(**settings)
        rows: Any = sparse_rows(500, vae.n_features)
        if "missing" in settings:
            rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows / 255)
        labels = np.arange(500) % 3 if vae.n_classes else None
        vae.fit(rows, labels=labels, epochs=1, batch_size=130, verbose=False, **objective)
        found.append(vae.network.parameters.tobytes())
    assert len(set(found)) == 1
