"""Runs of the published tables as JSON files, with machine, versions, date and seconds.

A file holds the last run of its name: with the same settings and seeds a run gives the same bits
on the same kind of processor, so that only its seconds are news.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench import machine
from fastvae.files.writing import write_file

ROOT = machine.ROOT
RESULTS = Path(__file__).resolve().parent / "results"
PICTURES = ROOT / "docs" / "published"
RUNS = ROOT / "runs" / "published"
QUICK = Path(__file__).resolve().parents[1] / "quick" / "published"
QUICK_ROWS = 300
PACKAGES = ("fastvae", "python", "numpy", "numba")
MACHINE = ("cpu", "cpus", "threads", "instruction_set", "system")


class Refused(ValueError):
    """What is asked for cannot be run here; the message says why."""


@dataclass(frozen=True)
class Places:
    """Where a command reads and writes.

    Attributes
    ----------
    results : folder of the JSON files
    pictures : folder of the pictures that the page shows
    runs : folder of checkpoints and models, one within it for each long run
    """

    results: Path = RESULTS
    pictures: Path = PICTURES
    runs: Path = RUNS

    @classmethod
    def under(cls, folder: Path) -> Places:
        """Everything within one folder, for trials."""
        return cls(folder, folder, folder / "runs")


@dataclass(frozen=True)
class Call:
    """One call of a command: where it reads and writes, and whether it is a trial."""

    places: Places = Places()
    data_dir: Path | None = None
    quick: bool = False
    n_threads: int | None = None
    commit: str = field(default_factory=machine.commit)
    """Of the code when the call began: it may be edited meanwhile."""

    def images(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return training and test rows: MNIST's, or for a trial a few drawn digits.

        Raises
        ------
        Refused
            If MNIST's files are not there: figures of other digits are not to be compared.
        """
        from fastvae.data import Dataset, locate, synthetic_digits

        if self.quick:
            rows = synthetic_digits(QUICK_ROWS + 100).images
            return rows[:QUICK_ROWS], rows[QUICK_ROWS:]
        if locate("mnist", self.data_dir) is None:
            raise Refused("MNIST's files were not found; give --data-dir")
        mnist = Dataset("mnist", data_dir=self.data_dir, download=False)
        return mnist.train, mnist.test

    def write(self, name: str, settings: Any, figures: dict[str, Any], seconds: float) -> Path:
        """Write one run; return its file.

        Parameters
        ----------
        name : the file's, without .json
        settings : a dataclass of plain data
        figures : what was found, plain data
        seconds : of the training
        """
        facts = machine.facts()
        facts["threads"] = self.n_threads or facts["threads"]
        record = {
            "name": name,
            "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
            "commit": self.commit,
            "quick": self.quick,
            "machine": {fact: facts[fact] for fact in MACHINE},
            "versions": {package: facts["versions"][package] for package in PACKAGES},
            "load_average": round(os.getloadavg()[2], 2),
            "seconds": round(seconds, 1),
            "settings": asdict(settings),
            "figures": figures,
        }
        self.places.results.mkdir(parents=True, exist_ok=True)
        path = self.places.results / f"{name}.json"
        write_file(path, (json.dumps(record, indent=1) + "\n").encode())
        return path


def read_all(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return every recorded run by its name."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
