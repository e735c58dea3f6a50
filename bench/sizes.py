"""Search the sizes of `kernels/machine/sizes.py`: `python -m bench.sizes [--data-dir D]`.

Each candidate is this processor's sizes with one number changed. It and the unchanged ones train
the seed's model in turn, in a process of their own each, the order within a pair swapped every
time; the median of the ratios is printed. What is better by more than the spread belongs into the
table. How memory happens to lie makes up to 8 % at batch 1, where most of these numbers do nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import environment
from bench.ours import Steps
from bench.rows import BATCH_ROWS, SEED_MODEL
from fastvae import Dataset
from fastvae.kernels.machine.sizes import SIZES

CANDIDATES = {"block": (64, 256), "spans": (1, 4), "block_rows": (32,), "asks": (0, 1)}
BATCHES = (1, 20, 128, 512)
ROUNDS = 9
VARIABLE = "FASTVAE_SIZES"


class Trainer:
    """A process that trains with given sizes whenever it is told to.

    Parameters
    ----------
    sizes : str
        What FASTVAE_SIZES says.
    batch_size : int
    data_dir : str or None
    """

    def __init__(self, sizes: str, batch_size: int, data_dir: str | None) -> None:
        command = [sys.executable, "-m", "bench.sizes", "--work", str(batch_size)]
        self._process = subprocess.Popen(
            [*command, *(["--data-dir", data_dir] if data_dir else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env=environment.clean(os.environ) | {VARIABLE: sizes},
        )
        self.run()

    def run(self) -> float:
        """Train once; return the seconds that it took.

        Raises
        ------
        RuntimeError
            If the process ended; what it said is on stderr.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended with code {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def work(batch_size: int, data_dir: str | None) -> None:
    """Train at each line of stdin, and print the seconds; the first time is not counted."""
    rows = Dataset("mnist", data_dir=data_dir).train[: BATCH_ROWS[batch_size] // 2]
    steps = Steps(SEED_MODEL, rows, batch_size)
    for _ in sys.stdin:
        start = time.perf_counter()
        steps.run()
        print(time.perf_counter() - start, flush=True)


def compare(change: str, batch_size: int, data_dir: str | None) -> list[float]:
    """The ratios of training with changed sizes to that with the unchanged ones."""
    trainers = [Trainer(sizes, batch_size, data_dir) for sizes in (change, "")]
    ratios = []
    for turn in range(ROUNDS):
        seconds = [0.0, 0.0]
        for i in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[i] = trainers[i].run()
        ratios.append(seconds[0] / seconds[1])
    for trainer in trainers:
        trainer.close()
    return ratios


def main(arguments: list[str]) -> None:
    """Print the median, least and greatest ratio of each candidate at each batch size."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=__doc__)
    parser.add_argument("--data-dir", help="folder with MNIST; else FASTVAE_DATA, or a download")
    parser.add_argument("--work", type=int, choices=tuple(BATCH_ROWS), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.work:
        work(args.work, args.data_dir)
        return
    print(f"this processor: {SIZES}; time with one number changed over time without")
    for name, numbers in CANDIDATES.items():
        for number in numbers:
            if number == getattr(SIZES, name):
                continue
            for batch_size in BATCHES:
                ratios = compare(f"{name}={number}", batch_size, args.data_dir)
                middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
                print(
                    f"{name}={number} batch {batch_size}: {middle:.3f} ({least:.3f} to {most:.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
