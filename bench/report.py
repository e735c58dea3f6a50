"""From the JSON files to `bench/RESULTS.md`, `DETAILS.md`, the figures and the README's table.

RESULTS.md is the page to read: machine, throughput, promises. DETAILS.md has every row with its
runs, and the suite's tables. `python -m bench.report [RATIOS.json]`; the suite's own JSON is taken
in where it exists.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench import suite_report
from bench.claims import CLAIMS
from bench.figures import SCALING, THROUGHPUT, draw
from bench.machine import blas_text
from bench.ratios import RESULTS
from bench.results import Results, RowResult, Run, read
from bench.rows import ALL, PEAK, SEED_MODEL, title_of
from bench.scaling import RESULTS as COUNTED
from bench.scaling import TEAMS, Work
from bench.scaling import read as read_scaling

BENCH = Path(__file__).resolve().parent
SUITE = RESULTS.with_name("suite.json")
README = BENCH.parent / "README.md"
START, END = "<!-- bench:start -->", "<!-- bench:end -->"
FIGURE_TEXTS = {
    THROUGHPUT: "Training throughput against batch size",
    SCALING: "Training throughput against the number of threads",
}
WRITTEN = "Written by `python -m bench.report`; do not edit."
ABOUT = f"""\
fastvae, a baseline in NumPy, PyTorch (as it is, and compiled) and JAX train the same variational
autoencoder on the same cores, {SEED_MODEL.title} unless a line says otherwise, with Adam in
float32, and use it for the same work. Each does so in the way that is fastest for it: all its
variants are tried, and the fastest is measured. In every round each contestant works once, in an
order that rotates, and ratios are taken round by round. A figure is the median over all rounds,
with the least and the greatest in brackets."""
TERMS = """\
The *FMA peak* is what this processor can multiply and add at most, measured by a loop that does
nothing else; the share of it counts products with pixels that are 0 as if they were done, though
fastvae leaves them out."""
PROMISES = """\
*Promised* is what a release must keep, *hoped for* what is worked towards, and *each run* gives the
medians of the single runs. The *dense limit* is the time that an epoch's arithmetic would take at
the FMA peak.

[NOTES.md](NOTES.md) says why figures are missed and what was tried, [DETAILS.md](DETAILS.md) has
every row and the kernels one by one, and [README.md](README.md) says how all is measured."""


SCALED = """\
How many times as fast as one thread a training step or a call can be at most (in brackets the
microseconds in which the leader, or Python, works alone, and how often the team meets): each region
is timed on one thread, and its tasks, or blocks of rows, are counted for a team of that size. Of n
tasks T threads take ceil(n / T) / n of the time. What threads take to meet (half a microsecond for
two), and the memory that they share, are no part of it: it was counted on a machine of two cores,
and not measured on more."""


def table(head: list[str], lines: Iterable[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def machine_lines(results: Results) -> str:
    """Return the sentences that say where and how the figures were measured."""
    facts = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    fastvae = ", ".join(dict.fromkeys(run.fastvae for run in _runs(results)))
    peak = "" if results.peak is None else f", {results.peak / 1e9:.0f} GFLOP/s FMA peak (float32)"
    data = "MNIST" if results.data == "mnist" else "synthetic digits in place of MNIST"
    text = (
        f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['threads']} threads, "
        f"{facts['instruction_set']}{peak}; threading layer {facts['threading_layer']}, "
        f"NumPy's BLAS {facts['blas']}, its kernel {_blas_of_runs(results)}; "
        f"{facts['system']}; fastvae {fastvae}, {versions}. Data: {data}. {_counts(results)}"
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


def _runs(results: Results) -> list[Run]:
    """All runs of all rows."""
    return [run for result in results.rows.values() for run in result.runs]


def _blas_of_runs(results: Results) -> str:
    """The kernels that NumPy's BLAS ran; with the number of runs where they differ."""
    runs = [run for run in _runs(results) if "numpy" in run.measured]
    found = Counter(blas_text(run.blas) for run in runs)
    if len(found) < 2:
        return "".join(found) or "not measured"
    return ", ".join(f"{text} in {n} of {len(runs)} runs" for text, n in found.items())


def _counts(results: Results) -> str:
    """How many rounds and runs the medians are over, and when those were."""
    per_run = sorted(
        {len(figures.seconds) for r in _runs(results) for figures in r.measured.values()}
    )
    repeated = [result.row.name for result in results.rows.values() if len(result.runs) > 1]
    dates = sorted({run.date[:10] for run in _runs(results)})
    between = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    text = (
        f"Measured {between}. Medians over all rounds of all runs, in brackets the least and the "
        f"greatest round; a run has {' or '.join(map(str, per_run))} alternating rounds"
    )
    return f"{text}. More than one run: {', '.join(repeated)}." if repeated else f"{text}."


def claims_table(results: Results) -> str:
    """Return the table of what is promised and what was measured."""
    lines = []
    for claim in CLAIMS:
        bound = ("at most " if claim.at_most else "") + claim.show(claim.bound)
        figure = spread(claim.rounds(results), claim.show)
        runs = ", ".join(claim.show(median) or "none" for median in claim.of_runs(results))
        verdict = claim.judgement(results)
        lines.append([claim.title, bound, claim.show(claim.hoped), figure, runs, verdict])
    return table(["measure", "promised", "hoped for", "measured", "each run", ""], lines)


def spread(figures: list[float], show: Callable[[float], str]) -> str:
    """Return the median of figures and in brackets their range, or nothing of none."""
    if not figures:
        return ""
    middle, least, greatest = statistics.median(figures), min(figures), max(figures)
    return f"{show(middle)} ({show(least)} to {show(greatest)})"


def throughput_table(results: Results) -> str:
    """Return training throughput in rows per second by batch size."""
    head = ["batch", "runs", *map(title_of, ALL), "of FMA peak", "times the fastest peer"]
    lines = []
    for batch_size, result in results.starting_with("train-b"):
        rates = [spread(_rates(result, name), _three_digits) for name in ALL]
        runs = str(len(result.runs))
        lines.append([str(batch_size), runs, *rates, *_comparison(result, results.peak)])
    return table(head, lines)


def _comparison(result: RowResult, peak: float | None) -> list[str]:
    """Share of the FMA peak, and the ratio to the fastest peer with its name."""
    shares = result.shares_of_peak("fastvae", peak)
    ratios = spread(result.ratios_to_fastest_peer(), "{:.2f}".format)
    peers = ", ".join(map(title_of, result.fastest_peers()))
    return [spread(shares, "{:.0%}".format).replace("%", " %"), f"{ratios} {peers}".strip()]


def _rates(result: RowResult, name: str) -> list[float]:
    """A contestant's rows per second in each round; none where it took no part."""
    return result.measured[name].rates if name in result.measured else []


def _three_digits(rate: float) -> str:
    return f"{float(f'{rate:.3g}'):,.0f}"


def seconds_table(result: RowResult) -> str:
    """Return the times of a row, with their range, each run's median, memory and variants."""
    lines = []
    for name, figures in result.measured.items():
        medians = [f"{run.measured[name].time:.3f}" for run in result.runs if name in run.measured]
        memory = f"{statistics.median(figures.memory_mb):.0f}" if figures.memory_mb else ""
        per_second = "" if name == PEAK or figures.amount == 1 else _three_digits(figures.rate)
        lines.append(
            [
                title_of(name),
                spread(figures.seconds, "{:.3f}".format),
                ", ".join(medians),
                per_second,
                memory,
                " or ".join(filter(None, map(_variant_text, result.variants(name)))),
            ]
        )
    lines += [[title_of(name), reason, "", "", "", ""] for name, reason in result.skipped.items()]
    return table(["", "median s (range)", "each run", "rows / s", "peak MB", "variant"], lines)


def _variant_text(variant: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in variant.items())


def runs_text(result: RowResult) -> str:
    """Return a line for each run: when, which code, how many rounds, which BLAS kernel."""
    lines = []
    for number, run in enumerate(result.runs, 1):
        n_rounds = max(len(figures.seconds) for figures in run.measured.values())
        line = (
            f"- Run {number}: {run.date}, fastvae {run.fastvae}, commit "
            f"{run.commit or 'not recorded'}, {n_rounds} rounds; others kept the CPUs "
            f"{100 * run.busy:.1f} % busy"
        )
        if "numpy" in run.measured:
            line += f"; NumPy's BLAS kernel {blas_text(run.blas)}"
        lines.append(line + (": **the figures are in doubt.**" if run.disturbed else "."))
    return "\n".join(lines)


def estimates_text(result: RowResult) -> str:
    """Return what the contestants found for log p(x) in the last run, or nothing."""
    found = [
        f"{title_of(name)} {{value:.3f}} ± {{standard_error:.3f}}".format(**figures.estimate)
        for name, figures in result.runs[-1].measured.items()
        if figures.estimate
    ]
    return f"Mean log p(x) in nats: {', '.join(found)}." if found else ""


def promises_text(results: Results) -> str:
    """Return how many promises are kept and missed."""
    figures = [(claim, claim.figure(results)) for claim in CLAIMS]
    measured = [(claim, figure) for claim, figure in figures if figure is not None]
    n_kept = sum(claim.keeps(figure) for claim, figure in measured)
    n_missed, n_unknown = len(measured) - n_kept, len(figures) - len(measured)
    text = f"{len(figures)} promises: {n_kept} kept, {n_missed} missed"
    return f"{text}, {n_unknown} not measured." if n_unknown else f"{text}."


def results_text(results: Results, figures: Iterable[Path], scaling: str = "") -> str:
    """Return the whole of RESULTS.md; `scaling` is what is counted of more threads."""
    parts = [
        "# Benchmark results",
        WRITTEN,
        ABOUT,
        "## Machine",
        machine_lines(results),
        "## Training throughput in rows per second",
        TERMS,
        throughput_table(results),
        _picture(figures, THROUGHPUT),
        "## Promises kept and missed",
        promises_text(results),
        claims_table(results),
        PROMISES,
        scaling,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def scaling_text(found: list[Work], where: str) -> str:
    """Return how far work can be shared by more threads: Amdahl's law, counted."""
    head = ["work", "us on one thread", *(f"{team} threads" for team in TEAMS)]
    lines = [
        [
            one.title,
            f"{one.microseconds:,.0f}",
            *(
                f"{one.bound(i):.1f} ({one.serial(i):,.0f}, {one.meetings[i]:,})"
                for i in range(len(TEAMS))
            ),
        ]
        for one in found
    ]
    return "\n\n".join(["## More threads, counted", SCALED, f"({where}.)", table(head, lines)])


def regions_text(work: Work) -> str:
    """Return the regions of some work: their time alone, bytes and tasks."""
    head = ["region", "us on one thread", "KB", *(f"tasks of {team}" for team in TEAMS)]
    lines = [
        [
            region.name,
            f"{region.microseconds:.1f}",
            f"{region.kilobytes:,}",
            *(
                "leader" if alone else str(tasks)
                for tasks, alone in zip(region.tasks, region.alone, strict=True)
            ),
        ]
        for region in work.regions
    ]
    title = f"## The regions: {work.title}"
    return f"{title}\n\n{table(head, lines)}"


def details_text(results: Results, suite: str, figures: Iterable[Path]) -> str:
    """Return the whole of DETAILS.md."""
    parts = [
        "# Benchmark results in detail",
        f"{WRITTEN} What they come to: [RESULTS.md](RESULTS.md).",
        "## Every row",
        "The work of a row is the same for all contestants.",
        _picture(figures, SCALING),
    ]
    for result in results.rows.values():
        parts += [f"### {result.row.title}", runs_text(result), seconds_table(result)]
        parts += [estimates_text(result)]
    return "\n\n".join(filter(None, [*parts, suite])) + "\n"


def _picture(figures: Iterable[Path], name: str) -> str:
    """The picture of this name, where it was drawn."""
    return "".join(
        f"![{FIGURE_TEXTS[name]}]({path.parent.name}/{name})"
        for path in figures
        if path.name == name
    )


def readme_text(results: Results) -> str:
    """Return what stands between the README's markers: tables of RESULTS.md, as they are there."""
    return "\n\n".join(
        [
            "Training throughput, rows per second:",
            throughput_table(results),
            "What is promised of the speed, and what was measured:",
            claims_table(results),
            machine_lines(results),
        ]
    )


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


def write_report(
    ratios: Path, suite: Path | None, folder: Path, readme: Path | None, counted: Path | None = None
) -> None:
    """Write RESULTS.md, DETAILS.md and the figures into a folder, and the table into the README.

    Parameters
    ----------
    ratios : JSON of `bench.ratios`
    suite : JSON of pytest-benchmark, or None
    folder : where RESULTS.md, DETAILS.md and figures/ go
    readme : file with the markers, or None
    counted : JSON of `bench.scaling`, or None

    Raises
    ------
    ValueError
        If a file holds a row that is not recognised, or the README lacks its markers.
    """
    results = read(ratios)
    suite_text = "" if suite is None else suite_report.tables(suite)
    new_readme = None if readme is None else insert(readme.read_text(), readme_text(results))
    scaling, regions = "", ""
    if counted is not None:
        found, where = read_scaling(counted)
        scaling = scaling_text(found, where)
        regions = "\n\n".join(map(regions_text, found))
    figures = draw(results, folder / "figures")
    (folder / "RESULTS.md").write_text(results_text(results, figures, scaling))
    details = details_text(results, "\n\n".join(filter(None, [regions, suite_text])), figures)
    (folder / "DETAILS.md").write_text(details)
    if readme is not None and new_readme is not None:
        readme.write_text(new_readme)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("ratios", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--suite", type=Path, help=f"JSON of pytest-benchmark (default: {SUITE})")
    args = parser.parse_args()
    suite = args.suite or (SUITE if SUITE.exists() else None)
    write_report(args.ratios, suite, BENCH, README, COUNTED if COUNTED.exists() else None)


if __name__ == "__main__":
    main()
