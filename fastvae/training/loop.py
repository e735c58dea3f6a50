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
from fastvae.data.rows import Rows
from fastvae.distributed.interrupts import Interrupts
from fastvae.distributed.spread import Owners
from fastvae.kernels import engine
from fastvae.kernels.arrays.warmup import objective_is_compiled
from fastvae.kernels.machine.threads import use_threads
from fastvae.training import schedules
from fastvae.training.beginning import Share, check, check_alike, progress_of, share_of
from fastvae.training.evaluation import data_variant
from fastvae.training.figures import training_figures, validation_figures
from fastvae.training.history import History
from fastvae.training.keeping import Keeper
from fastvae.training.progress import NUMBERS, Counts, Moments, Progress, states_of
from fastvae.training.settings import Settings
from fastvae.training.sharing import call_on_first
from fastvae.training.stepping import read_totals, stepper_for
from fastvae.training.trainable import Trainable


class _Run:
    """One call of `fit`, checked: what each epoch needs."""

    def __init__(
        self, vae: Trainable, share: Share, settings: Settings, progress: Progress, owners: Owners
    ) -> None:
        self.vae, self.share, self.settings = vae, share, settings
        self.progress, self.owners = progress, owners
        self.ranks = settings.spread.ranks
        self.interrupts = Interrupts(self.ranks)
        # Of updates that are done and not counted: since when, and their schedule.
        self._running: tuple[float, NDArray[Any]] | None = None
        self.network = vae.network
        self.n_rows = share.n_rows
        self.batch_size = min(settings.batch_size, self.n_rows)
        self.steps_per_epoch = -(-self.n_rows // self.batch_size)
        self.total = settings.epochs * self.steps_per_epoch
        self.stepper = stepper_for(
            self.network, share.rows, settings.spread, share.blocks, owners,
            batch_size=self.batch_size, objective=settings.objective.for_engine,
            skip_zeros=self.network.pays_to_skip(share.rows, settings.binarize),
        )  # fmt: skip
        self.keeper: Keeper | None = None  # of rank 0
        if settings.checkpoint is not None:
            is_kept = settings.resume == settings.checkpoint[0]
            self.keeper = Keeper(*settings.checkpoint, vae, progress, is_kept)
        # When checkpoints are due, and whether somebody listens, as rank 0 knows it.
        cadence = None if settings.checkpoint is None else settings.checkpoint[1]
        self.cadence, self.is_heard = self.ranks.from_first((cadence, bool(settings.listeners)))

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
        vae = self.vae
        self._tell("on_train_begin", self.settings.epochs, self.n_rows)
        while self.counts.n_epochs < self.settings.epochs and not vae.stop_training:
            if not self.counts.has_begun:
                self.progress.totals[:] = 0.0
                with self._telling():
                    self._tell("on_epoch_begin", self.epoch)
                    self._mark(has_begun=True, order_seed=vae.seed)
                if vae.stop_training:
                    break
            self._train_epoch()
            if self.step < self.steps_per_epoch:
                break
            self._end_epoch()
            self.interrupts.take_up()

    def _train_epoch(self) -> None:
        """Go on with a pass over the rows in a new order; a callback may stop it.

        Raises
        ------
        FloatingPointError
            If the training diverges; the model has gone back to what it was before the epoch.
        """
        vae = self.vae
        self.stepper.begin_epoch(self.counts.order_seed, vae.epochs)
        n_latents = self.batch_size * self.settings.objective.n_samples
        run_length = self.network.steps_per_call(n_latents)
        first = self.counts.n_epochs * self.steps_per_epoch
        while (told := self.counts.n_told - first) < self.steps_per_epoch:
            # Callbacks are called at the same updates, wherever checkpoints are written.
            end = min((told // run_length + 1) * run_length, self.steps_per_epoch)
            while self.step < end:
                self._train_steps(self._next_stop(end))
                if self.step < end:
                    self._look_at_checkpoint()
            with self._telling():
                self._tell("on_batch", self.epoch, min(end * self.batch_size, self.n_rows))
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
        figures = training_figures(
            vae, self.settings.objective, self.progress.totals, self.counts.seconds
        )
        figures |= validation_figures(vae, self.share.held_out, self.settings)
        figures = self.ranks.from_first(figures)  # each has a time of its own
        val_loss = figures.get("val_loss", 0.0)
        if not np.isfinite(val_loss):
            self._fail(f"the validation loss became {val_loss}")
        history.append(figures)
        with self._telling():
            self._tell("on_epoch_end", self.epoch, figures)
            np.copyto(self.progress.start, self.network.parameters)
            self._mark(
                n_epochs=self.counts.n_epochs + 1,
                seconds=0.0,
                has_begun=False,
                start_updates=vae.updates,
                start_epochs=vae.epochs,
            )
        self._look_at_checkpoint()

    def _tell(self, hook: str, *given: Any) -> None:
        """Call a hook of all callbacks, on rank 0; all ranks go on with what they have changed."""

        def call() -> None:
            for listener in self.settings.listeners:
                getattr(listener, hook)(self.vae, *given)

        if self.is_heard:
            call_on_first(self.ranks, self.vae, call)

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
        """Write a checkpoint where one is due."""
        if self.cadence is None:
            return
        is_due = self.ranks.from_first(self.keeper is not None and self.keeper.is_due)
        moments = self._whole_moments() if is_due else None
        if self.keeper is not None and moments is not None:
            self.keeper.write(moments)

    def _whole_moments(self) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """On rank 0 the optimiser's moments of the whole arena."""
        first, second = (self.owners.whole(own) for own in self.progress.moments)
        return None if first is None or second is None else (first, second)

    def _next_stop(self, end: int) -> int:
        """The step of the epoch at which the run is to be looked at, at the latest `end`."""
        if self.cadence is None:
            return end
        n_done = self.counts.n_updates
        return min(end, self.step + self.cadence.next_update(n_done) - n_done)

    def _train_steps(self, stop: int) -> None:
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
        self.stepper.train(run, progress.moments, vae.seed)
        self._count()
        self._check_finite(read_totals(progress.totals).loss)
        self.interrupts.take_up()

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
        elif self.step == self.steps_per_epoch and not all(
            self.ranks.of_all(all(map(_all_finite, self.progress.moments)))
        ):
            what = "the optimizer's moments are no longer finite"
        else:
            return
        self._fail(what)

    def _fail(self, what: str) -> NoReturn:
        """Go back and raise the FloatingPointError that says what is not finite."""
        self._go_back()
        before = "`fit` began" if self.epoch == 1 else f"epoch {self.epoch - 1} ended"
        self.ranks.raise_on_all(
            FloatingPointError(
                f"the training has diverged: {what} in epoch {self.epoch}, step {self.step} of "
                f"{self.steps_per_epoch}; the model is again as it was when {before}. Try a "
                "smaller learning_rate, or clip_norm"
            )
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
        if self.is_heard:  # nobody else changes the weights now
            self.progress.last = self.network.parameters.copy()
        self._keep_last()

    def _keep_last(self) -> None:
        """Write the last checkpoint, unless it is there already or the training has diverged."""
        keeper = self.keeper
        try:
            if self.cadence is not None:
                is_behind = keeper is not None and keeper.is_behind
                is_due = self.ranks.from_first(self.vae.last_run is not None and is_behind)
                moments = self._whole_moments() if is_due else None
                if keeper is not None:
                    keeper.finish(moments)
        finally:
            if keeper is not None:
                keeper.close()

    def end(self, history: History) -> None:
        """Tell all callbacks that the run has ended, though one of them may fail."""

        def call() -> None:
            with ExitStack() as ending:
                for listener in reversed(self.settings.listeners):
                    ending.callback(listener.on_train_end, self.vae, history)

        if self.is_heard:
            call_on_first(self.ranks, self.vae, call)

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
    ranks = settings.spread.ranks
    is_new = moments is None
    with ranks.guard():
        share = ranks.together(
            lambda: share_of(vae, data, validation, settings, labels, is_new=is_new)
        )
        with vae.in_fit, use_threads(settings.n_threads):
            ranks.together(lambda: check(vae, share, settings))
            check_alike(vae, share, settings)
            ranks.first_alone(lambda: _compile(vae, settings))
            network = vae.network
            owners = Owners(ranks, network.table, network.dtype)
            progress = progress_of(vae, share, settings, owners, moments)
            if labels is None:
                vae.take_names(data)
            vae.stop_training = False
            vae.last_run = progress
            run = _Run(vae, share, settings, progress, owners)
            assert vae.history is not None
            vae.history.variant = _variant(vae, share, settings)
            vae.history.objective = str(settings.objective)
            with run.interrupts.deferred(), ExitStack() as ending:
                ending.callback(run.network.release_training)
                ending.callback(run.note_changes)
                ending.callback(run.end, vae.history)
                ending.push(run.leave)
                with ranks.guard():
                    run.train()
        return vae.history


def _variant(vae: Trainable, share: Share, settings: Settings) -> str:
    """Which variant of the data all ranks' rows are together."""
    found = settings.spread.ranks.of_all(data_variant(vae, share.rows, settings.binarize))
    return "grey" if "grey" in found else found[0]


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
