"""The callbacks of ``fastvae train``: what keeps its run folder, and what its options ask for."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from fastvae.commands.runs import BEST, FILM, HISTORY, SAMPLES, Run
from fastvae.files.writing import check_file
from fastvae.training.callbacks import Callback
from fastvae.training.loggers import CSVLogger, JSONLogger
from fastvae.training.model_saving import Checkpoint
from fastvae.training.monitoring import EarlyStopping, ReduceOnPlateau
from fastvae.training.tensorboard import TensorBoard


def check_places(args: Namespace) -> None:
    """Raise what `watchers` would for files and folders that can be looked at before the run is.

    Raises
    ------
    OSError
        If something cannot be written where it is to be.
    ValueError
        If what an option needs is not installed.
    """
    for path in (args.csv, args.json):
        if path is not None and not _is_in_run(path, args):
            check_file(path)
    if args.tensorboard is not None and Path(args.tensorboard).is_file():
        raise ValueError(f"--tensorboard must be a folder; {args.tensorboard} is a file")
    if args.tensorboard is not None and not _is_in_run(args.tensorboard, args):
        _tensorboard(args.tensorboard)


def _is_in_run(path: str, args: Namespace) -> bool:
    """Whether it is to be in the folder of a new run, which may have to be made first."""
    return args.output is not None and Path(args.output).absolute() in Path(path).absolute().parents


def watchers(args: Namespace, run: Run) -> list[Callback]:
    """The callbacks of a run, in the order that `fit` is to have.

    Early stopping comes first: at the end the others see the weights that it has restored.

    Parameters
    ----------
    args : Namespace
        The options of ``fastvae train``.
    run : Run

    Raises
    ------
    OSError
        If something cannot be written where it is to be.
    ValueError
        If what an option needs is not installed.
    """
    made: list[Callback] = []
    if args.early_stopping is not None:
        made.append(EarlyStopping(patience=args.early_stopping))
    if args.reduce_on_plateau is not None:
        made.append(ReduceOnPlateau(patience=args.reduce_on_plateau))
    made += [run, Checkpoint(run.model_path), CSVLogger(run.folder / HISTORY)]
    if args.save_best:
        made.append(Checkpoint(run.folder / BEST, best_only=True))
    if args.csv is not None:
        made.append(CSVLogger(args.csv))
    if args.json is not None:
        made.append(JSONLogger(args.json))
    if args.tensorboard is not None:
        made.append(_tensorboard(args.tensorboard))
    if args.sample_grid is not None:
        from fastvae.plots.sample_grid import SampleGrid

        made.append(SampleGrid(run.folder / SAMPLES, args.sample_grid, seed=args.seed))
    if args.animation:
        from fastvae.plots.animation import TrainingFilm

        made.append(TrainingFilm(run.folder / FILM, seed=args.seed))
    return made


def _tensorboard(folder: str) -> TensorBoard:
    try:
        return TensorBoard(folder)
    except ImportError as error:
        raise ValueError(f"--tensorboard cannot be used: {error}") from error
