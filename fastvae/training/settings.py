"""How a fit is to be done: the arguments of `VAE.fit`, checked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvae import checks
from fastvae.distributed.spread import Spread
from fastvae.files.checkpoints import previous_of
from fastvae.files.writing import check_file
from fastvae.training import optimizers, schedules
from fastvae.training.cadence import Cadence, cadence
from fastvae.training.callbacks import resolve as resolve_callbacks
from fastvae.training.hooks import CallbackLike, EpochHook
from fastvae.training.names import OptimizerName
from fastvae.training.objectives import PLAIN, Objective

MOST_EPOCHS = 2**31 - 1
_PLAIN = Spread()


@dataclass(frozen=True, init=False)
class Settings:
    """Everything that a fit goes by but the model and the rows.

    `VAE.fit` documents what is given, and its errors; it has checked `binarize`, which depends on
    the likelihood. A `clip_norm` of 0 stands for none;
    `listeners` are the callbacks as objects, the display of progress among them. `checkpoint` is
    where and when checkpoints are written, if they are; `resume` is False, True or a checkpoint.
    """

    epochs: int
    batch_size: int
    schedule: schedules.Schedule
    beta: float | schedules.Schedule | None
    optimizer: optimizers.Optimizer
    clip_norm: float
    binarize: str | None
    objective: Objective
    listeners: Sequence[CallbackLike]
    checkpoint: tuple[Path, Cadence] | None
    resume: bool | Path
    verbose: bool
    n_threads: int | None
    spread: Spread

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float | schedules.Schedule,
        beta: float | schedules.Schedule | None,
        optimizer: OptimizerName | optimizers.Optimizer,
        clip_norm: float | None,
        binarize: str | None,
        objective: Objective = PLAIN,
        callbacks: Sequence[CallbackLike | EpochHook],
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: Any,
        resume: bool | str | os.PathLike[str] | None,
        verbose: bool,
        n_threads: int | None,
        spread: Spread = _PLAIN,
    ) -> None:
        is_first = spread.ranks.is_first
        listeners = resolve_callbacks(callbacks, verbose and is_first)
        vars(self).update(
            epochs=checks.integer(epochs, "epochs", maximum=MOST_EPOCHS),
            batch_size=checks.integer(batch_size, "batch_size"),
            schedule=schedules.resolve(learning_rate),
            beta=beta if beta is None or callable(beta) else checks.number(beta, "beta"),
            optimizer=optimizers.resolve(optimizer),
            clip_norm=(
                0.0 if clip_norm is None else checks.number(clip_norm, "clip_norm", positive=True)
            ),
            binarize=binarize,
            objective=objective,
            listeners=listeners if is_first else [],
            checkpoint=_checkpoint(checkpoint if is_first else None, checkpoint_every),
            resume=_resume(resume),
            verbose=verbose and is_first,
            n_threads=n_threads,
            spread=spread,
        )


def _checkpoint(path: Any, every: Any) -> tuple[Path, Cadence] | None:
    """Where and when checkpoints are written.

    Raises
    ------
    TypeError, ValueError
        If one of the two is not what it must be.
    OSError
        If nothing can be written there.
    """
    when = cadence(every)
    if path is None:
        return None
    _check_path(path, "checkpoint")
    if Path(path).is_dir():
        raise IsADirectoryError(f"checkpoint must be a file; {path} is a folder")
    check_file(previous_of(path))
    return check_file(path), when


def _resume(given: Any) -> bool | Path:
    if given is None or isinstance(given, bool):
        return bool(given)
    _check_path(given, "resume", "True or ")
    return Path(given)


def _check_path(value: Any, name: str, more: str = "") -> None:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise TypeError(f"{name} must be {more}the path of a file; got {value!r}")
