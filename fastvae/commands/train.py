"""``fastvae train``: from a data set to a run folder, in one go or in several."""

import errno
import os
import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastvae import VAE, Dataset
from fastvae.checks.quoting import printable, quoted
from fastvae.commands import plan, settings
from fastvae.commands.arguments import DATASETS
from fastvae.commands.building import new_model
from fastvae.commands.inputs import labels_for, load_training_data, rows_to_show
from fastvae.commands.interrupt import interruptible
from fastvae.commands.ranks import Followers, follow, threads, world
from fastvae.commands.runs import PICTURES, TEST, Run, check_output
from fastvae.commands.train_options import DEFAULT_EPOCHS, EPOCHS_VARIABLE
from fastvae.commands.watching import check_places, watchers
from fastvae.data.variants import VARIANTS
from fastvae.distributed.blocks import DEFAULT_BLOCKS, check_blocks
from fastvae.distributed.ranks import Ranks
from fastvae.files.storage import explaining
from fastvae.training.callbacks import Callback
from fastvae.training.evaluation import data_variant, evaluate
from fastvae.training.history import History
from fastvae.training.monitoring import EarlyStopping

_N_RECONSTRUCTIONS = 20
_CHECKPOINT_EVERY = ("epoch", "30s")


def train(args: Namespace) -> int:
    """Train a model as the arguments say, or go on with a run; return the exit code.

    Raises
    ------
    ValueError, OSError
        If the arguments, the data or the output folder are not usable; nothing is left behind. An
        OSError at the end, if something could not be written: the run can be gone on with.
    FloatingPointError
        If the training diverges; the model of the last good epoch, if there is one, stays.
    """
    ranks = Ranks(world())
    if not ranks.is_first:
        return follow(ranks, partial(_prepared, ranks=ranks))
    followers = Followers(ranks)
    with followers.waiting():
        return (
            _begin(args, ranks, followers)
            if args.resume is None
            else _resume(args, ranks, followers)
        )


def _prepared(args: Namespace, ranks: Ranks) -> Callable[[], object]:
    """What a rank other than the first does in a training by these options."""
    dataset = load_training_data(args)
    vae = new_model(args, dataset)
    rows, validation = _split(dataset, args.validation, args.conditional)
    labels = dataset.train_labels[: len(rows)] if vae.n_classes else None  # type: ignore[index]
    return lambda: fit(vae, args, rows, validation, labels, ranks)


def _begin(args: Namespace, ranks: Ranks, followers: Followers) -> int:
    """Begin a run."""
    args.epochs = args.epochs or _default_epochs()
    if args.blocks is None and ranks.size > 1:
        args.blocks = DEFAULT_BLOCKS
    check_blocks(args.blocks or 1, ranks.size)
    plan.check(args)
    plan.learning_rate(args)
    check_output(args.output)  # create says so too, but only after the data are loaded
    check_places(args)
    dataset = load_training_data(args)
    vae = new_model(args, dataset)
    rows, validation = _split(dataset, args.validation, args.conditional)
    _check_table(vae, dataset)
    run = Run.create(Path(dataset.name).stem or "data", args.output)
    try:
        variant = data_variant(vae, rows, args.binarize)
        recorded = settings.recorded(args, dataset.name, variant)
        run.write_settings(recorded)
        training = _Training(args, run, recorded, dataset, vae, rows, validation, ranks, followers)
        return training.do()
    finally:
        run.discard_if_empty()
        run.close()


def _check_table(vae: VAE, dataset: Dataset) -> None:
    """Refuse a table that is none for the model before anything is said of it, columns by name.

    Raises
    ------
    ValueError
        As `VAE.fit` does.
    """
    names = dataset.feature_names
    if names is None or dataset.train.dtype == np.uint8:
        return
    try:
        vae.check_rows(
            dataset.train, "data", labels=dataset.train_labels if vae.n_classes else None
        )
    except ValueError as error:
        named = re.sub(
            r"column (\d+)(?= \(counted from 0\))",
            lambda found: f"column {quoted(names[int(found[1])])}",
            str(error),
        )
        raise ValueError(named) from error


def _resume(args: Namespace, ranks: Ranks, followers: Followers) -> int:
    """Go on with a run, or begin it where it was ended before its first checkpoint."""
    run = Run.open(args.resume)
    try:
        recorded = settings.read(run.folder)
        args = settings.resumed(args, recorded)
        path = run.folder / settings.SETTINGS
        with explaining(path, settings.KIND):
            plan.check(args)
            plan.learning_rate(args)
        check_places(args)
        _check_place_of_data(args)
        dataset = load_training_data(args)
        with explaining(path, settings.KIND):
            vae = new_model(args, dataset)
            rows, validation = _split(dataset, args.validation, args.conditional)
        recorded["epochs"] = args.epochs
        recorded["variant"] = data_variant(vae, rows, args.binarize)
        training = _Training(args, run, recorded, dataset, vae, rows, validation, ranks, followers)
        return training.do()
    finally:
        run.close()


def _check_place_of_data(args: Namespace) -> None:
    """Raise a FileNotFoundError where the data of a run that is gone on with are not there."""
    if args.dataset not in DATASETS and not os.path.exists(args.dataset):
        raise FileNotFoundError(
            errno.ENOENT,
            "there is no such file or folder here (a run's paths are relative to where it was "
            "begun; name data that have moved with --dataset)",
            args.dataset,
        )


class _GoingOn(Callback):
    """Where a run is gone on with: brings settings.json up to date, and says where it stands.

    It is asked when `fit` has found data and settings to be those of the run.
    """

    def __init__(self, run: Run, recorded: Mapping[str, Any], quiet: bool) -> None:
        self._run, self._recorded, self._quiet = run, recorded, quiet

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        """Do so, unless the run is over already."""
        assert vae.last_run is not None
        counts = vae.last_run.counts
        if vae.stop_training or counts.n_epochs >= n_epochs:
            return
        if settings.read(self._run.folder) != self._recorded:  # --epochs was raised
            self._run.write_settings(self._recorded)
        if not self._quiet:
            where = f"in epoch {counts.n_epochs + 1} of {n_epochs}"
            print(f"resume  {where if counts.n_updates else 'from the start'}", flush=True)


class _Training:
    """A training that is ready to be done."""

    def __init__(
        self,
        args: Namespace,
        run: Run,
        recorded: Mapping[str, Any],
        dataset: Dataset,
        vae: VAE,
        rows: np.ndarray,
        validation: Any,
        ranks: Ranks,
        followers: Followers,
    ) -> None:
        self.ranks, self.followers = ranks, followers
        self.args, self.run, self.dataset, self.vae = args, run, dataset, vae
        self.labels = dataset.train_labels[: len(rows)] if vae.n_classes else None  # type: ignore[index]
        self.rows, self.validation = rows, validation
        self.variant = VARIANTS[recorded["variant"]]
        self.callbacks = watchers(args, run)
        if args.resume is not None:
            self.callbacks.append(_GoingOn(run, recorded, args.quiet))
        vae.card = settings.card(recorded, dataset.feature_names)

    def do(self) -> int:
        """Train, evaluate and draw; return the exit code."""
        if not self.args.quiet:
            self._announce()
        try:
            with interruptible(self._last_words):
                self._finish(self._fit())
        except FloatingPointError as error:
            if not self.run.model_path.exists():
                self.run.discard_if_empty(is_worthless=True)
                raise
            raise FloatingPointError(
                f"{error}; the model of the last good epoch is in {self.run.folder}"
            ) from error
        except OSError as error:
            if not self._has_begun:
                raise
            self.run.keep()
            advice = self._advice("when that is mended, ")
            if error.errno is None:
                raise OSError(f"{error}; {advice}") from error
            raise OSError(error.errno, f"{error.strerror}; {advice}", error.filename) from error
        except KeyboardInterrupt as interrupt:  # main reports it
            raise type(interrupt)(self._last_words()) from None
        finally:
            if not self._has_begun:  # `fit` writes a checkpoint wherever it is left
                self.run.discard_if_empty(is_worthless=True)
        return 0

    @property
    def _has_begun(self) -> bool:
        """Whether there is anything to go on with: an update, or what an earlier process did."""
        progress = self.vae.last_run
        return self.args.resume is not None or (
            progress is not None and progress.counts.n_updates > 0
        )

    def _fit(self) -> History:
        run = self.run
        self.followers.call(self.args)
        return fit(
            self.vae,
            self.args,
            self.rows,
            self.validation,
            self.labels,
            self.ranks,
            callbacks=self.callbacks,
            checkpoint=run.checkpoint_path,
            checkpoint_every=_CHECKPOINT_EVERY,
            resume=run.checkpoint_path if run.has_checkpoint else None,
            verbose=not self.args.quiet,
        )

    def _announce(self) -> None:
        args, n_test = self.args, len(self.dataset.test)
        sizes = [self.dataset.train.shape[1], *plan.hidden(args), args.latent]
        shape = "-".join(str(size) for size in sizes + sizes[-2::-1])
        held_out = f", {args.validation:,} held out" if args.validation else ""
        classes = f", {self.vae.n_classes} classes" if self.vae.n_classes else ""
        print(
            f"data    {printable(self.dataset.name)}: {len(self.rows):,} training{held_out}, "
            f"{n_test:,} test rows\n"
            f"        {self.variant}\n"
            f"model   {shape}, {self.vae.network.likelihood}{classes}, "
            f"{self.vae.n_parameters:,} parameters\n"
            f"output  {printable(str(self.run.folder))}",
            flush=True,
        )

    def _finish(self, history: History) -> None:
        """Evaluate on the test set, draw the pictures, and say so."""
        run = self.run
        if run.n_saved == 0:
            results = [TEST] if len(self.dataset.test) else []
            results += [] if self.args.no_pictures else PICTURES
            if results and all((run.folder / name).exists() for name in results):
                self._say_finished(history)
                return
        self.vae.save(run.model_path)
        self._say_best(history)
        self._evaluate()
        if not self.args.no_pictures:
            rows, labels = rows_to_show(self.dataset)
            shown = slice(_N_RECONSTRUCTIONS)
            labels = labels_for(self.vae, self.dataset, labels)
            labels = None if labels is None else labels[shown]
            try:
                run.draw(self.vae, rows[shown], history, self.args.seed, labels)
            except ValueError as error:  # rows of very many features
                warnings.warn(f"no pictures are drawn: {error}", RuntimeWarning, stacklevel=2)
        names = ", ".join(sorted(path.name for path in run.folder.iterdir()))
        print(f"saved   {printable(names)} in {printable(str(run.folder))}")

    def _say_finished(self, history: History) -> None:
        """Say that there is nothing to do, and how there would be."""
        n_epochs = history.n_epochs
        if n_epochs < self.args.epochs:
            self._say_best(history)
            print(
                "finished: nothing to do; more epochs would not go on, as the training has stopped"
            )
        else:
            print(
                f"finished: all {n_epochs} epochs are done, nothing to do; for more of them  "
                f"{self.run.command_to_go_on} --epochs {2 * n_epochs}"
            )

    def _say_best(self, history: History) -> None:
        """With early stopping, say where it stopped and which epoch was the best."""
        for stopping in self.callbacks:
            if isinstance(stopping, EarlyStopping):
                if history.n_epochs < self.args.epochs:
                    print(f"stopped early, after epoch {history.n_epochs} of {self.args.epochs}")
                print(
                    f"best    epoch {stopping.best_epoch}, validation ELBO {stopping.best:.2f}: "
                    "the model has its weights"
                )

    def _evaluate(self) -> None:
        """Evaluate on the test set, where there is one."""
        if not len(self.dataset.test):
            print("no test rows: the model is not evaluated")
            return
        with np.errstate(over="ignore", invalid="ignore"):
            result = evaluate(
                self.vae,
                self.dataset.test,
                seed=self.args.seed,
                binarize=self.args.binarize,
                labels=labels_for(self.vae, self.dataset, self.dataset.test_labels),
            )
        if not np.isfinite(result.loss):  # of an update that was too large, and the last
            raise ArithmeticError(
                f"the training has diverged: the loss of the test rows is {result.loss}; try a "
                "smaller --learning-rate, or --clip-norm (the model of the last epoch is in "
                f"{self.run.folder})"
            )
        self.run.write_test(vars(result))
        print(
            f"test    ELBO {result.elbo:.2f}  reconstruction {result.reconstruction:.2f}  "
            f"KL {result.kl:.2f} nats  active units {result.active_units}/{result.n_latent}  "
            f"data {result.variant}"
        )

    def _last_words(self) -> str:
        """What to say after Ctrl-C; takes an empty run folder away."""
        run, progress, n_epochs = self.run, self.vae.last_run, self.args.epochs
        if progress is None or not self._has_begun:
            run.discard_if_empty(is_worthless=True)
            if self.args.resume is not None:
                return f"stopped: go on with  {run.command_to_go_on}"
            return "stopped before the first epoch was over: nothing saved"
        run.keep()
        n_done = progress.counts.n_epochs
        is_trained = n_done == n_epochs or self.vae.stop_training
        where = f"after epoch {n_done}" if is_trained else f"in epoch {n_done + 1}"
        return f"stopped {where} of {n_epochs}: {self._advice()}"

    def _advice(self, condition: str = "") -> str:
        """How to go on with the run, unless the disk did not take what that needs."""
        if self.run.can_be_gone_on_with:
            return f"{condition}go on with  {self.run.command_to_go_on}"
        return f"it cannot be gone on with: {self.run.folder} has no checkpoint"


def fit(
    vae: VAE,
    args: Namespace,
    rows: np.ndarray,
    validation: Any,
    labels: np.ndarray | None,
    ranks: Ranks,
    **own: Any,
) -> History:
    """Train a model as the options say, on all ranks alike; `own` is what rank 0 has beside."""
    return vae.fit(
        rows,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=plan.learning_rate(args),
        optimizer=args.optimizer,
        beta=plan.beta(args, len(rows)),
        labels=labels,
        validation=validation,
        clip_norm=args.clip_norm,
        binarize=args.binarize,
        objective=args.objective,
        n_samples=args.n_samples,
        free_bits=args.free_bits,
        n_threads=threads(args),
        comm=ranks.comm if ranks.size > 1 else None,
        n_blocks=args.blocks,
        **own,
    )


def _default_epochs() -> int:
    text = os.environ.get(EPOCHS_VARIABLE)
    if text is None:
        return DEFAULT_EPOCHS
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"the environment variable {EPOCHS_VARIABLE} must be a whole number of at least 1; "
            f"got {text!r}"
        )
    return int(text)


def _split(
    dataset: Dataset, n_validation: int | None, is_conditional: bool
) -> tuple[np.ndarray, Any]:
    """Training rows, and the last `n_validation` of them apart, and their labels if those count."""
    if n_validation is None:
        return dataset.train, None
    n_rows = len(dataset.train) - n_validation
    if n_rows < 1:
        raise ValueError(
            f"--validation must leave at least one of the {len(dataset.train):,} training rows; "
            f"got {n_validation:,}"
        )
    labels = dataset.train_labels
    if labels is not None and labels[0] != labels[-1] and (labels[1:] >= labels[:-1]).all():
        warnings.warn(
            "the training rows are in the order of their labels, as those of folders of classes: "
            f"the last {n_validation:,}, which --validation holds out, are of other classes than "
            "most; shuffle the rows, in a .npz file, for figures that mean something",
            UserWarning,
            stacklevel=2,
        )
    held_out = dataset.train[n_rows:]
    if is_conditional and labels is not None:
        return dataset.train[:n_rows], (held_out, labels[n_rows:])
    return dataset.train[:n_rows], held_out
