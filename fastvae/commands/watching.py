"""The callbacks of ``fastvae train``: what keeps its run folder, and what its options ask for."""

from __future__ import annotations

from argparse import Namespace

from fastvae.commands.runs import HISTORY, SAMPLES, Run
from fastvae.model.vae import VAE
from fastvae.training.callbacks import Callback
from fastvae.training.loggers import CSVLogger, JSONLogger
from fastvae.training.model_saving import Checkpoint
from fastvae.training.monitoring import EarlyStopping, ReduceOnPlateau
from fastvae.training.tensorboard import TensorBoard

_BEST = "best.safetensors"


class Watchers:
    """The callbacks of a run.

    Parameters
    ----------
    args : Namespace
        The options of ``fastvae train``.
    run : Run

    Attributes
    ----------
    stopping : EarlyStopping or None
    all : list of Callback
        In the order that `fit` is to have: early stopping comes first, so that the others see at
        the end the weights that it has restored.

    Raises
    ------
    OSError
        If something cannot be written where it is to be.
    ValueError
        If what an option needs is not installed.
    """

    def __init__(self, args: Namespace, run: Run) -> None:
        self.stopping: EarlyStopping | None = None
        self.all: list[Callback] = []
        if args.early_stopping is not None:
            self.stopping = EarlyStopping(patience=args.early_stopping)
            self.all.append(self.stopping)
        if args.reduce_on_plateau is not None:
            self.all.append(ReduceOnPlateau(patience=args.reduce_on_plateau))
        self.all += [run, Checkpoint(run.model_path)]
        if args.save_best:
            self.all.append(Checkpoint(run.folder / _BEST, best_only=True))
        self._logs: list[CSVLogger | JSONLogger] = [CSVLogger(run.folder / HISTORY)]
        if args.csv is not None:
            self._logs.append(CSVLogger(args.csv))
        if args.json is not None:
            self._logs.append(JSONLogger(args.json))
        self.all += self._logs
        if args.tensorboard is not None:
            self.all.append(_tensorboard(args.tensorboard))
        if args.sample_grid is not None:
            from fastvae.plots.sample_grid import SampleGrid

            folder = run.folder / SAMPLES
            self.all.append(SampleGrid(folder, args.sample_grid, seed=args.seed))
        if args.animation:
            from fastvae.plots.animation import TrainingFilm

            self.all.append(TrainingFilm(run.folder / "samples.gif", seed=args.seed))

    def write_logs(self, vae: VAE) -> None:
        """Write the logs of a run that had nothing left to train: an earlier try may have failed.

        Raises
        ------
        OSError
            If one cannot be written.
        """
        assert vae.history is not None
        for log in self._logs:
            log.on_epoch_end(vae, vae.history.n_epochs, {})
            log.on_train_end(vae, vae.history)


def _tensorboard(folder: str) -> TensorBoard:
    try:
        return TensorBoard(folder)
    except ImportError as error:
        raise ValueError(f"--tensorboard cannot be used: {error}") from error
