"""What the project promises of its speed, and what a set of results says to it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results, RowResult
from bench.rows import COLD, EPOCH, LIKELIHOOD, TEST_ROWS, WARM

Measure = Callable[[RowResult], list[float]]
"""The figure of each round, of all runs; none where it was not measured."""


@dataclass(frozen=True)
class Claim:
    """One promise about one row."""

    title: str
    row: str
    measure: Measure
    bound: float
    hoped: float | None
    unit: str
    """" x", " %", " s" or " MB": how figures are printed."""
    at_most: bool = False
    """Whether the bound is an upper one."""

    def rounds(self, results: Results) -> list[float]:
        """Return the figure of each round."""
        result = results.rows.get(self.row)
        return [] if result is None else self.measure(result)

    def figure(self, results: Results) -> float | None:
        """Return the median over all rounds of all runs, None where nothing was measured."""
        return _median(self.rounds(results))

    def of_runs(self, results: Results) -> list[float | None]:
        """Return the median of each run of the row, None for a run that did not measure it."""
        result = results.rows.get(self.row)
        runs = [] if result is None else result.run_by_run()
        return [_median(self.measure(run)) for run in runs]

    def keeps(self, figure: float) -> bool:
        """Say whether a figure keeps the promise."""
        return self._within(figure, self.bound)

    def verdict(self, figure: float) -> str:
        """Say in words whether a figure keeps the promise, and by how much it misses it."""
        if self.hoped is not None and self._within(figure, self.hoped):
            return "better than hoped"
        if self.keeps(figure):
            return "kept"
        missing = figure / self.bound - 1 if self.at_most else self.bound / figure - 1
        percent = f"{100 * missing:.0f} %" if missing >= 0.005 else "less than 1 %"
        return f"**missed by {percent}**"

    def judgement(self, results: Results) -> str:
        """Return the verdict on the median of all rounds, and the runs that say otherwise."""
        figure = self.figure(results)
        if figure is None:
            return "not measured"
        kept = self.keeps(figure)
        others = [
            str(number)
            for number, median in enumerate(self.of_runs(results), 1)
            if median is not None and self.keeps(median) != kept
        ]
        if not others:
            return self.verdict(figure)
        runs = f"run{'s' if len(others) > 1 else ''} {', '.join(others)}"
        otherwise = f"**missed in {runs}**" if kept else f"kept in {runs}"
        return f"{self.verdict(figure)}, {otherwise}"

    def _within(self, figure: float, bound: float) -> bool:
        return figure <= bound if self.at_most else figure >= bound

    def show(self, figure: float | None) -> str:
        """Print a figure with its unit."""
        if figure is None:
            return ""
        digits = 0 if self.unit in (" %", " MB") else 2
        return f"{figure:.{digits}f}{self.unit}"


def _median(figures: list[float]) -> float | None:
    return statistics.median(figures) if figures else None


def _against(rival: str) -> Measure:
    return lambda result: result.ratios("fastvae", rival)


def _percent_of_peak(result: RowResult) -> list[float]:
    return [100 * share for share in result.shares_of_peak("fastvae")]


def _over_dense_limit(result: RowResult) -> list[float]:
    """Time of an epoch over the time of its multiply-adds at peak; the inverse of the share."""
    return [1 / share for share in result.shares_of_peak("fastvae")]


def _seconds(result: RowResult) -> list[float]:
    return result.measured["fastvae"].seconds if "fastvae" in result.measured else []


def _seconds_of_test_set(result: RowResult) -> list[float]:
    """Extrapolated: each row takes the same work."""
    rates = result.measured["fastvae"].rates if "fastvae" in result.measured else []
    return [TEST_ROWS / rate for rate in rates]


def _compile_seconds(result: RowResult) -> list[float]:
    """A first process, less the same process once everything is compiled, round by round."""
    return [cold - warm for cold, warm in result.pairs(COLD, WARM)]


def _memory(result: RowResult) -> list[float]:
    return result.measured["fastvae"].memory_mb if "fastvae" in result.measured else []


_against_peers: Measure = RowResult.ratios_to_fastest_peer
_PEER = "against the fastest of PyTorch and JAX"


def _training(batch_size: int, bound: float, hoped: float) -> Claim:
    """A promise about training the seed's model, against the fastest peer."""
    title = f"training throughput, batch {batch_size}, {_PEER}"
    return Claim(title, f"train-b{batch_size}", _against_peers, bound, hoped, " x")


def _training_numpy(batch_size: int, bound: float, hoped: float) -> Claim:
    """A promise about training the seed's model, against the baseline."""
    title = f"training throughput, batch {batch_size}, against NumPy"
    return Claim(title, f"train-b{batch_size}", _against("numpy"), bound, hoped, " x")


CLAIMS = (
    _training(1, 1.6, 2.0),
    _training(20, 1.9, 2.2),
    _training(128, 1.75, 2.1),
    _training(512, 1.6, 1.9),
    _training(2048, 1.45, 1.7),
    _training_numpy(20, 5.0, 5.5),
    _training_numpy(128, 3.0, 3.5),
    _training_numpy(512, 2.3, 2.6),
    Claim(
        f"time of an epoch of {EPOCH:,} images, batch 128, over the dense limit",
        "train-b128",
        _over_dense_limit,
        1.05,
        0.9,
        " x",
        at_most=True,
    ),
    Claim(
        "training steps, batch 512, input without zeros, of the FMA peak",
        "train-dense",
        _percent_of_peak,
        80,
        85,
        " %",
    ),
    Claim(f"encoding 10,000 rows, {_PEER}", "encode", _against_peers, 1.8, None, " x"),
    Claim(f"decoding 10,000 latents, {_PEER}", "decode", _against_peers, 1.5, None, " x"),
    Claim(f"log p(x), 5,000 samples, {_PEER}", LIKELIHOOD, _against_peers, 1.5, None, " x"),
    Claim(
        f"log p(x) of {TEST_ROWS:,} test rows, 5,000 samples, extrapolated from 200",
        LIKELIHOOD,
        _seconds_of_test_set,
        150,
        75,
        " s",
        at_most=True,
    ),
    Claim(
        f"784-1024-1024-64 mirrored, batch 256, {_PEER}",
        "train-deep",
        _against_peers,
        1.25,
        1.4,
        " x",
    ),
    Claim(
        "first-ever compile of everything that `fastvae train` needs",
        "start-cold",
        _compile_seconds,
        11,
        8,
        " s",
        at_most=True,
    ),
    Claim(
        "process start to first batch, cache warm",
        "start-warm",
        _seconds,
        1.5,
        1,
        " s",
        at_most=True,
    ),
    Claim(
        "the whole job as a process, cache warm, against JAX",
        "job",
        _against("jax"),
        1.5,
        1.8,
        " x",
    ),
    Claim("peak memory of that process", "job", _memory, 400, 300, " MB", at_most=True),
)
