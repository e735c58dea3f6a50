"""The two plots of the report: throughput against batch size, and thread scaling."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from bench.results import Results, RowResult
from bench.rows import ALL, title_of
from fastvae.plots import save_figure
from fastvae.plots.style import (
    FONT_SIZE,
    INK,
    class_look,
    label_axes,
    new_chart,
    set_caption,
    set_title,
    style_chart,
)

THROUGHPUT, SCALING = "throughput.png", "threads.png"


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
    axes = new_chart(6.8, 4.4)
    numbered = list(results.starting_with("train-b"))
    _plot(axes, numbered, relative=False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([number for number, _ in numbered], [str(number) for number, _ in numbered])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _finish(axes, path, ("batch size", "rows per second"), "Training throughput", results)


def _draw_scaling(results: Results, path: Path) -> Path:
    axes = new_chart(6.8, 4.4)
    numbered = list(results.starting_with("threads-"))
    _plot(axes, numbered, relative=True)
    counts = [number for number, _ in numbered]
    axes.plot(counts, counts, color=INK, linewidth=0.8, linestyle=":", label="ideal")
    axes.set_xticks(counts)
    names = "threads", "times as fast as one thread"
    return _finish(axes, path, names, "Training with more threads, batch size 128", results)


def _plot(axes: Axes, numbered: list[tuple[int, RowResult]], relative: bool) -> None:
    """One line per contestant; where `relative`, over its own first point."""
    for place, name in enumerate(ALL):
        points = [
            (number, result.measured[name].rate)
            for number, result in numbered
            if name in result.measured
        ]
        if points:
            unit = points[0][1] if relative else 1.0
            colour, marker = class_look(place)
            axes.plot(
                [number for number, _ in points],
                [rate / unit for _, rate in points],
                marker=marker,
                markersize=5,
                color=colour,
                linewidth=2.4 if name == "fastvae" else 1.3,
                label=title_of(name),
            )


def _finish(axes: Axes, path: Path, names: tuple[str, str], title: str, results: Results) -> Path:
    """Name what is drawn and where it was measured, and write the picture."""
    style_chart(axes, grid="both")
    label_axes(axes, *names)
    axes.legend(frameon=False, fontsize=FONT_SIZE, labelcolor=INK)
    facts = results.machine
    set_caption(axes, f"{facts['cpu']}, {facts['threads']} threads, {facts['instruction_set']}.")
    return save_figure(set_title(axes, title), path)
