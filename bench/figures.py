"""The two plots of the report: throughput against batch size, and thread scaling."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.results import Results, RowResult
from bench.rows import ALL, title_of

THROUGHPUT, SCALING = "throughput.png", "threads.png"
# The eight hues of Okabe & Ito (2008) are told apart by colour-blind readers; order as in ALL.
_COLOURS = dict(zip(ALL, ("#0072B2", "#999999", "#D55E00", "#E69F00", "#009E73"), strict=True))


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw the plots that the results have data for; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if len(list(results.starting_with("train-b"))) > 1:
        files.append(_draw_throughput(results, folder / THROUGHPUT))
    if len(list(results.starting_with("threads-"))) > 1:
        files.append(_draw_scaling(results, folder / SCALING))
    return files


def _draw_throughput(results: Results, path: Path) -> Path:
    figure, axes = _new("batch size", "training throughput (rows / s)")
    numbered = list(results.starting_with("train-b"))
    _plot(axes, numbered, relative=False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([number for number, _ in numbered])
    axes.set_xticklabels([str(number) for number, _ in numbered])
    axes.minorticks_off()
    return _save(figure, axes, path)


def _draw_scaling(results: Results, path: Path) -> Path:
    figure, axes = _new("threads", "times as fast as one thread (batch 128)")
    numbered = list(results.starting_with("threads-"))
    _plot(axes, numbered, relative=True)
    counts = [number for number, _ in numbered]
    axes.plot(counts, counts, color="black", linewidth=0.8, linestyle=":", label="ideal")
    axes.set_xticks(counts)
    return _save(figure, axes, path)


def _plot(axes: Axes, numbered: list[tuple[int, RowResult]], relative: bool) -> None:
    """One line per contestant; where `relative`, over its own first point."""
    for name in ALL:
        points = [
            (number, result.measured[name].rate)
            for number, result in numbered
            if name in result.measured
        ]
        if points:
            unit = points[0][1] if relative else 1.0
            axes.plot(
                [number for number, _ in points],
                [rate / unit for _, rate in points],
                marker="o",
                markersize=4,
                color=_COLOURS[name],
                linewidth=2.2 if name == "fastvae" else 1.3,
                label=title_of(name),
            )


def _new(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, axes: Axes, path: Path) -> Path:
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    return path
