"""From the JSON files to `bench/RESULTS.md`, the figures and the README's table.

`python -m bench.report [RATIOS.json]`; the suite's own JSON is taken in where it exists.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from pathlib import Path

from bench import suite_report
from bench.claims import CLAIMS
from bench.figures import SCALING, THROUGHPUT, draw
from bench.ratios import RESULTS
from bench.results import Results, RowResult, read
from bench.rows import ALL, PEAK, title_of

BENCH = Path(__file__).resolve().parent
SUITE = RESULTS.with_name("suite.json")
NOTES = BENCH / "NOTES.md"
README = BENCH.parent / "README.md"
START, END = "<!-- bench:start -->", "<!-- bench:end -->"
FIGURE_TEXTS = {
    THROUGHPUT: "Training throughput against batch size",
    SCALING: "Training throughput against the number of threads",
}


def table(head: list[str], lines: Iterable[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def machine_lines(results: Results) -> str:
    """Return the sentences that say where and how the figures were measured."""
    facts = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    peak = "" if results.peak is None else f", {results.peak / 1e9:.0f} GFLOP/s FMA peak (float32)"
    data = "MNIST" if results.data == "mnist" else "synthetic digits in place of MNIST"
    text = (
        f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['threads']} threads, "
        f"{facts['instruction_set']}{peak}; threading layer {facts['threading_layer']}, "
        f"NumPy's BLAS {facts['blas']}; {facts['system']}; {versions}. Data: {data}. "
        f"Medians of {results.rounds} alternating rounds."
    )
    disturbed = sum(result.disturbed for result in results.rows.values())
    if disturbed:
        text += (
            f"\n\n**Others used the machine during {disturbed} of {len(results.rows)} rows: these "
            "figures are in doubt.**"
        )
    if results.quick:
        text += "\n\n**A trial run with `--quick`: these figures are no measurement.**"
    return text


def claims_table(results: Results) -> str:
    """Return the table of what is promised and what was measured."""
    lines = []
    for claim in CLAIMS:
        figure = claim.figure(results)
        bound = ("at most " if claim.at_most else "") + claim.show(claim.bound)
        verdict = "not measured" if figure is None else claim.verdict(figure)
        lines.append([claim.title, bound, claim.show(claim.hoped), claim.show(figure), verdict])
    return table(["measure", "promised", "hoped for", "measured", ""], lines)


def throughput_table(results: Results) -> str:
    """Return training throughput in rows per second by batch size."""
    head = ["batch", *map(title_of, ALL), "of FMA peak", "times the fastest peer"]
    lines = []
    for batch_size, result in results.starting_with("train-b"):
        rates = [rate_text(result, name) for name in ALL]
        lines.append([str(batch_size), *rates, *_comparison(result, results.peak)])
    return table(head, lines)


def _comparison(result: RowResult, peak: float | None) -> list[str]:
    """Share of the FMA peak, and the ratio to the fastest peer with its name."""
    share = result.share_of_peak("fastvae", peak)
    peer = result.fastest_peer()
    ratio = None if peer is None else result.ratio("fastvae", peer)
    return [
        "" if share is None else f"{100 * share:.0f} %",
        "" if peer is None or ratio is None else f"{ratio:.2f} ({title_of(peer)})",
    ]


def rate_text(result: RowResult, name: str) -> str:
    """Return a contestant's rows per second, to three digits, or nothing."""
    if name not in result.measured:
        return ""
    rate = result.measured[name].rate
    return f"{float(f'{rate:.3g}'):,.0f}"


def seconds_table(result: RowResult) -> str:
    """Return the times of a row, with their range, memory and the chosen variant."""
    lines = []
    for name, figures in result.measured.items():
        spread = f"{min(figures.seconds):.3f} to {max(figures.seconds):.3f}"
        memory = f"{statistics.median(figures.memory_mb):.0f}" if figures.memory_mb else ""
        variant = ", ".join(f"{key} {value}" for key, value in figures.variant.items())
        per_second = "" if name == PEAK or figures.amount == 1 else rate_text(result, name)
        lines.append([title_of(name), f"{figures.time:.3f}", spread, per_second, memory, variant])
    lines += [[title_of(name), reason, "", "", "", ""] for name, reason in result.skipped.items()]
    return table(["", "median s", "range s", "rows / s", "peak MB", "variant"], lines)


def _doubts(result: RowResult) -> list[str]:
    """A sentence where the machine was not idle."""
    if not result.disturbed:
        return []
    return [f"**Others kept the CPUs {100 * result.busy:.0f} % busy: the figures are in doubt.**"]


def results_text(results: Results, suite: str, figures: Iterable[Path]) -> str:
    """Return the whole of RESULTS.md."""
    parts = [
        "# Benchmark results",
        "Written by `python -m bench.report`; do not edit. How it is measured: README.md here.",
        machine_lines(results),
        "## Promised and measured",
        claims_table(results),
    ]
    if NOTES.exists():
        parts += ["## What was tried where a figure was missed", NOTES.read_text().strip()]
    parts += ["## Training throughput (rows / s)", throughput_table(results)]
    parts += [f"![{FIGURE_TEXTS[path.name]}]({path.parent.name}/{path.name})" for path in figures]
    parts += ["## Every row", "The work of a row is the same for all contestants."]
    for result in results.rows.values():
        parts += [f"### {result.row.title}", *_doubts(result), seconds_table(result)]
    return "\n\n".join([*parts, suite] if suite else parts) + "\n"


def readme_text(results: Results) -> str:
    """Return what stands between the README's markers."""
    kept = [
        [claim.title, claim.show(figure)]
        for claim in CLAIMS
        if claim.row in ("encode", "decode", "train-dense", "start-cold", "start-warm", "job")
        and (figure := claim.figure(results)) is not None
    ]
    parts = ["Training throughput, rows per second:", throughput_table(results)]
    if kept:
        parts.append(table(["", "measured"], kept))
    return "\n\n".join([*parts, machine_lines(results)])


def insert(text: str, between: str) -> str:
    """Return a text with what stands between the markers replaced.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f"the README must hold {START} and then {END}, once each")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{between}\n{END}{rest.partition(END)[2]}"


def write_report(ratios: Path, suite: Path | None, folder: Path, readme: Path | None) -> None:
    """Write RESULTS.md and the figures into a folder, and the table into the README.

    Parameters
    ----------
    ratios : JSON of `bench.ratios`
    suite : JSON of pytest-benchmark, or None
    folder : where RESULTS.md and figures/ go
    readme : file with the markers, or None

    Raises
    ------
    ValueError
        If a file holds a row that is not recognised, or the README lacks its markers.
    """
    results = read(ratios)
    suite_text = "" if suite is None else suite_report.tables(suite)
    new_readme = None if readme is None else insert(readme.read_text(), readme_text(results))
    figures = draw(results, folder / "figures")
    (folder / "RESULTS.md").write_text(results_text(results, suite_text, figures))
    if readme is not None and new_readme is not None:
        readme.write_text(new_readme)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("ratios", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--suite", type=Path, help=f"JSON of pytest-benchmark (default: {SUITE})")
    args = parser.parse_args()
    suite = args.suite or (SUITE if SUITE.exists() else None)
    write_report(args.ratios, suite, BENCH, README)


if __name__ == "__main__":
    main()
