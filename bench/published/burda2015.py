"""`python -m bench.published burda2015 --k K`: table 1 of Burda, Grosse & Salakhutdinov 2015.

Trains to pass 364, keeps that model, and goes on to pass 3280: one run. It writes a checkpoint
every other minute and, started again, goes on from there, with the same bits. Each estimate of
log p(x) is written when it is done, and not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import warnings
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.published.records import Call, Refused
from bench.published.settings.burda2015 import FULL, SHORT, Settings, Stages
from fastvae import VAE, Adam, load
from fastvae.evaluation import diagnose
from fastvae.files import checkpoints
from fastvae.model.importance import LEAST_ESS

CHECKPOINT_EVERY = "120s"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the table's own options to a parser."""
    parser.add_argument("--k", type=int, default=1, help="latents per row: 1, 5 or 50 (1)")
    parser.add_argument(
        "--passes", type=int, default=FULL, help=f"passes over the rows ({FULL}); short: {SHORT}"
    )
    parser.add_argument("--train-only", action="store_true", help="estimate nothing")
    parser.add_argument(
        "--evaluate-only", action="store_true", help="estimate for the models that there are"
    )


def run(call: Call, args: argparse.Namespace) -> None:
    """Train and evaluate as far as is asked for.

    Raises
    ------
    Refused
        If k or the number of passes is out of range, or both parts are left out.
    """
    if args.k < 1 or not 1 <= args.passes <= FULL:
        raise Refused(
            f"--k must be at least 1 and --passes from 1 to {FULL}; got {args.k} and {args.passes}"
        )
    if args.train_only and args.evaluate_only:
        raise Refused("--train-only and --evaluate-only leave nothing to do; give one of them")
    settings = Settings(args.k, args.passes)
    if call.quick:
        settings = settings.shortened()
    train, test = call.images()
    ends = [passes for passes in (SHORT,) if passes < settings.passes] + [settings.passes]
    for passes in ends:
        stage = Run(call, replace(settings, passes=passes))
        if not args.evaluate_only:
            stage.train(train)
        if not args.train_only:
            stage.evaluate(test)


class Run:
    """The run of one k up to one number of passes.

    Parameters
    ----------
    call : Call
    settings : Settings
    """

    def __init__(self, call: Call, settings: Settings) -> None:
        self.call = call
        self.settings = settings
        self.folder = call.places.runs / f"burda2015-k{settings.k}"
        self.checkpoint = self.folder / "run.checkpoint"
        self.model = self.folder / f"model{settings.passes}.safetensors"
        self.history = self.folder / f"history{settings.passes}.json"
        self.name = f"burda2015-k{settings.k}-{settings.passes}"

    def train(self, rows: NDArray[np.uint8]) -> None:
        """Train, or go on, to the number of passes; keep model and history."""
        settings = self.settings
        if self.model.exists():
            return
        if self._begun() > settings.passes:
            print(f"the run is beyond pass {settings.passes}, whose model was not kept", flush=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        vae = VAE.from_sizes(
            settings.n_features, settings.hidden, settings.n_latent, "tanh", seed=settings.seed
        )
        # With one latent a row the bound is the ELBO.
        objective: dict[str, Any] = (
            {} if settings.k == 1 else {"objective": "iwae", "n_samples": settings.k}
        )
        history = vae.fit(
            rows,
            epochs=settings.passes,
            batch_size=settings.batch_size,
            learning_rate=Stages(settings.learning_rate, -(-len(rows) // settings.batch_size)),
            optimizer=Adam(beta1=settings.beta1, beta2=settings.beta2, eps=settings.eps),
            binarize="dynamic",
            checkpoint=self.checkpoint,
            checkpoint_every=CHECKPOINT_EVERY,
            resume=self.checkpoint if self.checkpoint.exists() else None,
            callbacks=[_report],
            verbose=False,
            n_threads=self.call.n_threads,
            **objective,
        )
        self.history.write_text(json.dumps(history), encoding="utf-8")
        vae.save(self.model)

    def _begun(self) -> int:
        """How many passes the checkpoint's run has begun."""
        if not self.checkpoint.exists():
            return 0
        try:
            counts = checkpoints.read(self.checkpoint).facts["counts"]
        except ValueError as error:
            raise Refused(str(error)) from error
        return int(counts["n_epochs"]) + bool(counts["has_begun"])

    def evaluate(self, rows: NDArray[np.uint8]) -> None:
        """Estimate what is missing of the test figures, and write each when it is there."""
        if not self.model.exists():
            print(f"{self.name}: there is no model yet", flush=True)
            return
        vae = load(self.model)
        figures = self._earlier(_digest(vae))
        if "active_units" not in figures:
            found = diagnose(vae, rows, binarize="dynamic")
            figures |= {"active_units": found.active_units, "minus_elbo": round(-found.elbo, 3)}
        for seed in self.settings.nll_seeds:
            if str(seed) not in figures["nll"]:
                figures["nll"][str(seed)] = _nll(vae, rows, self.settings, seed)
                self._write(figures)
                print(f"{self.name}, binarisation {seed}: {figures['nll'][str(seed)]}", flush=True)

    def _earlier(self, weights: str) -> dict[str, Any]:
        """The figures that were written for these weights and settings, else new ones."""
        path = self.call.places.results / f"{self.name}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            figures: dict[str, Any] = record["figures"]
            settings = json.loads(json.dumps(asdict(self.settings)))
            if (figures["weights"], record["settings"]) == (weights, settings):
                return figures
        return {"weights": weights, "nll": {}}

    def _write(self, figures: dict[str, Any]) -> None:
        history = json.loads(self.history.read_text(encoding="utf-8"))
        self.call.write(self.name, self.settings, figures, sum(history["seconds"]))


def _report(vae: VAE, epoch: int, figures: dict[str, float]) -> None:
    """Print a line for some of the passes."""
    if epoch < 10 or epoch % 20 == 0:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        print(f"{time.strftime('%H:%M:%S')} pass {epoch}: {shown}", flush=True)


def _nll(vae: VAE, rows: NDArray[np.uint8], settings: Settings, seed: int) -> dict[str, Any]:
    """-log p(x), the mean over the rows as one seed makes them binary."""
    began = time.perf_counter()
    with warnings.catch_warnings():  # of few effective samples: their rows are counted
        warnings.simplefilter("ignore", UserWarning)
        found = vae.log_likelihood(
            rows, settings.n_samples, seed=seed, per_sample=True, binarize="dynamic"
        )
    error = float(np.sqrt(np.square(found.standard_error).sum()) / len(rows))
    return {
        "nll": round(-float(found.value.mean()), 4),
        "standard_error": round(error, 5),
        "rows_with_few_effective_samples": int(np.count_nonzero(found.ess < LEAST_ESS)),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _digest(vae: VAE) -> str:
    """SHA-256 of all weights and biases."""
    digest = hashlib.sha256()
    for _, array in sorted(vae.state_dict().items()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
