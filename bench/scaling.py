"""How far a training step can be shared: `python -m bench.scaling`, for cores that are not here.

Each region of a step is timed alone, on one thread, and its tasks are counted for teams of 2 to 64
threads: blocks of rows, where members take these through several regions. Of n tasks that are
alike, T threads take ceil(n / T) / n of the time, and what the leader does alone takes all of it:
that is a bound on the speed-up (Amdahl's law), of which the time that threads take to meet, and the
memory that they share, are no part.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.rows import SEED_MODEL
from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Sizes, training_rows
from fastvae import VAE, kernels
from fastvae.kernels import engine
from fastvae.kernels.engine import records
from fastvae.kernels.engine.pieces import Piece

RESULTS = Path(__file__).resolve().parent / "results" / "scaling.json"
BATCH_SIZES = (20, 128, 512, 2048)
TEAMS = (2, 4, 8, 16, 32, 64)
_N_STEPS, _ROUNDS = 20, 7
_KINDS = {
    records.GATHER: "gathering",
    records.FORWARD: "layer",
    records.DRAW: "latent drawn",
    records.OUTPUT: "last layer with loss",
    records.ROW_LOSSES: "losses of the rows",
    records.BACKWARD_INPUT: "input gradient",
    records.BACKWARD_LATENT: "latent's gradient",
    records.PACK: "packing",
    records.BACKWARD_WEIGHT: "weight gradient and update",
    records.TOTALS: "totals",
}
_FLOAT = 4


@dataclass(frozen=True)
class Region:
    """A region of a training step."""

    name: str
    microseconds: float
    """Alone, on one thread."""
    kilobytes: int
    """Read and written, each array once."""
    tasks: list[int]
    """Of teams of `TEAMS`."""
    alone: list[bool]
    """Whether the leader of such a team does it by itself."""
    phases: list[int]
    """Which regions such a team goes through without meeting."""

    def share(self, i: int) -> float:
        """The microseconds that it takes the i-th team at least."""
        n, team = self.tasks[i], TEAMS[i]
        return self.microseconds * (1.0 if self.alone[i] else -(-n // team) / n)


@dataclass(frozen=True)
class Step:
    """A training step of one batch size."""

    batch_size: int
    regions: list[Region]

    @property
    def microseconds(self) -> float:
        """On one thread."""
        return sum(region.microseconds for region in self.regions)

    def serial(self, i: int) -> float:
        """Microseconds in which the i-th team's leader works alone."""
        return sum(region.microseconds for region in self.regions if region.alone[i])

    def meetings(self, i: int) -> int:
        """How often the i-th team meets."""
        return len({region.phases[i] for region in self.regions if not region.alone[i]})

    def bound(self, i: int) -> float:
        """How many times as fast as one thread the i-th team is at most."""
        return self.microseconds / sum(region.share(i) for region in self.regions)


def profile(rows: NDArray[np.uint8], batch_size: int, sizes: Sizes = SEED_MODEL) -> Step:
    """Time and count the regions of a training step.

    Parameters
    ----------
    rows : (N, n_features) uint8
    batch_size : int
    sizes : Sizes
    """
    network = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent).network
    skip_zeros = network.pays_to_skip(rows)
    work = network.new_workspace(batch_size, training=True, skip_zeros=skip_zeros)
    network.hand_over(rows, work)
    work.set(draws_noise=True)
    order = np.arange(batch_size * _N_STEPS, dtype=np.int64) % len(rows)
    run = engine.Training(
        n_steps=_N_STEPS,
        batch_size=batch_size,
        optimizer=kernels.OPTIMIZERS["adam"],
        hyper=np.array([BETA1, BETA2, EPS]),
        schedule=engine.new_schedule(_N_STEPS, LEARNING_RATE),
        totals=engine.new_totals(sizes.n_latent),
    )
    arenas = (network.parameters, network.new_arena(), network.new_arena(), network.new_arena())
    (whole,) = work.pieces(run, np.inf)
    counts = [work.count_tasks(whole.program, team) for team in TEAMS]
    before = kernels.get_num_threads()
    kernels.set_num_threads(1)
    try:
        work.train(arenas, order, run, whole)  # what the regions read is there
        seconds = [
            _seconds(lambda piece=piece: work.train(arenas, order, run, piece))
            for piece in _single(whole.program)
        ]
    finally:
        kernels.set_num_threads(before)
        work.release()
    regions = [
        Region(
            _name(record),
            round(1e6 * seconds[i] / _N_STEPS, 2),
            _kilobytes(record, batch_size),
            [int(tasks[i]) for tasks, _, _ in counts],
            [bool(alone[i]) for _, alone, _ in counts],
            [int(phases[i]) for _, _, phases in counts],
        )
        for i, record in enumerate(whole.program)
    ]
    return Step(batch_size, regions)


def _single(program: NDArray[Any]) -> Iterator[Piece]:
    """Yield the regions of a program one by one."""
    for i in range(len(program)):
        yield Piece(program[i : i + 1])


def _seconds(work: Any) -> float:
    """The least CPU time of a few calls: other processes only add to it."""
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def _name(record: Any) -> str:
    n_in, n_out = int(record["n_in"]), int(record["n_out"])
    size = f" {n_in} x {n_out}" if n_in and n_out else ""
    return f"{_KINDS[int(record['kind'])]}{size}"


def _kilobytes(record: Any, n_rows: int) -> int:
    """Kilobytes that a region reads and writes, of arrays that are large."""
    kind, n_in, n_out = (int(record[name]) for name in ("kind", "n_in", "n_out"))
    rows, weights = n_rows * (n_in + n_out) * _FLOAT, n_in * n_out * _FLOAT
    if kind == records.GATHER:
        rows, weights = n_rows * n_in * (1 + _FLOAT), 0
    elif kind == records.PACK:
        rows, weights = 2 * n_rows * n_in * _FLOAT, 0
    elif kind == records.BACKWARD_WEIGHT:
        weights *= 6  # parameters and both moments, read and written
    elif kind not in (records.FORWARD, records.OUTPUT, records.BACKWARD_INPUT):
        rows, weights = n_rows * n_out * _FLOAT, 0
    return round((rows + weights) / 1000)


def write(steps: list[Step], path: Path = RESULTS) -> None:
    """Write what was found, with the machine that it was found on."""
    facts = {name: machine.facts()[name] for name in ("cpu", "instruction_set")}
    found = {**facts, "commit": machine.commit(), "steps": [asdict(step) for step in steps]}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read(path: Path = RESULTS) -> tuple[list[Step], str]:
    """Return what was written, and a sentence on where it was found."""
    found = json.loads(path.read_text(encoding="utf-8"))
    steps = [
        Step(step["batch_size"], [Region(**region) for region in step["regions"]])
        for step in found["steps"]
    ]
    where = f"{found['cpu']}, {found['instruction_set']}, commit {found['commit'] or 'unknown'}"
    return steps, where


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files are sought first")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file")
    args = parser.parse_args()
    rows = training_rows(args.data_dir)[1]
    steps = [profile(rows, batch_size) for batch_size in BATCH_SIZES]
    write(steps, args.output)
    for step in steps:
        bounds = ", ".join(f"{team}: {step.bound(i):.1f}" for i, team in enumerate(TEAMS))
        print(f"batch {step.batch_size}: {step.microseconds:.0f} us on one thread; {bounds}")


if __name__ == "__main__":
    main()
