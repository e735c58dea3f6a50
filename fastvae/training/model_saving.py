"""The callback that saves the model as the training goes on."""

import os
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastvae.files.writing import check_file
from fastvae.training.history import Figures, History
from fastvae.training.monitoring import Monitor, MonitoringCallback
from fastvae.training.names import FigureName
from fastvae.training.patience import PatientWriter


class Checkpoint(MonitoringCallback):
    """Saves the model after each epoch, or whenever it is better than ever.

    It saves models, which `fastvae.load` takes. To go on with a training as if it had not been
    interrupted takes a checkpoint of the run: see `fit(..., checkpoint=...)`.

    A save that fails is a RuntimeWarning, and the next epoch tries again; only if the last one has
    failed, too, the training ends with its OSError. An old file stays whole.

    Parameters
    ----------
    path : path
        The model file. Its name may hold the epoch and figures of the history, in the syntax of
        `str.format`: ``model-{epoch:03d}-{val_elbo:.2f}.safetensors``. Else each save replaces the
        one before.
    monitor : str, optional
        With `best_only`, the figure that must be better than in all epochs saved before, "val_elbo"
        by default. More is better of the ELBO, active units and samples per second, less of the
        others.
    best_only : bool
        Save only then.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written.
    TypeError, ValueError
        If an argument is not what it must be; that there is no figure of a name shows at the end of
        the first epoch.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: FigureName | None = None,
        best_only: bool = False,
    ) -> None:
        super().__init__(Monitor("val_elbo" if monitor is None else monitor))
        self.path = check_file(path)
        self.best_only = bool(best_only)
        self._fields = _fields(self.path.name)
        self.writer = PatientWriter()

    def __repr__(self) -> str:
        best = f", {self.monitor.name!r}, best_only=True" if self.best_only else ""
        return f"Checkpoint({os.fspath(self.path)!r}{best})"

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Begin anew, unless the run is a resumed one."""
        super().on_train_begin(vae, n_epochs, n_rows)
        self.writer.begin()

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Save the model, where it is time to."""
        path = self._path_of({"epoch": epoch} | dict(figures))
        is_better = self.best_only and self.monitor.improves(figures)
        is_saved = (is_better or not self.best_only) and self.writer.write(
            path, lambda: vae.save(path)
        )
        if self.best_only:  # what could not be saved is not the best one that there is
            self.monitor.take(epoch, figures, is_better and is_saved)

    def on_train_end(self, vae: Any, history: History) -> None:
        """Raise the OSError of the last save, if it failed."""
        self.writer.finish()

    def state_dict(self) -> dict[str, Any]:
        """What the monitor knows, if only the best models are saved."""
        return super().state_dict() if self.best_only else {}

    def _path_of(self, values: Mapping[str, float]) -> Path:
        """The path, with values in place of their names."""
        unknown = [name for name in self._fields if name not in values]
        if unknown:
            raise ValueError(
                f"the name of {self.path} may hold {', '.join(map(repr, values))}; "
                f"got {unknown[0]!r}"
            )
        try:
            return self.path.with_name(self.path.name.format(**values))
        except (LookupError, ValueError) as error:
            raise ValueError(f"the name of {self.path} cannot be filled in: {error}") from error


def _fields(name: str) -> list[str]:
    """The names in braces in the name of a file."""
    try:
        return [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise ValueError(f"the name {name!r} is not in the syntax of str.format: {error}") from None
