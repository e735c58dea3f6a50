"""Search an estimator's parameters on the workers of Dask: scikit-learn's GridSearchCV, as it is.

    python examples/search_on_dask.py
    python examples/search_on_dask.py --scheduler tcp://head-node:8786

Rows are scikit-learn's small digits, and candidates are compared by log p(x) of rows that were held
out, in three folds. Without a scheduler's address two workers are started here. Scores are those of
a search without Dask to the last bit; `--output FILE` keeps them as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import joblib
from dask.distributed import Client, LocalCluster
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from fastvae.sklearn import VAETransformer

GRID = {"n_components": [4, 8, 16], "hidden": [(32,), (128,)]}
N_FOLDS = 3
N_WORKERS = 2
PATIENCE = 10
"""Seconds for the scheduler to answer, and for a worker to be there."""


def load_rows() -> NDArray[Any]:
    """The digits' pixels, from 0 to 1."""
    return load_digits().data / 16


def new_search(epochs: int) -> GridSearchCV:
    """The search, which knows nothing of Dask.

    A fit has one thread: what is done side by side are the fits, one a core.
    """
    vae = VAETransformer(
        likelihood="continuous_bernoulli", epochs=epochs, random_state=0, n_threads=1
    )
    return GridSearchCV(vae, GRID, cv=N_FOLDS, error_score="raise")


def connect(scheduler: str | None, stack: ExitStack) -> Client:
    """A client of a running scheduler, or of workers here, which end with the stack."""
    if scheduler is None:
        # A worker does as many fits at a time as it has threads. In one process these would wait
        # for each other wherever Python and not a kernel is at work; in processes they do not.
        cluster = LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None)
        scheduler = stack.enter_context(cluster).scheduler_address
    try:
        client = stack.enter_context(Client(scheduler, timeout=PATIENCE))
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise SystemExit(f"there are no workers of Dask at {scheduler}: {error}") from None
    return client


def try_out(estimator: VAETransformer, rows: NDArray[Any]) -> None:
    """Do once what a search does with an estimator, and as little of it as can be."""
    clone(estimator).set_params(epochs=1).fit(rows).score(rows)


def compile_once(client: Client, estimator: VAETransformer, rows: NDArray[Any]) -> None:
    """Let one worker of each machine compile what the others will find on disk.

    Machine code is kept as soon as it is there, but nobody waits for it: workers that begin
    together with nothing on disk would all compile the same.
    """
    of_machine = {urlsplit(worker).hostname: worker for worker in client.ncores()}
    tried = [
        client.submit(try_out, estimator, rows, workers=[worker], pure=False)
        for worker in of_machine.values()
    ]
    client.gather(tried)


def results(search: GridSearchCV) -> list[dict[str, Any]]:
    """Parameters, the scores of the folds, and the seconds of a fold in the mean, best first."""
    found = search.cv_results_
    return [
        {
            "parameters": found["params"][place],
            "scores": [float(found[f"split{fold}_test_score"][place]) for fold in range(N_FOLDS)],
            "mean": float(found["mean_test_score"][place]),
            "seconds": float(found["mean_fit_time"][place] + found["mean_score_time"][place]),
        }
        for place in found["rank_test_score"].argsort()
    ]


def table(found: list[dict[str, Any]]) -> str:
    """A table in Markdown of what was found."""
    lines = [f"| {' | '.join(GRID)} | log p(x) | seconds |", "|---" * (len(GRID) + 2) + "|"]
    for candidate in found:
        values = [str(candidate["parameters"][name]) for name in GRID]
        lines.append(
            f"| {' | '.join(values)} | {candidate['mean']:.3f} | {candidate['seconds']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scheduler", metavar="ADDRESS", help="that of a running Dask")
    parser.add_argument("--epochs", type=int, default=50, help="most epochs of a fit (default: 50)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="JSON of all scores")
    args = parser.parse_args()
    rows, search = load_rows(), new_search(args.epochs)
    with ExitStack() as stack:
        client = connect(args.scheduler, stack)
        compile_once(client, search.estimator, rows[:100])
        start = time.perf_counter()
        with joblib.parallel_config(backend="dask"):
            search.fit(rows)
        print(f"searched in {time.perf_counter() - start:.0f} s, {len(client.ncores())} workers")
    found = results(search)
    print(table(found))
    print(f"best: {search.best_params_}")
    if args.output is not None:
        args.output.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":  # the workers' processes import this file, too
    main()
