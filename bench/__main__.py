"""`python -m bench`: the alternating measurement, the pytest-benchmark suite, the report."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from bench import environment, ratios
from bench.report import BENCH, COUNTED, README, SUITE, write_report


def run_suite(quick: bool) -> None:
    """Run the pytest-benchmark suite; its JSON goes beside that of the ratios.

    Parameters
    ----------
    quick : whether to run each benchmark once and measure nothing

    Raises
    ------
    subprocess.CalledProcessError
        If a benchmark fails.
    """
    SUITE.parent.mkdir(parents=True, exist_ok=True)
    options = ["--benchmark-disable"] if quick else [f"--benchmark-json={SUITE}"]
    command = [sys.executable, "-m", "pytest", str(BENCH), "-q", "--benchmark-enable", *options]
    subprocess.run(command, cwd=BENCH.parent, env=environment.clean(os.environ), check=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    ratios.add_arguments(parser)
    parser.add_argument("--no-suite", action="store_true", help="leave the suite out")
    args = parser.parse_args()
    try:
        results = ratios.run(args)
    except ratios.Refused as reason:
        parser.error(str(reason))
    if not args.no_suite:
        run_suite(args.quick)
    if args.quick:
        folder = results.parent
        write_report(results, None, folder, None)
        print(f"written: {folder / 'RESULTS.md'}, from a trial run")
    else:
        counted = COUNTED if COUNTED.exists() else None
        write_report(results, SUITE if SUITE.exists() else None, BENCH, README, counted)
        print(f"written: {BENCH / 'RESULTS.md'} and the table in {README}")


if __name__ == "__main__":
    main()
