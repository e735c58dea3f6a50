"""``fastvae evaluate``: the figures of a trained model."""

import json
import math
import platform
import sys
import time
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, checks
from fastvae.checks.quoting import printable
from fastvae.commands.inputs import labels_for, load_model_and_data, rows_to_show
from fastvae.data.variants import VARIANTS
from fastvae.files.writing import check_file, write_file
from fastvae.model import importance
from fastvae.training.evaluation import Evaluation
from fastvae.training.evaluation import evaluate as evaluate_model

RESULTS = "evaluation.json"
_PARTS = ("elbo", "reconstruction", "kl")
_ELBO, _IMPORTANCE = "evidence lower bound", "importance sampling"


def evaluate(args: Namespace) -> None:
    """Print what a model makes of a data set's test rows, and write it where that is asked for."""
    if args.test_draws > 1 and args.binarize != "dynamic":
        raise ValueError(
            "--test-draws belongs to --binarize dynamic, whose draws differ; got "
            + (f"--binarize {args.binarize}" if args.binarize else "no --binarize")
        )
    path = args.output or (RESULTS if args.nll else None)
    if path is not None:
        check_file(path)
    vae, dataset = load_model_and_data(args)
    most = importance.MAX_ELEMENTS // vae.n_latent
    for option, n in (("--samples", args.samples), ("--nll", args.nll or 1)):
        checks.integer(n, option, maximum=most)
    if args.threads is not None:
        fastvae.set_num_threads(args.threads)
    rows, labels = rows_to_show(dataset)
    labels = labels_for(vae, dataset, labels)
    part = "test" if len(dataset.test) else "training"
    seeds = range(args.seed, args.seed + args.test_draws)
    draws = [
        evaluate_model(
            vae, rows, n_samples=args.samples, seed=seed, binarize=args.binarize, labels=labels
        )
        for seed in seeds
    ]
    results = {
        "model": args.model,
        "updates": vae.updates,
        "dataset": dataset.name,
        "rows": part,
        "n_rows": len(rows),
        "variant": draws[0].variant,
        "seed": args.seed,
        "test_draws": args.test_draws,
        "elbo": _bound(draws, args.samples),
        "mean_squared_error": _mean([draw.mean_squared_error for draw in draws]),
        "active_units": draws[0].active_units,
        "n_latent": draws[0].n_latent,
    }
    if args.nll is not None:
        results["log_likelihood"] = _log_likelihood(vae, rows, labels, args, seeds)
    _print(results)
    if path is not None:
        results |= {"fastvae": fastvae.__version__, "python": platform.python_version()}
        write_file(path, (json.dumps(_finite(results), indent=2) + "\n").encode())
        print(f"written to {printable(path)}")


def _bound(draws: list[Evaluation], n_samples: int) -> dict[str, Any]:
    """The ELBO and its parts, means over the draws of the test rows."""
    means = {name: _mean([vars(draw)[name] for draw in draws]) for name in _PARTS}
    values = [draw.elbo for draw in draws]
    return {"estimator": _ELBO, "samples": n_samples, **means} | _over_draws(values)


def _log_likelihood(
    vae: VAE, rows: NDArray[Any], labels: NDArray[Any] | None, args: Namespace, seeds: range
) -> dict[str, Any]:
    """log p(x), means over rows and the draws of the test rows.

    The standard error is that of the estimator; that over rows is of other rows of this kind. Rows
    of few effective samples are those of the draw that has the most of them.
    """
    start = time.perf_counter()
    progress = sys.stderr is not None and sys.stderr.isatty()
    found = [
        vae.log_likelihood(
            rows,
            args.nll,
            seed,
            per_sample=True,
            binarize=args.binarize,
            progress=progress,
            labels=labels,
        )
        for seed in seeds
    ]
    of_all = importance.LogLikelihood(*map(np.concatenate, zip(*found, strict=True)))
    means = importance.mean(of_all)
    of_rows = np.mean([draw.value for draw in found], axis=0)
    is_known = args.nll > 1  # one sample says nothing of its error
    return {
        "estimator": _IMPORTANCE,
        "samples": args.nll,
        "value": means.value,
        "standard_error": means.standard_error if is_known else None,
        "standard_error_over_rows": _error(of_rows.tolist()),
        "ess": means.ess,
        "least_ess": float(of_all.ess.min()),
        "rows_below_100_ess": max(
            int(np.count_nonzero(draw.ess < importance.LEAST_ESS)) for draw in found
        ),
        "seconds": time.perf_counter() - start,
    } | _over_draws([_mean(draw.value.tolist()) for draw in found])


def _over_draws(values: list[float]) -> dict[str, Any]:
    """The means of each draw of the test rows, and the standard error of their mean."""
    return {"of_draws": values, "standard_error_over_draws": _error(values)}


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _error(values: list[float]) -> float | None:
    """The standard error of the mean of independent values; none of a single one."""
    if len(values) < 2:
        return None
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def _finite(value: Any) -> Any:
    """Figures as JSON takes them: null where one is infinite or NaN."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(results: dict[str, Any]) -> None:
    """The figures as a table."""
    bound, n_draws = results["elbo"], results["test_draws"]
    draws = "1 draw" if bound["samples"] == 1 else f"{bound['samples']} draws"
    of_rows = f", {n_draws} draws of the rows" if n_draws > 1 else ""
    print(
        f"{printable(results['model'])} on {results['n_rows']:,} {results['rows']} rows of "
        f"{printable(results['dataset'])}, {draws} of the latents{of_rows}\n"
        f"data                {VARIANTS[results['variant']]}\n"
        f"ELBO                {bound['elbo']:10.3f} nats{_of_draws(bound)}\n"
        f"reconstruction      {bound['reconstruction']:10.3f} nats\n"
        f"KL                  {bound['kl']:10.3f} nats\n"
        f"mean squared error  {results['mean_squared_error']:10.5f} per feature\n"
        f"active units        {results['active_units']:10d} of {results['n_latent']}"
    )
    if "log_likelihood" not in results:
        return
    found = results["log_likelihood"]
    error = found["standard_error"]
    estimated = "" if error is None else f", standard error {error:.3f}"
    samples = "1 sample" if found["samples"] == 1 else f"{found['samples']:,} samples"
    print(
        f"log p(x)            {found['value']:10.3f} nats{estimated}{_of_draws(found)}\n"
        f"                    by {_IMPORTANCE}, {samples}, seed {results['seed']}\n"
        f"effective samples   {found['ess']:10.1f} in the mean, at least {found['least_ess']:.1f}"
    )


def _of_draws(figures: dict[str, Any]) -> str:
    error = figures["standard_error_over_draws"]
    return "" if error is None else f", over draws of the rows {error:.3f}"
