"""Compare outlier detectors on labelled tables: ROC AUC and seconds, all with their defaults.

    python examples/outliers.py FOLDER --output outliers.json

FOLDER holds one .npz file a table, with rows `X` and labels `y` (1: outlier), as those of ADBench
(Han et al. 2022, "ADBench: Anomaly Detection Benchmark") are. Each detector is fitted to all rows
of a table without their labels, and scores the same rows; the seconds are those of both, with the
first seed. Detectors that draw are run once per seed. IsolationForest is scikit-learn's; PCA, kNN,
VAE and AutoEncoder are PyOD's, and are left out, with a word, where they cannot be imported.

What was measured is kept in the output after each run, and is not measured again: an interrupted
comparison goes on. Beside it a picture is written; a table in Markdown is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from fastvae.plots import save_figure
from fastvae.plots.style import (
    FONT_SIZE,
    INK,
    class_look,
    label_axes,
    new_figure,
    style_chart,
)
from fastvae.sklearn import VAEOutlierDetector

Rows = NDArray[Any]
Scores = Callable[[Rows, int], NDArray[Any]]
"""Fits a detector, with a seed, to rows and returns how odd each is."""

OURS = "fastvae"
FIXED = ("PCA", "kNN")
"""Detectors that draw nothing: one run says all."""

_PYOD = {
    "PCA": ("pyod.models.pca", "PCA"),
    "kNN": ("pyod.models.knn", "KNN"),
    "PyOD VAE": ("pyod.models.vae", "VAE"),
    "PyOD AutoEncoder": ("pyod.models.auto_encoder", "AutoEncoder"),
}
_NAMES = (OURS, "IsolationForest", "PCA", "kNN", "PyOD VAE", "PyOD AutoEncoder")
_LOOKS = {name: class_look(place) for place, name in enumerate(_NAMES)}


def _ours(rows: Rows, seed: int) -> NDArray[Any]:
    return -VAEOutlierDetector(random_state=seed).fit(rows).score_samples(rows)


def _forest(rows: Rows, seed: int) -> NDArray[Any]:
    return -IsolationForest(random_state=seed).fit(rows).score_samples(rows)


def _pyod(name: str) -> Scores:
    """One of PyOD's detectors, by its name here; ImportError where it is missing."""
    module, kind = _PYOD[name]
    make = getattr(importlib.import_module(module), kind)

    def scores(rows: Rows, seed: int) -> NDArray[Any]:
        drawn = {} if name == "kNN" else {"random_state": seed}
        return np.asarray(make(**drawn).fit(rows).decision_scores_)

    return scores


def detectors() -> dict[str, Scores]:
    """The detectors that can be imported here, by name."""
    found: dict[str, Scores] = {OURS: _ours, "IsolationForest": _forest}
    for name in _PYOD:
        try:
            found[name] = _pyod(name)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def measure(scores: Scores, rows: Rows, labels: Rows, seed: int) -> dict[str, float]:
    """The AUC of one run, and its seconds; infinite scores are the largest."""
    silence = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        warnings.simplefilter("ignore")
        begin = time.perf_counter()
        found = scores(rows, seed)
        seconds = time.perf_counter() - begin
    found = np.nan_to_num(found, nan=np.nan)  # PyOD's PCA divides by variances that are 0
    return {"auc": float(roc_auc_score(labels, found)), "seconds": seconds}


def compare(folder: Path, seeds: int, output: Path) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Return runs by table and detector; those that the output has already are taken from it."""
    runs = json.loads(output.read_text("utf-8")) if output.exists() else {}
    found = detectors()
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise SystemExit(f"there are no .npz files in {folder}")
    small = np.random.default_rng(0).normal(size=(300, 5))
    for scores in found.values():  # imports and compilation are nobody's seconds
        measure(scores, small, np.arange(300) < 9, 0)
    for seed in range(seeds):
        for file in files:
            with np.load(file, allow_pickle=False) as table:
                rows, labels = table["X"], table["y"]
            for name, scores in found.items():
                done = runs.setdefault(file.stem, {}).setdefault(name, [])
                if len(done) > seed or (seed > 0 and name in FIXED):
                    continue
                done.append(measure(scores, rows, labels, seed))
                auc, seconds = done[-1].values()
                print(f"{file.stem:18} {name:17} seed {seed}: AUC {auc:.3f}, {seconds:.2f} s")
                output.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    return runs


def _figures(
    runs: dict[str, Any], what: str, n: int | None = None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each table's name and, by detector, the mean over its first n runs, or all."""
    for table, by_detector in runs.items():
        yield (
            table.partition("_")[2] or table,
            {
                name: float(np.mean([run[what] for run in done[:n]]))
                for name, done in by_detector.items()
            },
        )


def table(runs: dict[str, Any]) -> str:
    """AUC, the best of each table in bold, and in the last rows its mean and the seconds."""
    aucs, seconds = list(_figures(runs, "auc")), list(_figures(runs, "seconds", 1))
    names = list(aucs[0][1])
    lines = [f"| table | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, values in aucs:
        best = max(values.values())
        cells = [f"**{v:.3f}**" if v == best else f"{v:.3f}" for v in values.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for title, figures, form in (
        ("mean AUC", aucs, ".3f"),
        ("seconds, all tables", seconds, ".1f"),
    ):
        totals = [[values[name] for _, values in figures] for name in names]
        cells = [format(np.mean(t) if figures is aucs else np.sum(t), form) for t in totals]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(runs: dict[str, Any], path: Path) -> None:
    """Draw AUC and seconds of each detector, one line a table."""
    aucs, seconds = list(_figures(runs, "auc")), list(_figures(runs, "seconds", 1))
    figure = new_figure(9, 0.34 * len(aucs) + 1.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, figures in ((left, aucs), (right, seconds)):
        for name in aucs[0][1]:
            colour, marker = _LOOKS[name]
            axes.plot(
                [values[name] for _, values in figures],
                range(len(figures)),
                marker,
                color=colour,
                label=name,
                markersize=8 if name == OURS else 6,
                zorder=3 if name == OURS else 2,
            )
        style_chart(axes)
    left.set_yticks(range(len(aucs)), [title for title, _ in aucs])
    left.invert_yaxis()
    label_axes(left, "ROC AUC (mean over seeds)", "")
    label_axes(right, "seconds to fit and score", "")
    right.set_xscale("log")
    right.minorticks_off()
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
        fontsize=FONT_SIZE,
        labelcolor=INK,
    )
    save_figure(figure, path)


def main() -> None:
    """Compare, and write the figures, the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of .npz files with X and y")
    parser.add_argument("--seeds", type=int, default=5, help="runs of what draws (default: 5)")
    parser.add_argument("--output", type=Path, default=Path("outliers.json"))
    args = parser.parse_args()
    runs = compare(args.folder, args.seeds, args.output)
    print(table(runs), end="")
    draw(runs, args.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
