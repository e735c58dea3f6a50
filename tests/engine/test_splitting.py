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
from fastvae.kernels.engine.workspace import Workspace

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
    assert tasks == sorted(tasks)
    assert tasks[-1] > 2 * tasks[0]


def test_totals_and_losses_of_many_rows_are_shared() -> None:
    network = build((784, (32,), 40))
    for n_rows, is_alone in ((16, True), (2000, False)):
        work = network.new_workspace(n_rows, training=True, skip_zeros=False)
        program = work.passes.training
        _, alone = work.count_tasks(program, 8)
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
def test_members_with_steps_of_their_own_find_the_same_bits(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoding, from two members on; decoding, from many on."""
    vae = small_vae(**settings)
    rng = np.random.default_rng(0)
    rows: Any = sparse_rows(20_000, vae.n_features)
    if "missing" in settings:
        rows = np.where(rng.random(rows.shape) < 0.1, np.nan, rows / 255)
    labels = rng.integers(0, 3, len(rows)) if vae.n_classes else None
    parted = []
    own = Workspace._run_own

    def run_own(self: Workspace, *arguments: Any) -> None:
        parted.append(arguments[-1])
        own(self, *arguments)

    monkeypatch.setattr(Workspace, "_run_own", run_own)
    found = []
    for n_members in (1, 2, 3, 8):
        monkeypatch.setattr("fastvae.kernels.engine.workspace.team_size", lambda n=n_members: n)
        mean, log_var = vae.encode(rows, labels=labels)
        decoded = vae.decode(mean, labels=labels)
        found.append((mean.tobytes(), log_var.tobytes(), decoded.tobytes()))
    assert len(set(found)) == 1
    assert set(parted) == {2, 3, 8}
    assert parted.count(8) > parted.count(2) == 1


def test_an_infinite_weight_shows_where_members_have_steps_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastvae.kernels.engine.workspace.team_size", lambda: 2)
    vae = small_vae()
    weight = np.array(vae.encoder.layers[0].weight)
    weight[0, 0] = np.inf
    vae.network.write_dense(0, weight, np.array(vae.encoder.layers[0].bias))
    rows = np.zeros((20_000, vae.n_features), np.uint8)
    assert np.isnan(vae.encode(rows)[0]).any()


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
