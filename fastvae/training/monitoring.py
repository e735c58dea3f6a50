"""Callbacks that watch one figure: early stopping, and a learning rate that falls on plateaus."""

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastvae import checks
from fastvae.checks.quoting import quoted
from fastvae.files.storage import RAW_SIGMA, named_arrays
from fastvae.training.callbacks import Callback
from fastvae.training.history import Figures, History
from fastvae.training.names import FigureName
from fastvae.training.patience import Course

_MORE_IS_BETTER = ("bound", "elbo", "active_units", "samples_per_second")
_LESS_IS_BETTER = ("loss", "reconstruction", "kl", "seconds")
_VALIDATION = "val_"
_WEIGHTS = "best."


class Monitor:
    """The best value of one figure so far, and how many epochs ago that was.

    Parameters
    ----------
    name : str
        A key of the history. More is better of the ELBO, active units and samples per second, less
        of the others.
    min_delta : float
        By how much more than this a value must be better than the best one to take its place.

    Attributes
    ----------
    best : float or None
        The best value; None before the first.
    best_epoch : int
        Its epoch, 0 before the first.
    epoch : int
        The last epoch seen.
    waited : int
        Epochs since then without a better one, or since `waited` was set to 0.
    """

    def __init__(self, name: str, min_delta: float = 0.0) -> None:
        if not isinstance(name, str):
            raise TypeError(f"monitor must be a key of the history; got {name!r}")
        self.name = name
        self.min_delta = checks.number(min_delta, "min_delta")
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.best: float | None = None
        self.best_epoch = self.epoch = self.waited = 0

    def improves(self, figures: Figures) -> bool:
        """Whether the epoch's figure is better than the best one.

        Raises
        ------
        ValueError
            If it is none of the figures; they are named.
        """
        known = [name for name in figures if _base(name) in _MORE_IS_BETTER + _LESS_IS_BETTER]
        advice = ""
        if self.name.startswith(_VALIDATION) and f"{_VALIDATION}elbo" not in figures:
            advice = "; figures of validation rows need fit(..., validation=...)"
        try:
            value = float(figures[checks.choice(self.name, known, "monitor")])
        except ValueError as error:
            raise ValueError(f"{error}{advice}") from None
        if self.best is None:
            return True
        gain = value - self.best if _base(self.name) in _MORE_IS_BETTER else self.best - value
        return gain > self.min_delta

    def take(self, epoch: int, figures: Figures, is_better: bool) -> None:
        """Count the epoch; where it is better, it is the best one from now on."""
        self.epoch = epoch
        self.waited += 1
        if is_better:
            self.best, self.best_epoch, self.waited = float(figures[self.name]), epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """All that it knows."""
        names = ("name", "best", "best_epoch", "epoch", "waited")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned.

        Raises
        ------
        ValueError
            If it is that of another figure.
        """
        if state["name"] != self.name:
            raise ValueError(
                f"the run was begun with monitor={quoted(state['name'])}; got {self.name!r} to go "
                "on with"
            )
        best = state["best"]
        self.best = None if best is None else checks.number(best, "best", minimum=-math.inf)
        for name in ("best_epoch", "epoch", "waited"):
            setattr(self, name, checks.count(state[name], name))


class MonitoringCallback(Callback):
    """A callback with a `monitor`; a new `fit` begins it anew, a resumed one takes it up."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._is_resumed = False

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Begin anew, unless the run is a resumed one."""
        # A resumption that was given up may have left its state here; a new run has no history.
        if not (self._is_resumed and vae.history):
            self.monitor.reset()
        self._is_resumed = False

    def state_dict(self) -> dict[str, Any]:
        """What the monitor knows."""
        return self.monitor.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, for the next `on_train_begin`."""
        self.monitor.load_state_dict(state)
        self._is_resumed = True


class EarlyStopping(MonitoringCallback):
    """Ends the training when a figure has stopped to improve.

    A resumed run that had stopped stops again, unless it is given more patience.

    Parameters
    ----------
    monitor : str
        The figure, a key of the history. More is better of the ELBO, active units and samples per
        second, less of the others.
    patience : int
        After so many epochs without improvement the training ends.
    min_delta : float
        What is better than the best by no more than this is no improvement.
    restore_best : bool
        Leave the model with the weights of the best epoch, whether the training was stopped or
        went on to its last epoch; not where an exception ends it. `vae.epochs`, `vae.updates` and
        the history are those of the whole training.

    Attributes
    ----------
    best : float or None
        The best figure so far.
    best_epoch : int
        Its epoch, counted from 1; 0 before the first.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be; that there is no figure of this name shows at the
        end of the first epoch.
    """

    def __init__(
        self,
        monitor: FigureName = "val_elbo",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        super().__init__(Monitor(monitor, min_delta))
        self.patience = checks.integer(patience, "patience")
        self.restore_best = bool(restore_best)
        self._weights: dict[str, NDArray[Any]] = {}
        self._course = Course()
        self._n_epochs = 0

    def __repr__(self) -> str:
        return (
            f"EarlyStopping({self.monitor.name!r}, patience={self.patience}, "
            f"min_delta={self.monitor.min_delta}, restore_best={self.restore_best})"
        )

    @property
    def best(self) -> float | None:
        """The best figure so far."""
        return self.monitor.best

    @property
    def best_epoch(self) -> int:
        """The epoch of the best figure, counted from 1; 0 before the first."""
        return self.monitor.best_epoch

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Begin anew, or stop at once where a resumed run has no patience left."""
        super().on_train_begin(vae, n_epochs, n_rows)
        self._course.begin()
        self._n_epochs = n_epochs
        if self.monitor.best is None:
            self._weights = {}
        if self._weights and _shapes(self._weights) != _shapes(_weights_of(vae)):
            raise ValueError("the best weights, that the run kept, are those of another model")
        self._stop_if_in_vain(vae)

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Look at the figure; keep the weights, or stop the training."""
        is_better = self.monitor.improves(figures)
        self.monitor.take(epoch, figures, is_better)
        if is_better and self.restore_best:
            self._weights = _weights_of(vae)
        self._stop_if_in_vain(vae)

    def on_train_end(self, vae: Any, history: History) -> None:
        """Give the model the weights of the best epoch."""
        is_over = vae.stop_training or self.monitor.epoch == self._n_epochs
        if self._weights and is_over and not self._course.is_failing:
            _set_weights(vae, self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What the monitor knows, and the best weights, by their names in model files."""
        weights = {f"{_WEIGHTS}{name}": array for name, array in self._weights.items()}
        return super().state_dict() | weights

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        super().load_state_dict(state)
        self._weights = {
            name.removeprefix(_WEIGHTS): checks.finite(array, name)
            for name, array in state.items()
            if name.startswith(_WEIGHTS) and self.restore_best
        }

    def _stop_if_in_vain(self, vae: Any) -> None:
        if self.monitor.waited >= self.patience:
            vae.stop_training = True


class ReduceOnPlateau(MonitoringCallback):
    """Multiplies the learning rate when a figure has stopped to improve.

    It does so by `vae.learning_rate_factor`, so that it goes with every schedule.

    Parameters
    ----------
    monitor : str
        The figure, a key of the history. More is better of the ELBO, active units and samples per
        second, less of the others.
    factor : float
        What the rate is multiplied by, in (0, 1).
    patience : int
        After so many epochs without improvement; then counting begins anew.
    min_delta : float
        What is better than the best by no more than this is no improvement.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be; that there is no figure of this name shows at the
        end of the first epoch.
    """

    def __init__(
        self,
        monitor: FigureName = "val_elbo",
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
    ) -> None:
        super().__init__(Monitor(monitor, min_delta))
        self.factor = checks.number(factor, "factor", below=1.0, positive=True)
        self.patience = checks.integer(patience, "patience")

    def __repr__(self) -> str:
        return (
            f"ReduceOnPlateau({self.monitor.name!r}, factor={self.factor}, "
            f"patience={self.patience}, min_delta={self.monitor.min_delta})"
        )

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Look at the figure; lower the rate where it is time to."""
        self.monitor.take(epoch, figures, self.monitor.improves(figures))
        if self.monitor.waited >= self.patience:
            self.monitor.waited = 0
            vae.learning_rate_factor *= self.factor


def _base(name: str) -> str:
    """A figure's name without the mark of validation rows."""
    return name.removeprefix(_VALIDATION)


def _weights_of(vae: Any) -> dict[str, NDArray[Any]]:
    """All that is trained, by its names in model files: copies, whatever the instruction set."""
    return named_arrays(vae.named_layers(), vae.network.raws)


def _shapes(weights: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in weights.items()}


def _set_weights(vae: Any, weights: Mapping[str, NDArray[Any]]) -> None:
    """Give the layers and sigma what is kept for them."""
    for name, layer in vae.named_layers().items():
        layer.weight = weights[f"{name}.weight"]
        layer.bias = weights[f"{name}.bias"]
    vae.network.take_raws(weights.get(RAW_SIGMA))
