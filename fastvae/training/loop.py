"""The training loop behind `VAE.fit`.

Callbacks see the model itself, and other threads may read it meanwhile. What they may do: see
`VAE.fit`. What a run needs to go on stands in its `Progress`, which is right wherever an exception
comes.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import kernels
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows
from fastvae.kernels import engine
from fastvae.kernels.arrays.warmup import objective_is_compiled
from fastvae.kernels.machine.threads import use_threads
from fastvae.training import resuming, schedules
from fastvae.training.evaluation import (
    active_units,
    data_variant,
    kl_per_unit,
    latent_variance,
    mean_elbo,
    mean_loss,
)
from fastvae.training.history import History
from fastvae.training.keeping import Keeper
from fastvae.training.objectives import Objective
from fastvae.training.progress import NUMBERS, Counts, Moments, Progress, states_of
from fastvae.training.settings import Settings
from fastvae.training.trainable import Trainable


class _Run:
    """One call of `fit`, checked: what each epoch needs."""

    def __init__(
        self,
        vae: Trainable,
        rows: Checked,
        held_out: Checked | None,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.vae, self.rows, self.held_out, self.settings = vae, rows, held_out, settings
        self.progress = progress
        # Of updates that are done and not counted: since when, and their schedule.
        self._running: tuple[float, NDArray[Any]] | None = None
        self.network = vae.network
        self.batch_size = min(settings.batch_size, len(rows))
        self.steps_per_epoch = -(-len(rows) // self.batch_size)
        self.total = settings.epochs * self.steps_per_epoch
        self.skip_zeros = self.network.pays_to_skip(rows, settings.binarize)
        self.keeper: Keeper | None = None
        if settings.checkpoint is not None:
            is_kept = settings.resume == settings.checkpoint[0]
            self.keeper = Keeper(*settings.checkpoint, vae, progress, is_kept)

    @property
    def counts(self) -> Counts:
        """The numbers of the run."""
        return self.progress.counts

    @property
    def epoch(self) -> int:
        """The running epoch of the run, counted from 1."""
        return self.counts.n_epochs + 1

    @property
    def step(self) -> int:
        """Updates of the running epoch that are done."""
        return self.counts.n_updates - self.counts.n_epochs * self.steps_per_epoch

    def train(self) -> None:
        """Train to the last epoch, or until a callback stops the training."""
        vae, listeners = self.vae, self.settings.listeners
        for listener in listeners:
            listener.on_train_begin(vae, self.settings.epochs, len(self.rows))
        while self.counts.n_epochs < self.settings.epochs and not vae.stop_training:
            if not self.counts.has_begun:
                self.progress.totals[:] = 0.0
                with self._telling():
                    for listener in listeners:
                        listener.on_epoch_begin(vae, self.epoch)
                    self._mark(has_begun=True, order_seed=vae.seed)
                if vae.stop_training:
                    break
            self._train_epoch()
            if self.step < self.steps_per_epoch:
                break
            self._end_epoch()

    def _train_epoch(self) -> None:
        """Go on with a pass over the rows in a new order; a callback may stop it.

        Raises
        ------
        FloatingPointError
            If the training diverges; the model has gone back to what it was before the epoch.
        """
        vae, n_rows = self.vae, len(self.rows)
        order = np.empty(n_rows, np.int64)
        kernels.permutation(order, self.counts.order_seed, kernels.STREAM_ORDER, vae.epochs)
        n_latents = self.batch_size * self.settings.objective.n_samples
        run_length = self.network.steps_per_call(n_latents)
        first = self.counts.n_epochs * self.steps_per_epoch
        while (told := self.counts.n_told - first) < self.steps_per_epoch:
            # Callbacks are called at the same updates, wherever checkpoints are written.
            end = min((told // run_length + 1) * run_length, self.steps_per_epoch)
            while self.step < end:
                self._train_steps(order, self._next_stop(end))
                if self.step < end:
                    self._look_at_checkpoint()
            with self._telling():
                for listener in self.settings.listeners:
                    listener.on_batch(vae, self.epoch, min(end * self.batch_size, n_rows))
                self._mark(n_told=self.counts.n_updates)
            if end < self.steps_per_epoch:  # else when the epoch has ended
                if vae.stop_training:
                    return
                self._look_at_checkpoint()

    def _end_epoch(self) -> None:
        """Report a finished epoch, and be ready for the next."""
        vae, history = self.vae, self.vae.history
        assert history is not None
        vae.epochs += 1
        figures = _training_figures(
            vae, self.settings.objective, self.progress.totals, self.counts.seconds
        )
        figures |= _validation_figures(vae, self.held_out, self.settings)
        val_loss = figures.get("val_loss", 0.0)
        if not np.isfinite(val_loss):
            self._fail(f"the validation loss became {val_loss}")
        history.append(figures)
        with self._telling():
            for listener in self.settings.listeners:
                listener.on_epoch_end(vae, self.epoch, figures)
            np.copyto(self.progress.start, self.network.parameters)
            self._mark(
                n_epochs=self.counts.n_epochs + 1,
                seconds=0.0,
                has_begun=False,
                start_updates=vae.updates,
                start_epochs=vae.epochs,
            )
        self._look_at_checkpoint()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Call a hook of all callbacks, to the mark at its end.

        Where an exception comes between, all of them are called again when the run goes on: the
        model's numbers are what they were before.
        """
        vae, counts = self.vae, self.counts
        before = [getattr(vae, name) for name in NUMBERS]
        try:
            yield
        except BaseException:
            if self.counts is counts:
                for name, value in zip(NUMBERS, before, strict=True):
                    setattr(vae, name, value)
            raise

    def _mark(self, **changes: Any) -> None:
        """Note what callbacks have changed, and `changes`: they were told of all that was counted.

        Ctrl-C comes before all of it is noted or after, as there is no call in between.
        """
        states = states_of(self.settings.listeners)
        updates, epochs = self.vae.updates, self.vae.epochs
        counts = replace(self.counts, updates=updates, epochs=epochs, **changes)
        self.progress.states, self.progress.counts = states, counts

    def _count(self) -> None:
        """Count what the kernels have done, all or nothing as `_mark`."""
        if self._running is None:
            return
        (start, schedule), counts, updates = self._running, self.counts, self.vae.updates
        n_done = updates - counts.updates
        seconds = counts.seconds + time.perf_counter() - start
        if n_done and callable(self.settings.beta):
            self.vae.beta = float(schedule["beta"][n_done - 1])
        counts = replace(
            counts, n_updates=counts.n_updates + n_done, updates=updates, seconds=seconds
        )
        self.progress.counts, self._running = counts, None

    def _look_at_checkpoint(self) -> None:
        if self.keeper is not None:
            self.keeper.look()

    def _next_stop(self, end: int) -> int:
        """The step of the epoch at which the run is to be looked at, at the latest `end`."""
        if self.keeper is None:
            return end
        return min(end, self.step + self.keeper.next_stop() - self.counts.n_updates)

    def _train_steps(self, order: NDArray[np.int64], stop: int) -> None:
        """Run steps of training up to step `stop` of the epoch.

        The model's count of updates goes up with the weights, inside the kernels: it is right
        wherever an exception comes. `leave` takes it over after one.

        Raises
        ------
        FloatingPointError
            If loss, weights or moments are not finite; the model has gone back.
        """
        vae, settings, progress, n_steps = self.vae, self.settings, self.progress, stop - self.step
        if vae.network is not self.network:
            raise RuntimeError("the model was replaced while `fit` trained it")
        start = time.perf_counter()
        schedule = self._schedule(n_steps)
        settings.objective.check(vae.nats, schedule["beta"])
        run = engine.Training(
            first_step=self.step,
            n_steps=n_steps,
            batch_size=self.batch_size,
            optimizer=kernels.OPTIMIZERS[settings.optimizer.name],
            hyper=settings.optimizer.hyper,
            schedule=schedule,
            updates_before=progress.earlier_updates + self.counts.n_updates,
            draws=vae.update_count,
            reconstruction_weight=vae.nats.weight,
            clip_norm=settings.clip_norm,
            binarization=settings.binarize,
            objective=settings.objective.for_engine,
            totals=progress.totals,
            weights_finite=True,  # looked at after each run; what is assigned is checked
        )
        counts = replace(self.counts, updates=vae.updates)
        progress.counts, self._running = counts, (start, schedule)
        self.network.train(
            self.rows,
            order,
            run,
            moments=progress.moments,
            seed=vae.seed,
            skip_zeros=self.skip_zeros,
        )
        self._count()
        self._check_finite(engine.read_totals(progress.totals).loss)

    def _schedule(self, n_steps: int) -> NDArray[Any]:
        """Learning rate and beta of the next updates."""
        vae, settings, first = self.vae, self.settings, self.counts.n_updates
        steps = range(first, first + n_steps)
        rates = schedules.rates(settings.schedule, steps, self.total)
        betas: float | NDArray[Any] = vae.beta
        if callable(settings.beta):
            betas = schedules.rates(settings.beta, steps, self.total, "beta")
        return engine.new_schedule(n_steps, vae.learning_rate_factor * rates, betas)

    def _check_finite(self, loss: float) -> None:
        """Go back and raise a FloatingPointError unless loss, weights and moments are finite.

        Moments that overflow stop the updates of their weights for good, without another sign.
        They are looked at once an epoch.
        """
        if not np.isfinite(loss):
            what = f"the loss became {loss}"
        elif not _all_finite(self.network.parameters):
            what = "the weights are no longer finite"
        elif self.step == self.steps_per_epoch and not all(map(_all_finite, self.progress.moments)):
            what = "the optimizer's moments are no longer finite"
        else:
            return
        self._fail(what)

    def _fail(self, what: str) -> NoReturn:
        """Go back and raise the FloatingPointError that says what is not finite."""
        self._go_back()
        before = "`fit` began" if self.epoch == 1 else f"epoch {self.epoch - 1} ended"
        raise FloatingPointError(
            f"the training has diverged: {what} in epoch {self.epoch}, step {self.step} of "
            f"{self.steps_per_epoch}; the model is again as it was when {before}. Try a smaller "
            "learning_rate, or clip_norm"
        )

    def _go_back(self) -> None:
        """Return to the weights and numbers that the running epoch began with; the run is over."""
        vae, counts = self.vae, self.counts
        vae.updates, vae.epochs = counts.start_updates, counts.start_epochs
        self.network.overwrite(self.progress.start)
        vae.last_run = None

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the run, by an exception or not, before callbacks hear that it has ended.

        After an exception the model goes back from weights that are not finite: Ctrl-C may come
        before the look at what the last run of updates has done.
        """
        self._count()
        is_going = kind is not None and self.vae.last_run is not None
        if is_going and not _all_finite(self.network.parameters):
            self._go_back()
        if self.settings.listeners:  # nobody else changes the weights now
            self.progress.last = self.network.parameters.copy()
        if self.keeper is not None:
            self.keeper.finish(diverged=self.vae.last_run is None)

    def note_changes(self) -> None:
        """See whether callbacks have left the model with other weights."""
        progress, values = self.progress, self.network.parameters
        if progress.last is not None and np.array_equal(progress.last, values):
            progress.last = None
        elif progress.last is not None:
            progress.left = values.copy()


def fit(
    vae: Trainable,
    data: Rows,
    validation: Any,
    settings: Settings,
    moments: Moments | None = None,
    labels: ArrayLike | None = None,
) -> History:
    """Train a model; see `VAE.fit`, which documents the arguments.

    Without a resumption the optimiser begins anew, or where `moments` are given, with these.
    """
    # Scales are looked at where training begins: later rows are what they are.
    rows = vae.check_rows(data, "data", "training" if moments is None else "validation", labels)
    held_out = (
        None if validation is None else vae.check_rows(validation, "validation", "validation")
    )
    with vae.in_fit, use_threads(settings.n_threads):
        _check_schedules(settings, len(rows))
        beta = vae.beta if settings.beta is None else settings.beta
        settings.objective.check(vae.nats, "a schedule" if callable(beta) else beta)
        _compile(vae, settings)
        if settings.resume is False:
            progress = _begin(vae, rows, held_out, settings, moments)
        elif settings.resume is True:
            progress = resuming.from_last_fit(vae, rows, held_out, settings)
        else:
            progress = resuming.from_checkpoint(settings.resume, vae, rows, held_out, settings)
        if labels is None:
            vae.take_names(data)
        vae.stop_training = False
        vae.last_run = progress
        run = _Run(vae, rows, held_out, settings, progress)
        assert vae.history is not None
        vae.history.variant = data_variant(vae, rows, settings.binarize)
        vae.history.objective = str(settings.objective)
        with ExitStack() as ending:
            ending.callback(run.network.release_training)
            ending.callback(run.note_changes)
            for listener in reversed(settings.listeners):
                ending.callback(listener.on_train_end, vae, vae.history)
            ending.push(run.leave)
            run.train()
        return vae.history


def _begin(
    vae: Trainable,
    rows: Checked,
    held_out: Checked | None,
    settings: Settings,
    moments: Moments | None,
) -> Progress:
    """The progress of a new run, and a model that is ready for it."""
    thorough = settings.checkpoint is not None
    given = resuming.identity_of(vae, rows, held_out, settings, thorough=thorough)
    if settings.beta is not None and not callable(settings.beta):
        vae.beta = settings.beta
    vae.last_run = None  # of the run before, which is over from here on
    vae.learning_rate_factor = 1.0
    vae.history = History()
    network = vae.network
    updates, epochs = vae.updates, vae.epochs
    counts = Counts(
        updates, epochs, order_seed=vae.seed, start_updates=updates, start_epochs=epochs
    )
    if moments is None:
        moments = Moments((network.new_arena(), network.new_arena()), 0)
    progress = Progress(
        given,
        counts,
        moments=moments.arenas,
        earlier_updates=moments.n_updates,
        start=network.parameters.copy(),
        totals=engine.new_totals(vae.n_latent),
    )
    vae.start_output_bias(rows, settings.binarize)
    return progress


def _check_schedules(settings: Settings, n_rows: int) -> None:
    """Ask schedules for their first and last value, before anything has changed."""
    total = settings.epochs * -(-n_rows // min(settings.batch_size, n_rows))
    ends = (0, total - 1)
    schedules.rates(settings.schedule, ends, total)
    if callable(settings.beta):
        schedules.rates(settings.beta, ends, total, "beta")


def _training_figures(
    vae: Trainable, objective: Objective, totals: NDArray[np.float64], seconds: float
) -> dict[str, float]:
    """The figures of an epoch: means over its rows."""
    loss, sums, kl, n_rows, means, squares = engine.read_totals(totals)
    reconstruction = vae.nats.reconstruction(sums, n_rows)
    bound = {"bound": -(loss / n_rows + vae.nats.offset)} if objective.is_bound else {}
    return {
        "loss": loss / n_rows + vae.nats.constant,
        **bound,
        "elbo": -(reconstruction + kl) / n_rows,
        "reconstruction": reconstruction / n_rows,
        "kl": kl / n_rows,
        "active_units": active_units(latent_variance(means, squares, n_rows)),
        "seconds": seconds,
        "samples_per_second": n_rows / seconds,
    }


def _validation_figures(
    vae: Trainable, held_out: Checked | None, settings: Settings
) -> dict[str, float]:
    """The figures on the validation rows, none without them; draws are the same at each epoch."""
    if held_out is None:
        return {}
    nats, binarize, objective = vae.nats, settings.binarize, settings.objective
    per_row = vae.network.evaluate(held_out, objective.n_samples, vae.seed, binarize)
    elbo = mean_elbo(nats, *per_row)
    figures = {f"val_{name}": value for name, value in elbo._asdict().items()}
    if objective.is_bound:
        bound = vae.mean_bound(held_out, objective.n_samples, vae.seed, binarize)
        return {"val_loss": nats.constant - nats.offset - bound, "val_bound": bound} | figures
    if objective.free_bits:
        kl = kl_per_unit(vae, held_out, binarize, vae.seed)
        charged = float(np.maximum(kl, objective.free_bits).sum())
        sums = float(per_row[0].mean())
        return {"val_loss": nats.loss(sums, charged, vae.beta)} | figures
    return {"val_loss": mean_loss(vae, *per_row)} | figures


def _all_finite(values: NDArray[Any]) -> bool:
    """Whether all values are finite; a finite sum says so without an array of answers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _compile(vae: Trainable, settings: Settings) -> None:
    """Compile the kernels ahead, and say so, where no machine code of them exists yet.

    What an objective needs beside is compiled by its first update.
    """
    if not kernels.is_compiled((vae.dtype,)):
        if settings.verbose:
            print("compiling the kernels for this machine (once, up to 20 s) ...", flush=True)
        kernels.warmup((vae.dtype,))
    objective = settings.objective
    if settings.verbose and not objective_is_compiled(objective.for_engine, vae.dtype):
        print(f"compiling the kernels of {objective.name} (once, some seconds) ...", flush=True)
