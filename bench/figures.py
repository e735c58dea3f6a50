"""The two plots of the report: throughput against batch size, and thread scaling."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from bench.results import Results, RowResult
from bench.rows import ALL, title_of
from fastvae.plots import save_figure
from fastvae.plots.style import (
    CAPTION_SIZE,
    FONT_SIZE,
    INK,
    PAPER,
    class_look,
    label_axes,
    new_chart,
    set_caption,
    set_title,
    style_chart,
)

THROUGHPUT, SCALING = "throughput.png", "threads.png"
TWO = 2
"""Points that make bars; more make a line."""


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
    if len(numbered) == TWO:
        _bars(axes, numbered)
    else:
        _lines(axes, numbered, relative=False)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([number for number, _ in numbered], [str(number) for number, _ in numbered])
        axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _finish(axes, path, ("batch size", "rows per second"), "Training throughput", results)


def _draw_scaling(results: Results, path: Path) -> Path:
    axes = new_chart(6.8, 4.4)
    note = ""
    numbered = list(results.starting_with("threads-"))
    if len(numbered) == TWO:
        _bars(axes, numbered)
        _label_gains(axes, len(numbered))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        names = "threads", "rows per second"
        note = "Above the bars: how many times as fast as in the first group."
    else:
        _lines(axes, numbered, relative=True)
        counts = [number for number, _ in numbered]
        axes.plot(counts, counts, color=INK, linewidth=0.8, linestyle=":", label="ideal")
        axes.set_xticks(counts)
        names = "threads", "times as fast as one thread"
    title = "Training with more threads, batch size 128"
    return _finish(axes, path, names, title, results, note)


def _lines(axes: Axes, numbered: list[tuple[int, RowResult]], relative: bool) -> None:
    """One line per contestant; where `relative`, over its own first point."""
    for place, name in enumerate(ALL):
        points = _points(numbered, name)
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


def _bars(axes: Axes, numbered: list[tuple[int, RowResult]]) -> None:
    """A group of bars per number, in it a bar per contestant: two points make no curve."""
    places = {number: place for place, (number, _) in enumerate(numbered)}
    width = 0.8 / len(ALL)
    for place, name in enumerate(ALL):
        points = _points(numbered, name)
        if points:
            axes.bar(
                [places[number] + width * (place - (len(ALL) - 1) / 2) for number, _ in points],
                [rate for _, rate in points],
                width,
                color=class_look(place)[0],
                label=title_of(name),
            )
    axes.set_xticks(list(places.values()), [str(number) for number in places])
    axes.margins(y=0.15)  # room for what is written above them


def _label_gains(axes: Axes, n_groups: int) -> None:
    """Write above each contestant's last bar how many times as high as its first it is."""
    for bars in axes.containers:
        assert isinstance(bars, BarContainer)
        first, *others = (bar.get_height() for bar in bars)
        if len(bars) == n_groups:
            labels = ["", *(f"{height / first:.2f} x" for height in others)]
            axes.bar_label(bars, labels, padding=2, fontsize=CAPTION_SIZE, color=INK)


def _points(numbered: list[tuple[int, RowResult]], name: str) -> list[tuple[int, float]]:
    """The numbers and rates of the rows in which a contestant took part."""
    return [
        (number, result.measured[name].rate)
        for number, result in numbered
        if name in result.measured
    ]


def _finish(
    axes: Axes, path: Path, names: tuple[str, str], title: str, results: Results, note: str = ""
) -> Path:
    """Name what is drawn and where it was measured, and write the picture."""
    style_chart(axes, grid="y" if axes.containers else "both")
    label_axes(axes, *names)
    axes.legend(
        facecolor=PAPER,
        edgecolor="none",
        framealpha=1,
        fontsize=FONT_SIZE,
        labelcolor=INK,
        loc="upper left",
    )
    facts = results.machine
    measured = f"{facts['cpu']}, {facts['threads']} threads, {facts['instruction_set']}."
    set_caption(axes, f"{note} {measured}".strip())
    return save_figure(set_title(axes, title), path)
