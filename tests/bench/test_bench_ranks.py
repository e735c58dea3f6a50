"""The measurement of ranks: its model of cost, the page, and PyTorch's side of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.ranks import page
from bench.ranks.cost import BYTES, Cost, Network, Point
from bench.ranks.results import Match, Results, Times, read, write
from bench.workload import Sizes, initial_parameters, mnist_like_rows

COST = Cost(
    n_parameters=1000, plain_row=0.5, step=2.0, block=0.25, row=0.5,
    add=1e-4, update=1e-3,
)  # fmt: skip
INSTANT = Network("instant", 0.0, 0.0, np.inf)


def test_the_cost_that_was_measured_is_found() -> None:
    points = [Point(512, 1, 512 * 0.6), Point(2048, 1, 2048 * 0.5)]
    points += [Point(b, n, COST.on_ranks(b, 1, n, INSTANT)) for b in (512, 2048) for n in (8, 32)]
    found = Cost.fitted(1000, points, COST.add, COST.update)
    assert found.plain_row == 0.5
    assert found.on_ranks(4096, 1, 16, INSTANT) == pytest.approx(2 + 16 * 0.25 + 4096 * 0.5)


def test_ranks_share_blocks_rows_and_updates() -> None:
    # Two ranks do 4 blocks and 40 rows each, update 500 parameters, and add one sum of the other.
    compute = (2 - 500e-3) + 4 * 0.25 + 40 * 0.5 + 500 * 1e-4
    assert COST.on_ranks(80, 2, 8, INSTANT) == pytest.approx(compute)
    assert COST.on_ranks(80, 2, 8, INSTANT, speed=4.0) == pytest.approx(compute / 4)


def test_three_ranks_send_the_sums_of_several_subtrees() -> None:
    # Of 8 blocks the second of three ranks does 2, 3, 4: the subtrees (2, 4) and (4, 5).
    network = Network("slow", 5.0, 1.0, 1.0)
    exchange = 2 * 5.0 + 2 * (2 + 1) * 1.0 + (2 + 1) * 2 / 3 * 1000 * BYTES / 1.0
    without = COST.on_ranks(80, 3, 8, INSTANT)
    assert COST.on_ranks(80, 3, 8, network) - without == pytest.approx(exchange)


def test_slower_networks_need_larger_batches() -> None:
    quick, slow = Network("quick", 1e-6, 1e-6, 1e9), Network("slow", 1e-2, 1e-2, 1e4)
    batches = [COST.batch_for(0.9, 8, network) or 0 for network in (quick, slow)]
    assert 0 < batches[0] < batches[1]
    for network in (quick, slow):
        batch_size = COST.batch_for(0.9, 8, network)
        assert batch_size is not None
        assert COST.efficiency(batch_size, 8, network) >= 0.9
        assert COST.efficiency(batch_size // 2, 8, network) < 0.9


def test_what_cannot_be_reached_is_said() -> None:
    slower_by_row = replace(COST, row=0.6)
    assert slower_by_row.batch_for(0.9, 8, INSTANT) is None


RESULTS = Results(
    machine={"cpu": "A processor", "instruction_set": "avx2"},
    versions={"numpy": "2"},
    commit="abcdef0",
    network={8: 1e-6, 2**24: 2e-3},
    elements={"add": 1e-10, "update": 1e-9},
    n_parameters={"small": 1000},
    matches=[Match("fastvae", 1, None, [0.2, 0.3]), Match("fastvae", 2, None, [0.25, 0.3])],
    times=[
        Times("small", b, n, 1, [1e-3 * (b + n)]) for b in (512, 2048) for n in (1, 8, 32)
    ] + [Times("small", 512, 8, 2, [0.3])],
)  # fmt: skip


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(RESULTS, tmp_path / "ranks.json")
    assert read(tmp_path / "ranks.json") == RESULTS


def test_the_ratio_is_that_of_rounds() -> None:
    assert RESULTS.ratio("fastvae") == pytest.approx(0.9)
    assert RESULTS.ratio("torch") is None


def test_the_page_says_what_was_measured() -> None:
    text = page.text(RESULTS)
    assert "| fastvae | 250 | 275 | 90 % |" in text
    assert "PyTorch |" not in text
    assert "1.0 us, 8.4 GB/s" in text


def test_the_page_is_that_of_the_results() -> None:
    written = page.PAGE.read_text(encoding="utf-8")
    inside = written.split(page.START)[1].split(page.END)[0]
    assert inside.strip() == page.text(read()).strip()


def test_pytorch_s_rank_trains_as_its_process_does(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from bench.ranks.torch_ranks import TorchRanks, group
    from bench.torch_vae import TorchVAE

    sizes = Sizes(20, (8,), 3)
    rows = mnist_like_rows(64, 20)
    plain = TorchVAE(sizes)
    with group(0, 1, tmp_path):
        spread = TorchRanks(sizes, compiled=False, bucket_mb=4)
        losses = []
        for model in (plain, spread):
            torch_seed()
            model.set_parameters(initial_parameters(sizes, rows))
            losses.append(model.fit(model.prepare(rows), 3, 16))
    assert losses[0] == losses[1]
    assert losses[0][2] < losses[0][0]


def torch_seed() -> None:
    import torch

    torch.manual_seed(0)
