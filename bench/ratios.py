"""The alternating measurement: `python -m bench.ratios`.

In every round each contestant of a row works once, in an order that rotates from round to
round, so that what a noisy machine does to one it does to all; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from bench import contestants, environment, machine
from bench.measure import keeping_compiled_code, measure_process
from bench.results import Measured, Results, RowResult, Run, read, write
from bench.rows import COLD, IWAE, LIKELIHOOD, PEAK, TEST_ROWS, WARM, Row, all_rows, title_of
from bench.worker import Worker, WorkerError, restrict, thread_variables
from bench.workload import Array, binarised, dense_rows, training_rows

RESULTS = Path(__file__).resolve().parent / "results" / "ratios.json"
QUICK_RESULTS = Path(__file__).resolve().parent / "quick" / "ratios.json"
IN_PROCESS = ("fit", IWAE, "steps", "encode", "decode", LIKELIHOOD)
SETTLE_SECONDS = 0.3
"""Rest between two runs, in which idle pools stop spinning."""
EPOCHS = 10
COLD_ROWS, COLD_TEST_ROWS = 1_000, 200


class Refused(ValueError):
    """What is asked for cannot be measured here; the message says why."""


class Disagreement(RuntimeError):
    """Contestants found different results; the message says which."""


class Measurement:
    """One call of the command: its settings, data and scratch folder.

    Parameters
    ----------
    rounds : rounds of rows whose runs take seconds
    process_rounds : rounds of rows that start processes
    quick : whether to use a tenth of the data and one variant, to see that everything runs
    data_dir : where MNIST's files are sought first
    scratch : folder for data, caches and models
    """

    def __init__(
        self, rounds: int, process_rounds: int, quick: bool, data_dir: Path | None, scratch: Path
    ) -> None:
        self.rounds = rounds
        self.process_rounds = process_rounds
        self.quick = quick
        self.data_dir = data_dir
        self.scratch = scratch
        self.machine = contestants_machine()
        self.fastvae: str = self.machine["versions"].pop("fastvae")
        self.commit = machine.commit()
        self.n_threads: int = self.machine["threads"]
        self.data_name, self.train, self.test = training_rows(data_dir)

    def measure(self, row: Row) -> RowResult:
        """Measure one row: its result has one run."""
        if row.work in IN_PROCESS:
            return self._in_workers(row.shortened() if self.quick else row)
        if row.work == "cold":
            return self._cold(row)
        return self._processes(row)

    def _in_workers(self, row: Row) -> RowResult:
        """Rounds of runs in worker processes that stay alive."""
        data = self._data_file(row)
        n_threads = row.n_threads or self.n_threads
        workers: dict[str, Worker] = {}
        skipped = {}
        try:
            for name in row.contestants:
                reason = None if name == PEAK else contestants.why_not(name)
                if reason is None:
                    try:
                        workers[name] = Worker(name, row, data, n_threads, not self.quick)
                    except WorkerError as error:
                        if name in ("fastvae", PEAK):
                            raise
                        reason = str(error).strip().splitlines()[-1]
                if reason is not None:
                    skipped[name] = reason
            check_agreement(
                {
                    name: worker.facts.pop("values")
                    for name, worker in workers.items()
                    if "values" in worker.facts
                }
            )
            seconds: dict[str, list[float]] = {name: [] for name in workers}
            busy = []
            for number in range(self.rounds):
                for name in _rotated(list(workers), number):
                    busy.append(machine.rest(SETTLE_SECONDS))
                    seconds[name].append(workers[name].run())
        finally:
            for worker in workers.values():
                worker.close()
        facts = {name: dict(worker.facts) for name, worker in workers.items()}
        blas = facts["numpy"].pop("blas") if "numpy" in facts else None
        measured = {name: Measured(seconds[name], **facts[name]) for name in workers}
        return self._result(row, measured, skipped, busy, blas)

    def _data_file(self, row: Row) -> Path:
        """The row's data as a file that workers read."""
        path = self.scratch / "rows.npy"
        rows: Array
        if row.dense:
            rows = dense_rows(row.n_rows, row.sizes.n_features)
        elif row.work == LIKELIHOOD:
            rows = binarised(self.test[: row.n_rows])
        else:
            rows = self.train[: row.n_rows]
        np.save(path, rows)
        return path

    def _cold(self, row: Row) -> RowResult:
        """A small training by the command line, with an empty and with a full cache."""
        data = self.scratch / "small.npz"
        np.savez(data, train=self.train[:COLD_ROWS], test=self.test[:COLD_TEST_ROWS])
        figures: dict[str, list[dict[str, float]]] = {COLD: [], WARM: []}
        busy = []
        for _ in range(self.process_rounds):
            busy.append(machine.rest(SETTLE_SECONDS))
            with tempfile.TemporaryDirectory(dir=self.scratch) as cache:
                environment = self._environment() | {"NUMBA_CACHE_DIR": cache}
                for name in (COLD, WARM):  # the second process finds what the first compiled
                    command = self._train_command(str(data), 1)
                    figures[name].append(measure_process(command, environment))
        measured = {name: _from_processes(runs, "seconds") for name, runs in figures.items()}
        return self._result(row, measured, {}, busy)

    def _processes(self, row: Row) -> RowResult:
        """Rounds of whole processes, after one of each that fills the caches."""
        skipped = {name: reason for name in row.contestants if (reason := self._why_not(row, name))}
        candidates = [name for name in row.contestants if name not in skipped]
        tried = {name: self._try_variants(row, name) for name in candidates}
        best = {name: min(tries, key=lambda t: t["seconds"]) for name, tries in tried.items()}
        figures: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
        busy = []
        for number in range(self.process_rounds):
            for name in _rotated(candidates, number):
                busy.append(machine.rest(SETTLE_SECONDS))
                command = self._command(row, name, best[name]["variant"])
                figures[name].append(measure_process(command, self._environment()))
        key = "ready_seconds" if row.work == "first-batch" else "seconds"
        measured = {name: _from_processes(runs, key) for name, runs in figures.items()}
        for name, one in measured.items():
            one.variant, one.tried = best[name]["variant"], tried[name]
        return self._result(row, measured, skipped, busy)

    def _result(
        self,
        row: Row,
        measured: dict[str, Measured],
        skipped: dict[str, str],
        busy: list[float],
        blas: list[dict[str, Any]] | None = None,
    ) -> RowResult:
        """The row with the run that has just ended."""
        now = datetime.now(timezone.utc).isoformat(timespec="minutes")
        others = statistics.fmean(busy) if busy else 0.0
        run = Run(
            measured, skipped, others, blas, now, self.fastvae, self.commit, repeats=row.repeats
        )
        return RowResult(row, [run])

    def _why_not(self, row: Row, name: str) -> str | None:
        if row.work == "job" and self.data_name != "mnist":
            return "MNIST's files were not found; give --data-dir"
        return contestants.why_not(name)

    def _try_variants(self, row: Row, name: str) -> list[dict[str, Any]]:
        """Run a process of each variant twice; the second, with full caches, counts."""
        variants: list[dict[str, Any]] = [{}]
        if row.work == "job" and name != "fastvae" and not self.quick:
            variants = contestants.load(name).training_variants
        tried = []
        for variant in variants:
            for _ in range(2 if len(variants) > 1 else 1):
                run = measure_process(self._command(row, name, variant), self._environment())
            tried.append({"variant": variant, "seconds": run["seconds"]})
        return tried

    def _command(self, row: Row, name: str, variant: dict[str, Any]) -> list[str]:
        if row.work == "first-batch":
            return [sys.executable, "-m", "bench.start", name]
        epochs = 1 if self.quick else EPOCHS
        if name == "fastvae":
            return self._train_command("mnist", epochs)
        model = Path(tempfile.mkdtemp(dir=self.scratch)) / "model.safetensors"
        return [
            *(sys.executable, "-m", "bench.job", name, "--folder", str(self._mnist_folder())),
            *("--epochs", str(epochs), "--output", str(model), "--variant", json.dumps(variant)),
        ]

    def _train_command(self, dataset: str, epochs: int) -> list[str]:
        output = Path(tempfile.mkdtemp(dir=self.scratch)) / "run"
        command = [
            *(sys.executable, "-m", "fastvae", "train", "--dataset", dataset, "--no-pictures"),
            *("--quiet", "--epochs", str(epochs), "--output", str(output)),
        ]
        if dataset == "mnist":
            command += ["--data-dir", str(self._mnist_folder())]
        return command

    def _mnist_folder(self) -> Path:
        from fastvae.data import locate

        files = locate("mnist", self.data_dir)
        assert files is not None
        return files["train_images"].parent

    def _environment(self) -> dict[str, str]:
        """The environment of processes: as many threads as the workers have, caches kept."""
        caches = keeping_compiled_code(self.scratch / "jax")
        clean = environment.clean(os.environ)
        return clean | thread_variables(self.n_threads) | caches


def contestants_machine() -> dict[str, Any]:
    """Return the facts about this machine as a contestant's process sees it.

    `NUMBA_NUM_THREADS`, where it is set, says how many threads every contestant gets.
    """
    threads = {name: os.environ[name] for name in [environment.THREADS] if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "bench.machine"],
        cwd=machine.ROOT,
        env=environment.clean(os.environ) | threads,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def check_agreement(values: dict[str, list[float]]) -> None:
    """Raise where estimates of log p(x) of the same rows differ by more than chance.

    Two estimates of a row have the same expectation, so that the mean of the rows' differences is
    0 but for its standard error: five of those are allowed, and 1e-5 of the mean for float32. That
    error is taken from the differences: the estimates' own are too small where few samples count.

    Parameters
    ----------
    values : the rows' log p(x) of each contestant; others are compared with the first

    Raises
    ------
    Disagreement
        If one differs so much from the first.
    """
    (first, expected), *others = list(values.items()) or [("", [])]
    for other, found in others:
        differences = np.subtract(found, expected)
        mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(len(differences))
        if not abs(mean) <= 5 * error + 1e-5 * abs(np.mean(expected)):
            raise Disagreement(
                f"log p(x) of {title_of(other)} differs from that of {title_of(first)} by "
                f"{mean:.4f} ± {error:.4f} nats, the mean over the same {len(expected)} rows"
            )


def _rotated(names: list[str], number: int) -> list[str]:
    first = number % len(names)
    return names[first:] + names[:first]


def _from_processes(runs: list[dict[str, float]], key: str) -> Measured:
    return Measured([run[key] for run in runs], 1, memory_mb=[run["memory_mb"] for run in runs])


def print_row(result: RowResult) -> None:
    """Print what was measured in the last run of a row."""
    run = result.runs[-1]
    others = f" (others kept the CPUs {100 * run.busy:.0f} % busy)" if run.disturbed else ""
    print(f"{result.row.title}:{others}", flush=True)
    for name, figures in run.measured.items():
        variant = f"  {figures.variant}" if figures.variant else ""
        rate = f"{figures.rate:14,.0f} /s" if figures.amount > 1 else ""
        print(f"  {title_of(name):18} {figures.time:9.3f} s {rate}{variant}")
        if figures.estimate:
            found = "log p(x) {value:.4f} ± {standard_error:.4f}, ess {ess:.0f}"
            seconds = TEST_ROWS / figures.rate
            print(
                f"  {'':18} {found.format(**figures.estimate)}; "
                f"{TEST_ROWS:,} rows, extrapolated: {seconds:.1f} s"
            )
    for name, reason in run.skipped.items():
        print(f"  {title_of(name):18} skipped: {reason}", flush=True)
    ratios = RowResult(result.row, [run]).ratios_to_fastest_peer()
    if ratios:
        print(
            f"  fastvae is {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}) times as fast as the fastest peer",
            flush=True,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the measurement's options to a parser."""
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="measure only these rows")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each row (default: 7)")
    parser.add_argument(
        "--process-rounds", type=int, default=3, help="rounds of rows that start processes (3)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="little data, two rounds: only to see that it runs"
    )
    parser.add_argument("--data-dir", type=Path, help="where MNIST's files are sought first")
    parser.add_argument(
        "--update",
        action="store_true",
        help="add to the JSON file: a row that it holds gets a further run, nothing is replaced",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the JSON file (default: results/ratios.json here; with --quick quick/ratios.json)",
    )


def run(args: argparse.Namespace) -> Path:
    """Measure as the arguments say; return the file that was written.

    The file is written after each row, so that an interrupted measurement is not lost.

    Raises
    ------
    Refused
        If the environment forces an instruction set or core, threadpoolctl is missing, `--rows`
        names an unknown row, a number of rounds is not positive, the file exists and neither
        `--update` nor `--quick` is given, or `--update` finds the results of another machine,
        other versions of the peers, other data or a trial run.
    """
    output = Path(args.output or (QUICK_RESULTS if args.quick else RESULTS))
    rounds, process_rounds = (2, 1) if args.quick else (args.rounds, args.process_rounds)
    _check_environment()
    if min(rounds, process_rounds) < 1:
        raise Refused(f"rounds must be at least 1; got {rounds} and {process_rounds}")
    if output.exists() and not (args.update or args.quick):
        raise Refused(
            f"{output} exists: --update adds runs to it, --output FILE begins another file"
        )
    with tempfile.TemporaryDirectory(prefix="fastvae-bench-") as scratch:
        restrict(contestants_machine()["threads"])  # a quota counts for every process from here on
        measurement = Measurement(rounds, process_rounds, args.quick, args.data_dir, Path(scratch))
        rows = {row.name: row for row in all_rows(measurement.n_threads)}
        unknown = set(args.rows or ()) - set(rows)
        if unknown:
            raise Refused(f"unknown rows {sorted(unknown)}; known: {', '.join(rows)}")
        results = Results(measurement.machine, measurement.data_name, args.quick)
        if args.update and output.exists():
            results = _continued(results, output)
        for name in args.rows or rows:
            result = measurement.measure(rows[name])
            earlier = results.rows[name].runs if name in results.rows else []
            results.rows[name] = RowResult(result.row, [*earlier, *result.runs])
            print_row(results.rows[name])
            write(results, output)
    return output


def _check_environment() -> None:
    """Refuse forced instruction sets; say which other settings contestants do not get."""
    forced = environment.instruction_sets(os.environ)
    if forced:
        raise Refused(
            f"{', '.join(forced)} may hold libraries to some instruction set or core, and "
            f"figures are those of the whole machine; {environment.unset_them(forced)}"
        )
    reason = machine.why_blas_is_unknown()
    if reason is not None:
        raise Refused(reason)
    dropped = [name for name in environment.settings(os.environ) if name != environment.THREADS]
    if dropped:
        print(f"settings that contestants do not get: {', '.join(dropped)}", flush=True)


def _continued(new: Results, path: Path) -> Results:
    """The results of an earlier measurement under the same conditions, to be added to."""
    earlier = read(path)
    versions = earlier.machine["versions"] | new.machine["versions"]
    # A package that one of the two lacks took no part there.
    then = earlier.machine | {"versions": versions | earlier.machine["versions"]}
    now = new.machine | {"versions": versions}
    for condition, before, after in (
        *((fact, then.get(fact), now[fact]) for fact in now),
        ("data", earlier.data, new.data),
        ("quick", earlier.quick, new.quick),
    ):
        if before != after:
            raise Refused(f"{path} was measured with {condition} {before!r}; now it is {after!r}")
    return Results(now, earlier.data, earlier.quick, earlier.rows)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    add_arguments(parser)
    try:
        run(parser.parse_args())
    except Refused as reason:
        parser.error(str(reason))


if __name__ == "__main__":
    main()
