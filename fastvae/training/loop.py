"""The training loop behind `VAE.fit`, and the history it returns.

Callbacks see the model itself, and other threads may read it meanwhile. What they may do: see
`VAE.fit`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastvae import checks, kernels
from fastvae.model.value import public
from fastvae.training import callbacks as callbacks_module
from fastvae.training import optimizers, schedules
from fastvae.training.callbacks import Callback, Figures
from fastvae.training.evaluation import active_units, latent_variance
from fastvae.training.optimizers import Optimizer
from fastvae.training.schedules import Schedule

if TYPE_CHECKING:
    from fastvae.model.network import Network
    from fastvae.model.vae import VAE

BIAS_MEAN_RANGE = (0.001, 0.999)


@public
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
    network: Network = field(init=False)
    moments: tuple[NDArray[Any], NDArray[Any]] = field(init=False)
    skip_zeros: bool = field(init=False)

    def __post_init__(self) -> None:
        self.network = self.vae.network
        self.moments = self.network.new_arena(), self.network.new_arena()
        self.skip_zeros = self.network.pays_to_skip(self.rows)
        self._good_values = self.network.new_arena()
        self.remember()

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    @property
    def total(self) -> int:
        """Number of updates of the whole run."""
        return self.n_epochs * self.steps_per_epoch

    def remember(self) -> None:
        """Keep the weights and the numbers of updates and epochs, for `go_back`."""
        np.copyto(self._good_values, self.network.parameters)
        self._good_counts = self.vae.updates, self.vae.epochs

    def go_back(self) -> None:
        """Return to the weights and the numbers of the last `remember`."""
        self.vae.updates, self.vae.epochs = self._good_counts
        with self.network.arena.gate.writing:
            np.copyto(self.network.parameters, self._good_values)

    def go_back_if_spoilt(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an exception, `go_back` from weights that are not finite: Ctrl-C may come before
        the look at what the last run of updates has done."""
        if kind is not None and not _all_finite(self.network.parameters):
            self.go_back()

    def train_epoch(self, epoch: int) -> NDArray[np.float64] | None:
        """Pass once over the rows in a new order.

        Returns
        -------
        ndarray of shape (4 + 2Z,), or None
            The epoch's totals; None where a callback has stopped the training within it.

        Raises
        ------
        FloatingPointError
            If the training diverges; the model has gone back to what it was before the epoch.
        """
        vae, n_rows = self.vae, len(self.rows)
        order = np.empty(n_rows, np.int64)
        kernels.permutation(order, vae.seed, kernels.STREAM_ORDER, vae.epochs)
        totals = np.zeros(4 + 2 * vae.n_latent)
        run_length = self.network.steps_per_call(self.batch_size)
        for first in range(0, self.steps_per_epoch, run_length):
            n_steps = min(run_length, self.steps_per_epoch - first)
            n_finished = self._train_steps(order, first, n_steps, totals)
            self._check_finite(epoch, first + n_finished, float(totals[0]))
            n_done = min((first + n_steps) * self.batch_size, n_rows)
            for listener in self.listeners:
                listener.on_batch(vae, epoch, n_done)
            if vae.stop_training and n_done < n_rows:
                return None
        vae.epochs += 1
        return totals

    def _check_finite(self, epoch: int, step: int, loss: float) -> None:
        """Go back and raise a FloatingPointError unless loss, weights and moments are finite.

        Moments that overflow stop the updates of their weights for good, without another sign.
        They are looked at once an epoch.
        """
        if not np.isfinite(loss):
            what = f"the loss became {loss}"
        elif not _all_finite(self.network.parameters):
            what = "the weights are no longer finite"
        elif step == self.steps_per_epoch and not all(map(_all_finite, self.moments)):
            what = "the optimizer's moments are no longer finite"
        else:
            return
        self.fail(epoch, step, what)

    def fail(self, epoch: int, step: int, what: str) -> NoReturn:
        """Go back and raise the FloatingPointError that says what is not finite."""
        self.go_back()
        before = "`fit` began" if epoch == 1 else f"epoch {epoch - 1} ended"
        raise FloatingPointError(
            f"the training has diverged: {what} in epoch {epoch}, step {step} of "
            f"{self.steps_per_epoch}; the model is again as it was when {before}. Try a smaller "
            "learning_rate, or clip_norm"
        )

    def _train_steps(
        self, order: NDArray[np.int64], first: int, n_steps: int, totals: NDArray[np.float64]
    ) -> int:
        """Run steps of training; return how many were done, fewer only if the loss is not finite.

        The model's count of updates goes up with the weights, inside the kernels: it is right
        wherever an exception comes.
        """
        vae, before = self.vae, self.vae.updates
        if vae.network is not self.network:
            raise RuntimeError("the model was replaced while `fit` trained it")
        self.network.train(
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
            draws=vae.update_count,
            seed=vae.seed,
            reconstruction_weight=vae.reconstruction_weight,
            beta=vae.beta,
            clip_norm=self.clip_norm,
            skip_zeros=self.skip_zeros,
            totals=totals,
        )
        n_finished = vae.updates - before
        self.n_updates += n_finished
        return n_finished


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
    rows = vae.check_rows(data, "data", "training")
    held_out = None
    if validation is not None:
        held_out = vae.check_rows(validation, "validation", "validation")
    with vae.in_fit, _threads(n_threads):
        run = _Run(
            vae, rows, n_epochs, min(batch_size, len(rows)), chosen, schedule, clip, listeners
        )
        schedules.rates(schedule, 0, 1, run.total)
        schedules.rates(schedule, run.total - 1, 1, run.total)
        _compile(vae, verbose)
        vae.stop_training = False
        vae.history = History()
        _start_output_bias(vae, rows)
        return _train(run, held_out, vae.history)


def _train(run: _Run, held_out: NDArray[Any] | None, history: History) -> History:
    """Train epoch after epoch, and report each."""
    vae = run.vae
    with ExitStack() as ending:
        for listener in reversed(run.listeners):
            ending.callback(listener.on_train_end, vae, history)
        ending.push(run.go_back_if_spoilt)
        for listener in run.listeners:
            listener.on_train_begin(vae, run.n_epochs, len(run.rows))
        for epoch in range(1, run.n_epochs + 1):
            if vae.stop_training:
                break
            start = time.perf_counter()
            totals = run.train_epoch(epoch)
            seconds = time.perf_counter() - start
            if totals is None:
                break
            figures = _training_figures(totals, seconds) | _validation_figures(vae, held_out)
            val_loss = figures.get("val_loss", 0.0)
            if not np.isfinite(val_loss):
                run.fail(epoch, run.steps_per_epoch, f"the validation loss became {val_loss}")
            history.append(figures)
            for listener in run.listeners:
                listener.on_epoch_end(vae, epoch, figures)
            run.remember()
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


def _all_finite(values: NDArray[Any]) -> bool:
    """Whether all values are finite; a finite sum says so without an array of answers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


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
    mean = np.clip(vae.network.column_means(rows), *BIAS_MEAN_RANGE)
    output.bias = np.log(mean / (1 - mean))
