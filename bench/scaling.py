"""How far the work can be shared: `python -m bench.scaling`, for cores that are not here.

A call of training, encoding, decoding or of log p(x) runs programs of regions. Each region is timed
alone, on one thread, and its tasks are counted as a team of 2 to 64 threads would have them: blocks
of rows, where members take these through several regions. Of n tasks that are alike, T threads take
ceil(n / T) / n of the time, and what the leader or Python does alone takes all of it: that is a
bound on the speed-up (Amdahl's law), of which the time that threads take to meet, and the memory
that they share, are no part.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from bench import machine
from bench.rows import SEED_MODEL
from bench.workload import BETA1, BETA2, EPS, LEARNING_RATE, Sizes, training_rows
from fastvae import VAE, kernels
from fastvae.kernels import engine
from fastvae.kernels.engine import importance_tasks, latent_tasks, records, regions, workspace
from fastvae.kernels.machine.isa import panel_width
from fastvae.kernels.machine.threads import use_threads
from fastvae.model import importance, network
from fastvae.training.nats import Nats

RESULTS = Path(__file__).resolve().parent / "results" / "scaling.json"
BATCH_SIZES = (20, 128, 512, 2048)
TEAMS = (2, 4, 8, 16, 32, 64)
N_ROWS, N_LIKELIHOOD_ROWS, N_SAMPLES = 10_000, 20, 5_000
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
_TASKS = {
    latent_tasks.head_task: "mean and log-variance",
    importance_tasks.latents_task: "latents drawn",
    importance_tasks.output_sums_task: "last layer with loss",
    importance_tasks.weights_task: "weights added",
}
_FLOAT = 4


@dataclass(frozen=True)
class Region:
    """A region of some work."""

    name: str
    microseconds: float
    """Alone, on one thread."""
    kilobytes: int
    """Read and written by a step, each array once."""
    tasks: list[int]
    """Of teams of `TEAMS`, in a step."""
    alone: list[bool]
    """Whether the leader of such a team does it by itself."""

    def share(self, i: int) -> float:
        """The microseconds that it takes the i-th team at least."""
        n, team = self.tasks[i], TEAMS[i]
        return self.microseconds * (1.0 if self.alone[i] else -(-n // team) / n)


@dataclass(frozen=True)
class Work:
    """A training step, or a call of a pass."""

    title: str
    regions: list[Region]
    python: float
    """Microseconds that Python takes around the kernels, on one thread."""
    meetings: list[int]
    """How often teams of `TEAMS` meet."""

    @property
    def microseconds(self) -> float:
        """On one thread."""
        return self.python + sum(region.microseconds for region in self.regions)

    def serial(self, i: int) -> float:
        """Microseconds in which the i-th team's leader works alone."""
        return self.python + sum(one.microseconds for one in self.regions if one.alone[i])

    def bound(self, i: int) -> float:
        """How many times as fast as one thread the i-th team is at most."""
        return self.microseconds / (self.python + sum(one.share(i) for one in self.regions))


class _Run(NamedTuple):
    """A run of a program, as `engine.steps.run_program` takes it."""

    program: NDArray[Any]
    steps: NDArray[Any]
    memory: Any
    seconds: list[float]
    """Of each region; none where it was not timed."""

    @property
    def kinds(self) -> tuple[Any, ...]:
        """What is the same in all runs of one program."""
        names = "kind", "task_address", "n_in", "n_out"
        return tuple(zip(*(self.program[name].tolist() for name in names), strict=True))


@contextmanager
def _recorded(team: int, *, times: bool = False) -> Iterator[list[_Run]]:
    """Record what calls would run for a team of that size; with `times` they do, region by region.

    Arrays that regions know by their addresses are there during the call only.
    """
    found: list[_Run] = []
    run_program = workspace.run_program

    def noted(address: int, program: Any, steps: Any, memory: Any) -> None:
        found.append(_Run(program.copy(), steps.copy(), memory, []))
        if times:
            run_program(address, program, steps.copy(), memory)  # what the regions read is there
            for i in range(len(program)):
                alone = partial(run_program, address, program[i : i + 1], steps, memory)
                found[-1].seconds.append(_least(alone))

    with ExitStack() as stack:
        for module in (workspace, network, importance):
            stack.enter_context(mock.patch.object(module, "team_size", return_value=team))
        stack.enter_context(mock.patch.object(workspace, "run_program", noted))
        yield found


def profile(title: str, call: Callable[[int], Any], n_steps: int = 1) -> Work:
    """Time and count the regions of some work.

    Parameters
    ----------
    title : str
    call : callable
        Does the work for a team of the size that it is given.
    n_steps : int
        How often a call does it.
    """
    with use_threads(1):
        with _recorded(1, times=True) as runs:
            call(1)
        with _recorded(1):
            python = _least(lambda: call(1))
    counts = []
    for team in TEAMS:
        with _recorded(team) as of_team:
            call(team)
        counts.append([(run, _count(run)) for run in of_team])
    first = {run.kinds: run for run in reversed(runs)}
    found = []
    for kinds, run in reversed(first.items()):
        like = [other.seconds for other in runs if other.kinds == kinds]
        tasks = [next(c for other, c in of if other.kinds == kinds) for of in counts]
        found += [
            Region(
                _name(record),
                round(1e6 * sum(seconds[i] for seconds in like) / n_steps, 2),
                _kilobytes(record, int(run.steps["batch_size"][0] * record["repeat"])),
                [int(count[0][i]) for count in tasks],
                [bool(count[1][i]) for count in tasks],
            )
            for i, record in enumerate(run.program)
        ]
    meetings = [sum(_meetings(*one) for one in of) // n_steps for of in counts]
    return Work(title, found, round(1e6 * python / n_steps, 2), meetings)


def _least(work: Callable[[], Any]) -> float:
    """The least CPU time of a few calls: other processes only add to it."""
    times = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def _count(run: _Run) -> NDArray[np.int64]:
    """Of each region its tasks, whether the leader does it alone, and its phase."""
    counts = np.zeros((3, len(run.program)), np.int64)
    steps = run.steps.copy()
    steps["n_rows"] = np.minimum(steps["batch_size"], len(run.memory.order))
    regions.count_tasks(*counts, run.program, steps, panel_width(run.memory.work.itemsize))
    return counts


def _meetings(run: _Run, counts: NDArray[np.int64]) -> int:
    """How often a team meets in a run."""
    return int(run.steps["n_steps"][0]) * len({*counts[2][counts[1] == 0].tolist()})


def _name(record: Any) -> str:
    n_in, n_out = int(record["n_in"]), int(record["n_out"])
    size = f" {n_in} x {n_out}" if n_in and n_out else ""
    for tasks, name in _TASKS.items():
        if record["task_address"] == regions.task_address(np.dtype(np.float32), tasks):
            return f"{name}{size}"
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


def training(rows: NDArray[np.uint8], batch_size: int, sizes: Sizes = SEED_MODEL) -> Work:
    """Time and count a training step.

    Parameters
    ----------
    rows : (N, n_features) uint8
    batch_size : int
    sizes : Sizes
    """
    model = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent).network
    work = model.new_workspace(batch_size, training=True, skip_zeros=model.pays_to_skip(rows))
    model.hand_over(rows, work)
    work.set(draws_noise=True)
    order = np.arange(batch_size * _N_STEPS, dtype=np.int64) % len(rows)
    arenas = (model.parameters, model.new_arena(), model.new_arena(), model.new_arena())

    def call(team: int) -> None:
        run = engine.Training(
            n_steps=_N_STEPS,
            batch_size=batch_size,
            optimizer=kernels.OPTIMIZERS["adam"],
            hyper=np.array([BETA1, BETA2, EPS]),
            schedule=engine.new_schedule(_N_STEPS, LEARNING_RATE),
            totals=engine.new_totals(sizes.n_latent),
            n_members=team,
        )
        (whole,) = work.pieces(run, np.inf)
        work.train(arenas, order, run, whole)

    return profile(f"training step, batch {batch_size}", call, _N_STEPS)


def passes(rows: NDArray[np.uint8], sizes: Sizes = SEED_MODEL) -> Iterator[Work]:
    """Time and count encoding, decoding and log p(x).

    Parameters
    ----------
    rows : (N, n_features) uint8
    sizes : Sizes
    """
    model = VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent).network
    n = len(rows)
    latents = np.random.default_rng(0).standard_normal((n, sizes.n_latent), np.float32)
    yield profile(f"encoding {n:,} rows", lambda _: model.encode(rows))
    yield profile(f"decoding {n:,} latents", lambda _: model.decode(latents))
    few = (rows[:N_LIKELIHOOD_ROWS] > 127) * np.float32(1.0)
    yield profile(
        f"log p(x) of {len(few)} rows, {N_SAMPLES:,} samples each",
        lambda _: importance.log_likelihood(model, few, N_SAMPLES, 0, Nats(1.0, 1.0, 0.0)),
    )


def write(found: list[Work], path: Path = RESULTS) -> None:
    """Write what was found, with the machine that it was found on."""
    facts = {name: machine.facts()[name] for name in ("cpu", "instruction_set")}
    content = {**facts, "commit": machine.commit(), "work": [asdict(one) for one in found]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(path: Path = RESULTS) -> tuple[list[Work], str]:
    """Return what was written, and a sentence on where it was found."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = [
        Work(**one | {"regions": [Region(**region) for region in one["regions"]]})
        for one in content["work"]
    ]
    where = f"{content['cpu']}, {content['instruction_set']}"
    return found, f"{where}, commit {content['commit'] or 'unknown'}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files are sought first")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file")
    args = parser.parse_args()
    rows = training_rows(args.data_dir)[1]
    found = [training(rows, batch_size) for batch_size in BATCH_SIZES]
    found += passes(rows[:N_ROWS])
    write(found, args.output)
    for one in found:
        bounds = ", ".join(f"{team}: {one.bound(i):.1f}" for i, team in enumerate(TEAMS))
        print(f"{one.title}: {one.microseconds:.0f} us on one thread; {bounds}")


if __name__ == "__main__":
    main()
