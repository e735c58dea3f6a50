"""Measure training on ranks: `python -m bench.ranks`; `page` writes them to docs/scaling.md.

Each process, or job of ranks, is started for one measurement, in an order that rotates from round
to round; all have two threads or one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench import contestants, environment, machine
from bench.ranks import page
from bench.ranks.elements import elements
from bench.ranks.results import Match, Results, Times, write
from bench.ranks.worker import Order
from bench.rows import DEEP_MODEL, SEED_MODEL
from bench.worker import thread_variables
from bench.workload import Sizes, mnist_like_rows, training_rows
from fastvae import VAE

WIDE_MODEL = Sizes(20_000, (256,), 32)
MODELS = (SEED_MODEL, DEEP_MODEL, WIDE_MODEL)
N_ROWS = {SEED_MODEL: 16_384, DEEP_MODEL: 8_192, WIDE_MODEL: 4_096}
BATCH_SIZES = (512, 2048)
BLOCKS = (1, 8, 32)
MATCH_BATCH, MATCH_ROWS = 2048, 29 * 2048
"""An epoch of MNIST but for the last, smaller batch."""
PACKAGES = ("numpy", "numba", "mpi4py", "torch")
_LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"}


class Measurement:
    """One call of the command.

    Parameters
    ----------
    data_dir : where MNIST's files are sought first
    folder : for data, and for the files by which ranks find each other
    """

    def __init__(self, data_dir: Path | None, folder: Path) -> None:
        self._digits = training_rows(data_dir)[1]
        self._folder = folder

    def _rows(self, sizes: Sizes, n_rows: int) -> Path:
        """The rows of a model in a file."""
        n = n_rows or N_ROWS[sizes]
        path = self._folder / f"{sizes.title}-{n}.npy"
        if not path.exists():
            digits = sizes.n_features == self._digits.shape[1]
            np.save(path, self._digits[:n] if digits else mnist_like_rows(n, sizes.n_features))
        return path

    def run(
        self,
        contestant: str,
        sizes: Sizes,
        n_ranks: int,
        n_threads: int,
        settings: Any,
        *,
        n_rows: int = 0,
        n_fits: int = 3,
    ) -> list[float]:
        """Seconds of a step with each setting, of ranks of so many threads each."""
        order = Order(
            contestant, sizes.hidden, sizes.n_latent, str(self._rows(sizes, n_rows)),
            tempfile.mkdtemp(dir=self._folder), n_threads, n_fits, settings,
        )  # fmt: skip
        command = [sys.executable, "-m", "bench.ranks.worker", json.dumps(asdict(order))]
        found: list[float] = self._json_of(command, n_ranks, n_threads)
        return found

    def network(self) -> dict[int, float]:
        """Seconds of messages between two ranks, by their bytes."""
        found = self._json_of([sys.executable, "-m", "bench.ranks.network"], 2, 1)
        return {int(size): seconds for size, seconds in found.items()}

    def _json_of(self, command: list[str], n_ranks: int, n_threads: int) -> Any:
        if n_ranks > 1:
            command = [_launcher(), "-n", str(n_ranks), *command]
        done = subprocess.run(
            command,
            cwd=machine.ROOT,
            env=environment.clean(os.environ) | thread_variables(n_threads) | _LOOPBACK,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])


def _launcher() -> str:
    """The mpiexec that is installed beside this Python, or the one that is found first."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("mpiexec was not found: pip install 'fastvae-cpu[mpi]'")
    return found


def measure_costs(measurement: Measurement, rounds: int) -> list[Times]:
    """Steps of each model: one thread with and without blocks, and two ranks."""
    grid = [{"batch_size": b, "n_blocks": n} for b in BATCH_SIZES for n in BLOCKS]
    ranked = [{"batch_size": b, "n_blocks": 0} for b in BATCH_SIZES]
    found = [Times(s.title, g["batch_size"], g["n_blocks"], 1) for s in MODELS for g in grid]
    found += [Times(s.title, g["batch_size"], 8, 2) for s in MODELS for g in ranked]
    for number in range(rounds):
        alone: list[float] = []
        together: list[float] = []
        for sizes in MODELS:
            settings = [g | {"n_blocks": 0} if g["n_blocks"] == 1 else g for g in grid]
            alone += measurement.run("fastvae", sizes, 1, 1, settings)
            together += measurement.run("fastvae", sizes, 2, 1, ranked)
        for times, seconds in zip(found, [*alone, *together], strict=True):
            times.seconds.append(seconds)
        print(f"round {number + 1} of {rounds} of all models", flush=True)
    return found


def _n_parameters(sizes: Sizes) -> int:
    """Elements of a model's arena."""
    return len(VAE.from_sizes(sizes.n_features, sizes.hidden, sizes.n_latent).network.parameters)


def measure_match(measurement: Measurement, rounds: int) -> list[Match]:
    """fastvae and PyTorch on the 1024-wide model: one process of two threads, two ranks of one."""
    ours: dict[str, Any] = {"batch_size": MATCH_BATCH, "n_blocks": 0}
    settings: dict[tuple[str, int], dict[str, Any]] = {("fastvae", n): ours for n in (1, 2)}
    if contestants.why_not("torch") is None:
        settings |= {("torch", n): _fastest(measurement, n) for n in (1, 2)}
    matches = {who: Match(*who, setting.get("variant")) for who, setting in settings.items()}
    order = list(settings)
    for number in range(rounds):
        turn = number % len(order)
        for who in order[turn:] + order[:turn]:
            name, n_ranks = who
            (seconds,) = measurement.run(
                name, DEEP_MODEL, n_ranks, 2 // n_ranks, [settings[who]],
                n_rows=MATCH_ROWS, n_fits=1,
            )  # fmt: skip
            matches[who].seconds.append(seconds)
        last = {who: match.seconds[-1] for who, match in matches.items()}
        print(f"round {number + 1} of {rounds}: {last}", flush=True)
    return list(matches.values())


def _fastest(measurement: Measurement, n_ranks: int) -> dict[str, Any]:
    """The setting of PyTorch that is fastest in a trial of each."""
    from bench.ranks.torch_ranks import TorchRanks

    if n_ranks > 1:
        variants: list[dict[str, Any]] = [
            {"arguments": variant} for variant in TorchRanks.training_variants
        ]
    else:
        variants = [
            {"contestant": name, "arguments": variant}
            for name in ("torch", "torch-compiled")
            for variant in contestants.load(name).training_variants
        ]
    settings = [{"batch_size": MATCH_BATCH, "variant": variant} for variant in variants]
    found = [
        measurement.run("torch", DEEP_MODEL, n_ranks, 2 // n_ranks, [setting])[0]
        for setting in settings
    ]
    for setting, seconds in zip(settings, found, strict=True):
        print(f"{n_ranks} ranks, {setting['variant']}: {seconds:.4f}", flush=True)
    return settings[int(np.argmin(found))]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ranks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("measure", "page"), default="measure")
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files are sought first")
    parser.add_argument("--rounds", type=int, default=3, help="of all models")
    parser.add_argument("--match-rounds", type=int, default=9, help="of fastvae and PyTorch")
    args = parser.parse_args()
    if args.what == "measure":
        with tempfile.TemporaryDirectory() as folder:
            measurement = Measurement(args.data_dir, Path(folder))
            results = Results(
                machine={name: machine.facts()[name] for name in ("cpu", "instruction_set")},
                versions={name: version(name) for name in PACKAGES if find_spec(name)},
                commit=machine.commit(),
                network=measurement.network(),
                elements=elements(),
                n_parameters={sizes.title: _n_parameters(sizes) for sizes in MODELS},
                matches=measure_match(measurement, args.match_rounds),
                times=measure_costs(measurement, args.rounds),
            )
        write(results)
    page.update()


if __name__ == "__main__":
    main()
