"""What the alternating measurement found: one file of JSON, and the ratios in it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.contestants import PEERS
from bench.rows import Row, row_named, title_of

FORMAT = 1
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

    @property
    def time(self) -> float:
        """Median seconds of a run."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Median amount of work per second."""
        return self.amount / self.time

    @property
    def rates(self) -> list[float]:
        """Work per second in each round."""
        return [self.amount / seconds for seconds in self.seconds]


@dataclass
class RowResult:
    """One row: who took part, and why others did not."""

    row: Row
    measured: dict[str, Measured]
    skipped: dict[str, str] = field(default_factory=dict)
    busy: float = 0.0
    """Share of the CPUs' time that others used while no contestant worked: mean of the rests."""

    @property
    def disturbed(self) -> bool:
        """Whether others used so much of the machine that the figures are in doubt."""
        return self.busy > IDLE_LIMIT

    def fastest_peer(self) -> str | None:
        """Name of the fastest of PyTorch and JAX, None where neither took part."""
        peers = [name for name in PEERS if name in self.measured]
        return max(peers, key=lambda name: self.measured[name].rate, default=None)

    def ratio(self, contestant: str, rival: str) -> float | None:
        """How many times as fast a contestant is as a rival: the median of the rounds' ratios."""
        if contestant not in self.measured or rival not in self.measured:
            return None
        pairs = zip(self.measured[contestant].rates, self.measured[rival].rates, strict=True)
        return statistics.median(mine / other for mine, other in pairs)

    def share_of_peak(self, contestant: str, peak: float | None = None) -> float | None:
        """FLOP/s over the FMA peak: round by round where the row measured the peak itself.

        Parameters
        ----------
        contestant : str
        peak : FLOP/s to take where the row has no peak of its own
        """
        if contestant not in self.measured:
            return None
        ratio = self.ratio(contestant, "peak")
        if ratio is not None:
            return ratio * self.row.flops
        if peak is None:
            return None
        return self.measured[contestant].rate * self.row.flops / peak


@dataclass
class Results:
    """All rows, the machine they were measured on, and how.

    `quick` marks a trial run with little data, which is no measurement.
    """

    machine: dict[str, Any]
    data: str
    rounds: int
    quick: bool
    rows: dict[str, RowResult] = field(default_factory=dict)

    @property
    def peak(self) -> float | None:
        """Median FMA peak in FLOP/s over the rows that measured it, None where none did."""
        peaks = [r.measured["peak"].rate for r in self.rows.values() if "peak" in r.measured]
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
        If the format, a row or a contestant is unknown, or a contestant has no round.
    """
    content = json.loads(path.read_text())
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is no result file of format {FORMAT}")
    rows = {name: _read_row(name, entry) for name, entry in content.pop("rows").items()}
    return Results(**content, rows=rows)


def _read_row(name: str, entry: dict[str, Any]) -> RowResult:
    row = row_named(name)
    measured = {who: Measured(**figures) for who, figures in entry["measured"].items()}
    for who, figures in measured.items():
        title_of(who)
        if who not in row.contestants:
            raise ValueError(f"row {name!r} has no contestant {who!r}")
        if not figures.seconds:
            raise ValueError(f"row {name!r}: {who!r} has no measured round")
    return RowResult(row, measured, entry["skipped"], entry["busy"])
