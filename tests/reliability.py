"""What is done to fastvae on purpose, counted and written down in docs/reliability.md.

``python tests/reliability.py kills --count 1000 --seed 12`` runs the probe
`tests/probes/kills.py` and adds what it counted to docs/reliability.json, as it goes: a run that is
stopped keeps what it has reached, and further runs, with other seeds, add to it. ``--afresh``
forgets the runs before.
``python tests/reliability.py page`` writes the page from the file; so does each probe at its end.

A probe is a module with a `TITLE`, a `TEXT` for the page, `COUNT` (how much it does unless told)
and `probe(count, seed)`, which yields what it has counted so far and raises an AssertionError where
something was lost. Figures of several runs are added up, but those whose names begin with "most" or
"longest", of which the greatest counts.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastvae import kernels

TESTS = Path(__file__).resolve().parent
sys.path.append(str(TESTS.parent))  # `bench`
PROBES = sorted(path.stem for path in (TESTS / "probes").glob("[a-z]*.py"))
RECORD = TESTS.parent / "docs" / "reliability.json"
PAGE = RECORD.with_suffix(".md")
FAULTS = "runs of the probe that found something lost or wrong"
HEAD = """# Reliability

What was done to fastvae on purpose, and what came of it. `python tests/reliability.py` wrote this
page; each part has the command that adds to its figures.
"""


def system() -> str:
    """The machine and the versions that figures are from."""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {kernels.isa()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
    )


def run(name: str, count: int, seed: int, *, afresh: bool) -> None:
    """Run a probe; keep in the record what it has counted each time it tells."""
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    runs = [] if afresh else record.get(name, [])
    record[name] = runs
    if any(earlier["seed"] == seed for earlier in runs):
        raise SystemExit(f"{name} was run with seed {seed} before: give another, or --afresh")
    today = datetime.date.today().isoformat()
    runs.append({"seed": seed, "date": today, "system": system(), "figures": {}})
    reached: dict[str, Any] = {}
    try:
        for figures in importlib.import_module(f"probes.{name}").probe(count, seed):
            reached = dict(figures)
            _keep(record, runs[-1], reached | {FAULTS: 0})
    except AssertionError:
        _keep(record, runs[-1], reached | {FAULTS: 1})
        raise


def _keep(record: dict[str, Any], run: dict[str, Any], figures: dict[str, Any]) -> None:
    """Write down what a run has counted so far."""
    run["figures"] = figures
    _write(RECORD, json.dumps(record, indent=1) + "\n")
    print(json.dumps(figures), flush=True)


def write_page() -> None:
    """Write the page from the record."""
    record = json.loads(RECORD.read_text("utf-8"))
    _write(PAGE, "\n".join([HEAD, *(_part(name, record[name]) for name in sorted(record))]))


def _part(name: str, runs: list[dict[str, Any]]) -> str:
    """The part of the page that a probe has."""
    module = importlib.import_module(f"probes.{name}")
    dates = " and ".join(dict.fromkeys(run["date"] for run in runs))
    seeds = ", ".join(str(run["seed"]) for run in runs)
    systems = "; ".join(dict.fromkeys(run["system"] for run in runs))
    lines = [f"## {module.TITLE}", "", module.TEXT.strip(), ""]
    lines += [f"`python tests/reliability.py {name}`, seeds {seeds}, {dates} ({systems}):", ""]
    lines += ["| what | figure |", "|---|---:|"]
    lines += [f"| {what} | {_shown(figure)} |" for what, figure in total(runs).items()]
    return "\n".join(lines) + "\n"


def total(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of several runs in one."""
    found: dict[str, Any] = {}
    for one in runs:
        figures: Mapping[str, Any] = one["figures"]
        for what, figure in figures.items():
            if what.startswith(("most", "longest")):
                found[what] = max(found.get(what, figure), figure)
            else:
                found[what] = found.get(what, 0) + figure
    return found


def _shown(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.2f}"


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)


def main() -> None:
    """Run a probe or write the page."""
    parser = argparse.ArgumentParser(description="Do harm on purpose, and count what came of it.")
    parser.add_argument("what", choices=[*PROBES, "page"])
    parser.add_argument("--count", type=int, help="how much of it (the probe's own number)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--afresh", action="store_true", help="forget the probe's runs before")
    args = parser.parse_args()
    if args.what != "page":
        count = args.count or importlib.import_module(f"probes.{args.what}").COUNT
        run(args.what, count, args.seed, afresh=args.afresh)
    write_page()


if __name__ == "__main__":
    main()
