"""The training loop behind `VAE.fit`.

Callbacks see the model itself, and other threads may read it meanwhile. What they may do: see
`VAE.fit`.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.data.rows import Rows
from fastvae.kernels import engine
from fastvae.training import schedules
from fastvae.training.evaluation import active_units, latent_variance, loss_of, mean_elbo
from fastvae.training.history import History
from fastvae.training.settings import Settings
from fastvae.training.trainable import Trainable


class _Run:
    """One call of `fit`, checked: what each epoch needs."""

    def __init__(self, vae: Trainable, rows: NDArray[Any], settings: Settings) -> None:
        self.vae, self.rows, self.settings = vae, rows, settings
        self.network = vae.network
        self.batch_size = min(settings.batch_size, len(rows))
        self.steps_per_epoch = -(-len(rows) // self.batch_size)
        self.total = settings.epochs * self.steps_per_epoch
        self.n_updates = 0
        self.moments = self.network.new_arena(), self.network.new_arena()
        self.skip_zeros = self.network.pays_to_skip(rows)
        self._good_values = self.network.new_arena()
        self.remember()

    def remember(self) -> None:
        """Keep the weights and the numbers of updates and epochs, for `go_back`."""
        np.copyto(self._good_values, self.network.parameters)
        self._good_counts = self.vae.updates, self.vae.epochs

    def go_back(self) -> None:
        """Return to the weights and the numbers of the last `remember`."""
        self.vae.updates, self.vae.epochs = self._good_counts
        self.network.overwrite(self._good_values)

    def go_back_if_spoilt(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an exception, `go_back` from weights that are not finite: Ctrl-C may come before
        the look at what the last run of updates has done."""
        if kind is not None and not _all_finite(self.network.parameters):
            self.go_back()

    def train_epoch(self, epoch: int) -> NDArray[np.float64] | None:
        """Pass once over the rows in a new order.

        Returns
        -------
        ndarray or None
            The epoch's totals; None where a callback has stopped the training within it.

        Raises
        ------
        FloatingPointError
            If the training diverges; the model has gone back to what it was before the epoch.
        """
        vae, n_rows = self.vae, len(self.rows)
        order = np.empty(n_rows, np.int64)
        kernels.permutation(order, vae.seed, kernels.STREAM_ORDER, vae.epochs)
        sums = engine.new_totals(vae.n_latent)
        run_length = self.network.steps_per_call(self.batch_size)
        for first in range(0, self.steps_per_epoch, run_length):
            n_steps = min(run_length, self.steps_per_epoch - first)
            n_finished = self._train_steps(order, first, n_steps, sums)
            self._check_finite(epoch, first + n_finished, engine.read_totals(sums).loss)
            n_done = min((first + n_steps) * self.batch_size, n_rows)
            for listener in self.settings.listeners:
                listener.on_batch(vae, epoch, n_done)
            if vae.stop_training and n_done < n_rows:
                return None
        vae.epochs += 1
        return sums

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

    def _schedule(self, n_steps: int) -> NDArray[Any]:
        """Learning rate and beta of the next updates."""
        rates = schedules.rates(self.settings.schedule, self.n_updates, n_steps, self.total)
        return engine.new_schedule(n_steps, rates, self.vae.beta)

    def _train_steps(
        self, order: NDArray[np.int64], first: int, n_steps: int, sums: NDArray[np.float64]
    ) -> int:
        """Run steps of training; return how many were done, fewer only if the loss is not finite.

        The model's count of updates goes up with the weights, inside the kernels: it is right
        wherever an exception comes.
        """
        vae, settings, before = self.vae, self.settings, self.vae.updates
        if vae.network is not self.network:
            raise RuntimeError("the model was replaced while `fit` trained it")
        run = engine.Training(
            first_step=first,
            n_steps=n_steps,
            batch_size=self.batch_size,
            optimizer=kernels.OPTIMIZERS[settings.optimizer.name],
            hyper=settings.optimizer.hyper,
            schedule=self._schedule(n_steps),
            updates_before=self.n_updates,
            draws=vae.update_count,
            reconstruction_weight=vae.reconstruction_weight,
            clip_norm=settings.clip_norm,
            totals=sums,
            weights_finite=True,  # looked at after each run; what is assigned is checked
        )
        self.network.train(
            self.rows,
            order,
            run,
            moments=self.moments,
            seed=vae.seed,
            skip_zeros=self.skip_zeros,
        )
        n_finished = vae.updates - before
        self.n_updates += n_finished
        return n_finished


def fit(vae: Trainable, data: Rows, validation: Rows | None, settings: Settings) -> History:
    """Train a model; see `VAE.fit`, which documents the arguments."""
    rows = vae.check_rows(data, "data", "training")
    held_out = (
        None if validation is None else vae.check_rows(validation, "validation", "validation")
    )
    with vae.in_fit, _threads(settings.n_threads):
        run = _Run(vae, rows, settings)
        schedules.rates(settings.schedule, 0, 1, run.total)
        schedules.rates(settings.schedule, run.total - 1, 1, run.total)
        _compile(vae, settings.verbose)
        vae.stop_training = False
        vae.history = History()
        vae.start_output_bias(rows)
        return _train(run, held_out, vae.history)


def _train(run: _Run, held_out: NDArray[Any] | None, history: History) -> History:
    """Train epoch after epoch, and report each."""
    vae, n_epochs, listeners = run.vae, run.settings.epochs, run.settings.listeners
    with ExitStack() as ending:
        for listener in reversed(listeners):
            ending.callback(listener.on_train_end, vae, history)
        ending.push(run.go_back_if_spoilt)
        for listener in listeners:
            listener.on_train_begin(vae, n_epochs, len(run.rows))
        for epoch in range(1, n_epochs + 1):
            if vae.stop_training:
                break
            if epoch > 1:
                run.remember()
            start = time.perf_counter()
            sums = run.train_epoch(epoch)
            seconds = time.perf_counter() - start
            if sums is None:
                break
            figures = _training_figures(sums, seconds) | _validation_figures(vae, held_out)
            val_loss = figures.get("val_loss", 0.0)
            if not np.isfinite(val_loss):
                run.fail(epoch, run.steps_per_epoch, f"the validation loss became {val_loss}")
            history.append(figures)
            for listener in listeners:
                listener.on_epoch_end(vae, epoch, figures)
    return history


def _training_figures(sums: NDArray[np.float64], seconds: float) -> dict[str, float]:
    """The figures of an epoch: means over its rows."""
    loss, reconstruction, kl, n_rows, means, squares = engine.read_totals(sums)
    return {
        "loss": loss / n_rows,
        "elbo": -(reconstruction + kl) / n_rows,
        "reconstruction": reconstruction / n_rows,
        "kl": kl / n_rows,
        "active_units": active_units(latent_variance(means, squares, n_rows)),
        "seconds": seconds,
        "samples_per_second": n_rows / seconds,
    }


def _validation_figures(vae: Trainable, held_out: NDArray[Any] | None) -> dict[str, float]:
    """The figures on the validation rows, none without them."""
    if held_out is None:
        return {}
    elbo = mean_elbo(*vae.network.evaluate(held_out, 1, vae.seed))
    figures = {f"val_{name}": value for name, value in elbo._asdict().items()}
    return {"val_loss": loss_of(vae, elbo)} | figures


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


def _compile(vae: Trainable, verbose: bool) -> None:
    """Compile the kernels ahead, and say so, where no machine code of them exists yet."""
    if kernels.is_compiled():
        return
    if verbose:
        print("compiling the kernels for this machine (once, up to 20 s) ...", flush=True)
    kernels.warmup((vae.dtype,))
