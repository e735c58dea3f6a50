"""The training loop behind `VAE.fit`, and the history it returns."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastvae import callbacks as callbacks_module
from fastvae import checks, kernels, optimizers, schedules
from fastvae.callbacks import Callback, Figures
from fastvae.evaluation import active_units, latent_variance
from fastvae.optimizers import Optimizer
from fastvae.schedules import Schedule

if TYPE_CHECKING:
    from fastvae.vae import VAE

BIAS_MEAN_RANGE = (0.001, 0.999)
_CHUNK_ROWS = 4096


class History(Mapping[str, list[float]]):
    """What `fit` measured: a mapping of lists with one entry per finished epoch.

    The keys are `loss, elbo, reconstruction, kl` (nats per sample, from the epoch's own passes
    while the weights changed), `active_units`, `seconds` (the epoch without validation),
    `samples_per_second` and, with validation rows, `val_loss, val_elbo, val_reconstruction,
    val_kl` (after the epoch).
    """

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = {}

    def append(self, figures: Figures) -> None:
        """Add the figures of one epoch."""
        for name, value in figures.items():
            self._figures.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"History({self._figures!r})"


@dataclass
class _Run:
    """One call of `fit`, checked: what each epoch needs."""

    vae: VAE
    rows: NDArray[Any]
    n_epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    clip_norm: float
    listeners: Sequence[Callback]
    n_updates: int = 0
    moments: tuple[NDArray[Any], NDArray[Any]] = field(init=False)
    skip_zeros: bool = field(init=False)

    def __post_init__(self) -> None:
        network = self.vae.network
        self.moments = network.new_arena(), network.new_arena()
        self.skip_zeros = network.pays_to_skip(self.rows)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    @property
    def total(self) -> int:
        """Number of updates of the whole run."""
        return self.n_epochs * self.steps_per_epoch

    def train_epoch(self, epoch: int) -> NDArray[np.float64]:
        """Pass once over the rows in a new order; return the epoch's totals, shape (4 + 2Z,)."""
        vae, n_rows = self.vae, len(self.rows)
        order = np.empty(n_rows, np.int64)
        kernels.permutation(order, vae.seed, kernels.STREAM_ORDER, vae.epochs)
        totals = np.zeros(4 + 2 * vae.n_latent)
        run_length = vae.network.steps_per_call(self.batch_size)
        for first in range(0, self.steps_per_epoch, run_length):
            n_steps = min(run_length, self.steps_per_epoch - first)
            self._train_steps(order, first, n_steps, totals)
            n_done = min((first + n_steps) * self.batch_size, n_rows)
            for listener in self.listeners:
                listener.on_batch(vae, epoch, n_done)
        vae.epochs += 1
        return totals

    def _train_steps(
        self, order: NDArray[np.int64], first: int, n_steps: int, totals: NDArray[np.float64]
    ) -> None:
        vae = self.vae
        vae.network.train(
            self.rows,
            order,
            first,
            n_steps,
            self.batch_size,
            optimizer=optimizers.code(self.optimizer),
            hyper=self.optimizer.hyper,
            learning_rates=schedules.rates(self.schedule, self.n_updates, n_steps, self.total),
            moments=self.moments,
            update=self.n_updates,
            first_draw=vae.updates,
            seed=vae.seed,
            reconstruction_weight=vae.reconstruction_weight,
            beta=vae.beta,
            clip_norm=self.clip_norm,
            skip_zeros=self.skip_zeros,
            totals=totals,
        )
        self.n_updates += n_steps
        vae.updates += n_steps


def fit(
    vae: VAE,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float | Schedule,
    optimizer: str | Optimizer,
    validation: Any,
    clip_norm: float | None,
    callbacks: Any,
    verbose: bool,
    n_threads: int | None,
) -> History:
    """Train a model; see `VAE.fit`, which documents the arguments."""
    n_epochs = checks.integer(epochs, "epochs")
    batch_size = checks.integer(batch_size, "batch_size")
    schedule = schedules.resolve(learning_rate)
    chosen = optimizers.resolve(optimizer)
    clip = 0.0 if clip_norm is None else checks.number(clip_norm, "clip_norm", positive=True)
    listeners = callbacks_module.resolve(callbacks, verbose)
    rows = vae.check_rows(getattr(data, "train", data), "data")
    held_out = None if validation is None else vae.check_rows(validation, "validation")
    with _threads(n_threads):
        run = _Run(
            vae, rows, n_epochs, min(batch_size, len(rows)), chosen, schedule, clip, listeners
        )
        schedules.rates(schedule, 0, 1, run.total)
        schedules.rates(schedule, run.total - 1, 1, run.total)
        _compile(vae, verbose)
        _start_output_bias(vae, rows)
        return _train(run, held_out)


def _train(run: _Run, held_out: NDArray[Any] | None) -> History:
    """Train epoch after epoch, and report each."""
    vae, history = run.vae, History()
    try:
        for listener in run.listeners:
            listener.on_train_begin(vae, run.n_epochs, len(run.rows))
        for epoch in range(1, run.n_epochs + 1):
            start = time.perf_counter()
            totals = run.train_epoch(epoch)
            seconds = time.perf_counter() - start
            figures = _training_figures(totals, seconds) | _validation_figures(vae, held_out)
            history.append(figures)
            _warn_if_diverged(history["loss"])
            for listener in run.listeners:
                listener.on_epoch_end(vae, epoch, figures)
    finally:
        for listener in run.listeners:
            listener.on_train_end(vae, history)
    return history


def _training_figures(totals: NDArray[np.float64], seconds: float) -> dict[str, float]:
    """The figures of an epoch from its totals: means over its rows."""
    loss, reconstruction, kl, n_rows = (float(value) for value in totals[:4])
    mean_sum, square_sum = np.split(totals[4:], 2)
    return {
        "loss": loss / n_rows,
        "elbo": -(reconstruction + kl) / n_rows,
        "reconstruction": reconstruction / n_rows,
        "kl": kl / n_rows,
        "active_units": active_units(latent_variance(mean_sum, square_sum, n_rows)),
        "seconds": seconds,
        "samples_per_second": n_rows / seconds,
    }


def _validation_figures(vae: VAE, held_out: NDArray[Any] | None) -> dict[str, float]:
    """The figures on the validation rows, none without them."""
    if held_out is None:
        return {}
    per_row = vae.network.evaluate(held_out, 1, vae.seed)
    reconstruction, kl = float(per_row[0].mean()), float(per_row[1].mean())
    return {
        "val_loss": vae.reconstruction_weight * reconstruction + vae.beta * kl,
        "val_elbo": -(reconstruction + kl),
        "val_reconstruction": reconstruction,
        "val_kl": kl,
    }


def _warn_if_diverged(losses: Sequence[float]) -> None:
    """Warn when the last loss is the first that is not finite."""
    if not np.isfinite(losses[-1]) and np.isfinite(losses[:-1]).all():
        warnings.warn(
            f"the loss of epoch {len(losses)} is {losses[-1]}: the training has diverged; "
            "try a smaller learning_rate, or clip_norm",
            RuntimeWarning,
            stacklevel=5,
        )


@contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
    """Use `n_threads` threads (None: as many as are set), then as many as before."""
    before = kernels.get_num_threads()
    if n_threads is not None:
        kernels.set_num_threads(n_threads)
    try:
        yield
    finally:
        kernels.set_num_threads(before)


def _compile(vae: VAE, verbose: bool) -> None:
    """Compile the kernels ahead, and say so, where no machine code of them exists yet."""
    if kernels.is_compiled():
        return
    if verbose:
        print("compiling the kernels for this machine (once, up to 20 s) ...", flush=True)
    kernels.warmup((vae.dtype,))


def _start_output_bias(vae: VAE, rows: NDArray[Any]) -> None:
    """Before a Bernoulli model's first update, set an output bias of 0 to the mean's logit.

    The means are clipped to [0.001, 0.999]. A bias that was set by hand or loaded stays.
    """
    output = vae.decoder.layers[-1]
    if vae.likelihood != "bernoulli" or vae.updates > 0 or output.bias.any():
        return
    mean = np.clip(_column_means(rows), *BIAS_MEAN_RANGE)
    output.bias = np.log(mean / (1 - mean))


def _column_means(rows: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each feature (uint8 read as value / 255), shape (n_features,)."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _CHUNK_ROWS):
        total += rows[start : start + _CHUNK_ROWS].sum(axis=0, dtype=np.float64)
    return total / len(rows) / (255 if rows.dtype == np.uint8 else 1)
