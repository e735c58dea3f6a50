"""``fastvae train``: from a data set to a run folder."""

import os
import platform
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from fastvae import VAE, Dataset, __version__, kernels
from fastvae.commands.inputs import load_training_data, rows_to_show
from fastvae.commands.interrupt import interruptible
from fastvae.commands.runs import Run, check_free
from fastvae.commands.train_options import DEFAULT_EPOCHS, EPOCHS_VARIABLE
from fastvae.training import schedules
from fastvae.training.callbacks import Callback
from fastvae.training.evaluation import evaluate
from fastvae.training.history import History

_N_RECONSTRUCTIONS = 20


def train(args: Namespace) -> int:
    """Train a model as the arguments say; return the exit code.

    Raises
    ------
    ValueError, OSError
        If the arguments, the data or the output folder are not usable; nothing is left behind.
    FloatingPointError
        If the training diverges; the model of the last good epoch, if there is one, stays.
    """
    args.epochs = args.epochs or _default_epochs()
    learning_rate = _learning_rate(args)
    if args.output is not None:
        check_free(args.output)  # create says so too, but only after the data are loaded
    dataset = load_training_data(args)
    rows, validation = _split(dataset, args.validation)
    vae = _new_model(args, dataset)
    run = Run.create(Path(dataset.name).stem, args.output)
    listeners: list[Callback] = [run]
    if args.animation:
        from fastvae.plots.animation import TrainingFilm

        listeners.append(TrainingFilm(run.folder / "samples.gif", seed=args.seed))
    try:
        settings = _settings(args, dataset)
        run.write_settings(settings)
        vae.card = {name: value for name, value in settings.items() if name != "data_dir"}
        if not args.quiet:
            _announce(args, dataset, len(rows), vae, run)
        with interruptible(lambda: _last_words(run)):
            history = vae.fit(
                rows,
                epochs=args.epochs,
                batch_size=args.batch_size,
                learning_rate=learning_rate,
                optimizer=args.optimizer,
                validation=validation,
                clip_norm=args.clip_norm,
                callbacks=listeners,
                verbose=not args.quiet,
                n_threads=args.threads,
            )
            _finish(args, dataset, vae, run, history)
    except FloatingPointError as error:
        if run.n_saved == 0:
            raise
        raise FloatingPointError(
            f"{error}; the model of the last good epoch is in {run.folder}"
        ) from error
    except KeyboardInterrupt:  # main reports it
        raise KeyboardInterrupt(_last_words(run)) from None
    finally:
        run.discard_if_empty()
    return 0


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


def _learning_rate(args: Namespace) -> schedules.Schedule:
    if args.final_learning_rate is not None and args.schedule != "cosine":
        raise ValueError(
            f"--final-learning-rate belongs to --schedule cosine; got --schedule {args.schedule}"
        )
    kinds: dict[str, Callable[[float], schedules.Schedule]] = {
        "constant": schedules.Constant,
        "cosine": lambda rate: schedules.Cosine(rate, args.final_learning_rate or 0.0),
        "step": schedules.Step,
    }
    schedule = kinds[args.schedule](args.learning_rate)
    if args.warmup_steps is not None:
        schedule = schedules.Warmup(schedule, args.warmup_steps)
    return schedule


def _split(dataset: Dataset, n_validation: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Training rows, and the last `n_validation` of them apart."""
    if n_validation is None:
        return dataset.train, None
    n_rows = len(dataset.train) - n_validation
    if n_rows < 1:
        raise ValueError(
            f"--validation must leave at least one of the {len(dataset.train):,} training rows; "
            f"got {n_validation:,}"
        )
    return dataset.train[:n_rows], dataset.train[n_rows:]


def _new_model(args: Namespace, dataset: Dataset) -> VAE:
    return VAE.from_sizes(
        n_features=dataset.train.shape[1],
        hidden=tuple(args.hidden),
        n_latent=args.latent,
        activation=args.activation,
        output_activation=args.output_activation,
        likelihood=args.likelihood,
        beta=args.beta,
        reconstruction_weight=args.reconstruction_weight,
        seed=args.seed,
    )


def _settings(args: Namespace, dataset: Dataset) -> dict[str, Any]:
    """Everything that the run depends on, and the versions it ran with."""
    left_out = ("run", "output", "quiet", "no_pictures", "animation", "threads", "shipped")
    return {name: value for name, value in vars(args).items() if name not in left_out} | {
        "dataset": dataset.name,
        "fastvae": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "instruction_set": kernels.isa(),
    }


def _announce(args: Namespace, dataset: Dataset, n_rows: int, vae: VAE, run: Run) -> None:
    sizes = [dataset.train.shape[1], *args.hidden, args.latent]
    shape = "-".join(str(size) for size in sizes + sizes[-2::-1])
    held_out = f", {args.validation:,} held out" if args.validation else ""
    print(
        f"data    {dataset.name}: {n_rows:,} training{held_out}, {len(dataset.test):,} test rows\n"
        f"model   {shape}, {args.likelihood}, {vae.n_parameters:,} parameters\n"
        f"output  {run.folder}",
        flush=True,
    )


def _finish(args: Namespace, dataset: Dataset, vae: VAE, run: Run, history: History) -> None:
    """Evaluate on the test set, draw the pictures, and say so."""
    if len(dataset.test):
        with np.errstate(over="ignore", invalid="ignore"):
            result = evaluate(vae, dataset.test, seed=args.seed)
        if not np.isfinite(result.loss):  # of an update that was too large, and the last
            raise ArithmeticError(
                f"the training has diverged: the loss of the test rows is {result.loss}; try a "
                "smaller --learning-rate, or --clip-norm (the model of the last epoch is in "
                f"{run.folder})"
            )
        run.write_test(vars(result))
        print(
            f"test    ELBO {result.elbo:.2f}  reconstruction {result.reconstruction:.2f}  "
            f"KL {result.kl:.2f} nats  active units {result.active_units}/{result.n_latent}"
        )
    else:
        print("no test rows: the model is not evaluated")
    if not args.no_pictures:
        rows, _ = rows_to_show(dataset)
        run.draw(vae, rows[:_N_RECONSTRUCTIONS], history, args.seed)
    print(
        f"saved   {', '.join(sorted(path.name for path in run.folder.iterdir()))} in {run.folder}"
    )


def _last_words(run: Run) -> str:
    """What to say after Ctrl-C; takes an empty run folder away."""
    run.discard_if_empty()
    if run.n_saved == 0:
        return "stopped before the first epoch was over: nothing saved"
    epochs = "1 epoch" if run.n_saved == 1 else f"{run.n_saved} epochs"
    return f"stopped after {epochs}: the model and its history are saved in {run.folder}"
