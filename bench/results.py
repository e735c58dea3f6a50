"""What the alternating measurement found: one file of JSON, and the ratios in it.

A row that is measured again gets a further run. No run is ever replaced: figures are medians over
all rounds of all runs, and ratios are taken within a round.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.contestants import PEERS
from bench.rows import PEAK, Row, row_named, title_of

FORMAT = 2
IDLE_LIMIT = 0.05


@dataclass
class Measured:
    """One contestant in one row: an entry per round."""

    seconds: list[float]
    amount: float
    """Work per run: rows; for the FMA peak floating-point operations; for a process 1."""
    variant: dict[str, Any] = field(default_factory=dict)
    tried: list[dict[str, Any]] = field(default_factory=list)
    """All variants, each with the seconds by which the fastest was chosen."""
    memory_mb: list[float] = field(default_factory=list)
    estimate: dict[str, float] = field(default_factory=dict)
    """Of log p(x): its mean over the rows, the error of that and the mean effective samples."""

    @property
    def time(self) -> float:
        """Median seconds of a run."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Median amount of work per second."""
        return statistics.median(self.rates)

    @property
    def rates(self) -> list[float]:
        """Work per second in each round."""
        return [self.amount / seconds for seconds in self.seconds]


@dataclass
class Run:
    """One measurement of a row: who took part, why others did not, when and with what."""

    measured: dict[str, Measured]
    skipped: dict[str, str] = field(default_factory=dict)
    busy: float = 0.0
    """Share of the CPUs' time that others used while no contestant worked: mean of the rests."""
    blas: list[dict[str, Any]] | None = None
    """The kernels that NumPy's BLAS ran, see `bench.machine.blas_kernels`.

    None where they were not recorded, and where NumPy took no part.
    """
    date: str = ""
    """UTC, in ISO 8601."""
    fastvae: str = ""
    """Version of fastvae."""
    commit: str = ""
    """Commit of the repository, empty where it was not recorded."""
    repeats: int = 1
    """How often a contestant did the row's work in each round."""

    @property
    def disturbed(self) -> bool:
        """Whether others used so much of the machine that the figures are in doubt."""
        return self.busy > IDLE_LIMIT

    def fastest_peer(self) -> str | None:
        """Name of the fastest of PyTorch and JAX, None where neither took part."""
        peers = [name for name in PEERS if name in self.measured]
        return max(peers, key=lambda name: self.measured[name].rate, default=None)


@dataclass
class RowResult:
    """One row and its runs, the first one first.

    Raises
    ------
    ValueError
        If there is no run, a run repeated the work another number of times than the row does, or a
        contestant did another amount of work in one run than in another.
    """

    row: Row
    runs: list[Run]

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError(f"row {self.row.name!r} has no run")
        for run in self.runs:
            if run.repeats != self.row.repeats:
                raise ValueError(
                    f"row {self.row.name!r} repeats its work {self.row.repeats} times, and a run "
                    f"of {run.date or 'no date'} {run.repeats} times; they are not to be compared"
                )
        for name, runs in self._by_contestant().items():
            amounts = sorted({run.amount for run in runs})
            if len(amounts) > 1:
                raise ValueError(
                    f"row {self.row.name!r}: {name!r} did {amounts[0]} in one run and "
                    f"{amounts[-1]} in another; such runs do not belong to one row"
                )

    @property
    def measured(self) -> dict[str, Measured]:
        """Each contestant with the rounds of all runs."""
        return {name: _joined(runs) for name, runs in self._by_contestant().items()}

    @property
    def skipped(self) -> dict[str, str]:
        """Who took part in no run, and why in the last one."""
        measured = self._by_contestant()
        reasons = {name: why for run in self.runs for name, why in run.skipped.items()}
        return {name: why for name, why in reasons.items() if name not in measured}

    @property
    def disturbed(self) -> bool:
        """Whether one of the runs was disturbed."""
        return any(run.disturbed for run in self.runs)

    def run_by_run(self) -> list[RowResult]:
        """Return each run as if the row had no other."""
        return [RowResult(self.row, [run]) for run in self.runs]

    def variants(self, contestant: str) -> list[dict[str, Any]]:
        """The variants that were the fastest in some run, in the order of the runs."""
        found: list[dict[str, Any]] = []
        for one in self._by_contestant()[contestant]:
            if one.variant not in found:
                found.append(one.variant)
        return found

    def pairs(self, contestant: str, rival: str) -> list[tuple[float, float]]:
        """The seconds of two contestants round by round, from all runs with both of them."""
        return [
            pair
            for run in self.runs
            if contestant in run.measured and rival in run.measured
            for pair in zip(
                run.measured[contestant].seconds, run.measured[rival].seconds, strict=True
            )
        ]

    def fastest_peers(self) -> list[str]:
        """The fastest of PyTorch and JAX in some run, in the order of the runs."""
        return list(dict.fromkeys(peer for run in self.runs if (peer := run.fastest_peer())))

    def ratios_to_fastest_peer(self) -> list[float]:
        """How many times as fast as a run's fastest peer fastvae is, round by round."""
        return [
            ratio
            for one in self.run_by_run()
            for peer in one.fastest_peers()
            for ratio in one.ratios("fastvae", peer)
        ]

    def ratios(self, contestant: str, rival: str) -> list[float]:
        """How many times as fast a contestant is as a rival, round by round."""
        measured = self.measured
        return [
            measured[contestant].amount / mine / (measured[rival].amount / other)
            for mine, other in self.pairs(contestant, rival)
        ]

    def shares_of_peak(self, contestant: str, peak: float | None = None) -> list[float]:
        """FLOP/s over the FMA peak, by round; that of the round where the row measured it itself.

        Parameters
        ----------
        contestant : str
        peak : FLOP/s to take where the row has no peak of its own
        """
        ratios = self.ratios(contestant, PEAK)
        if ratios:
            return [ratio * self.row.flops for ratio in ratios]
        measured = self.measured
        if peak is None or contestant not in measured:
            return []
        return [rate * self.row.flops / peak for rate in measured[contestant].rates]

    def _by_contestant(self) -> dict[str, list[Measured]]:
        found: dict[str, list[Measured]] = {}
        for run in self.runs:
            for name, measured in run.measured.items():
                found.setdefault(name, []).append(measured)
        return found


def _joined(runs: list[Measured]) -> Measured:
    """The rounds of several runs; what is chosen anew in each run stays there."""
    seconds = [seconds for run in runs for seconds in run.seconds]
    memory = [memory for run in runs for memory in run.memory_mb]
    return Measured(seconds, runs[0].amount, memory_mb=memory)


@dataclass
class Results:
    """All rows, the machine they were measured on, and how.

    `quick` marks a trial run with little data, which is no measurement.
    """

    machine: dict[str, Any]
    """The facts of `bench.machine`, without the version of fastvae, which is a run's."""
    data: str
    quick: bool
    rows: dict[str, RowResult] = field(default_factory=dict)

    @property
    def peak(self) -> float | None:
        """Median FMA peak in FLOP/s over the rows that measured it, None where none did."""
        peaks = [r.measured[PEAK].rate for r in self.rows.values() if PEAK in r.measured]
        return statistics.median(peaks) if peaks else None

    def starting_with(self, prefix: str) -> Iterator[tuple[int, RowResult]]:
        """Yield (number, result) of rows whose name is a prefix and a number, by the number."""
        numbers = sorted(
            int(name[len(prefix) :])
            for name in self.rows
            if name.startswith(prefix) and name[len(prefix) :].isdecimal()
        )
        for number in numbers:
            yield number, self.rows[f"{prefix}{number}"]


def write(results: Results, path: Path) -> None:
    """Write results as JSON."""
    content = asdict(results) | {"format": FORMAT}
    for row in content["rows"].values():
        del row["row"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Results:
    """Read results.

    Raises
    ------
    ValueError
        If the format, a row or a contestant is unknown, a row has no run, a contestant has no
        round, or the contestants of a run have not equally many.
    """
    content = json.loads(path.read_text())
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is no result file of format {FORMAT}")
    rows = {name: _read_row(name, entry) for name, entry in content.pop("rows").items()}
    return Results(**content, rows=rows)


def _read_row(name: str, entry: dict[str, Any]) -> RowResult:
    row = row_named(name)
    return RowResult(row, [_read_run(row, run) for run in entry["runs"]])


def _read_run(row: Row, entry: dict[str, Any]) -> Run:
    measured = {who: Measured(**figures) for who, figures in entry.pop("measured").items()}
    for who, figures in measured.items():
        title_of(who)
        if who not in row.contestants:
            raise ValueError(f"row {row.name!r} has no contestant {who!r}")
        if not figures.seconds:
            raise ValueError(f"row {row.name!r}: {who!r} has no measured round")
    rounds = {who: len(figures.seconds) for who, figures in measured.items()}
    if len(set(rounds.values())) > 1:
        raise ValueError(f"row {row.name!r} has a run of unequal numbers of rounds: {rounds}")
    return Run(measured, **entry)
