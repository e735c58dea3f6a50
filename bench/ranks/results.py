"""What was measured of training on ranks, as a file."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results" / "ranks.json"


@dataclass
class Times:
    """Seconds of a step in each round, of ranks of one thread; 1 block: training without blocks."""

    model: str
    batch_size: int
    n_blocks: int
    n_ranks: int
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)


@dataclass
class Match:
    """Steps of a contestant on two cores, by one process or by two ranks: seconds of each round."""

    contestant: str
    n_ranks: int
    variant: dict[str, Any] | None
    seconds: list[float] = field(default_factory=list)


@dataclass
class Results:
    """All of it.

    Attributes
    ----------
    network : seconds of a message between two ranks, by its bytes
    elements : seconds for each element of a gradient, to "add" two and to "update" by one
    n_parameters : of each model
    """

    machine: dict[str, Any]
    versions: dict[str, str]
    commit: str
    network: dict[int, float]
    elements: dict[str, float]
    n_parameters: dict[str, int]
    matches: list[Match]
    times: list[Times]

    def ratio(self, contestant: str) -> float | None:
        """How fast two ranks are over one process of two threads: the median of the rounds."""
        by_ranks = {m.n_ranks: m.seconds for m in self.matches if m.contestant == contestant}
        if not by_ranks:
            return None
        return statistics.median(
            one / two for one, two in zip(by_ranks[1], by_ranks[2], strict=True)
        )


def write(results: Results, path: Path = RESULTS) -> None:
    """Write the file."""
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")


def read(path: Path = RESULTS) -> Results:
    """Read the file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    found["network"] = {int(size): seconds for size, seconds in found["network"].items()}
    found["matches"] = [Match(**match) for match in found["matches"]]
    found["times"] = [Times(**times) for times in found["times"]]
    return Results(**found)
