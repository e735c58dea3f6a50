"""How a fit is to be done: the arguments of `VAE.fit`, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastvae import checks
from fastvae.training import optimizers, schedules
from fastvae.training.callbacks import Callback
from fastvae.training.callbacks import resolve as resolve_callbacks


@dataclass(frozen=True, init=False)
class Settings:
    """Everything that a fit goes by but the model and the rows.

    `VAE.fit` documents what is given, and its errors. A `clip_norm` of 0 stands for none;
    `listeners` are the callbacks as objects, the display of progress among them.
    """

    epochs: int
    batch_size: int
    schedule: schedules.Schedule
    optimizer: optimizers.Optimizer
    clip_norm: float
    listeners: Sequence[Callback]
    verbose: bool
    n_threads: int | None

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float | schedules.Schedule,
        optimizer: str | optimizers.Optimizer,
        clip_norm: float | None,
        callbacks: Sequence[Any],
        verbose: bool,
        n_threads: int | None,
    ) -> None:
        vars(self).update(
            epochs=checks.integer(epochs, "epochs"),
            batch_size=checks.integer(batch_size, "batch_size"),
            schedule=schedules.resolve(learning_rate),
            optimizer=optimizers.resolve(optimizer),
            clip_norm=(
                0.0 if clip_norm is None else checks.number(clip_norm, "clip_norm", positive=True)
            ),
            listeners=resolve_callbacks(callbacks, verbose),
            verbose=verbose,
            n_threads=n_threads,
        )
