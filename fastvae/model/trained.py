"""What a model keeps of its training: counts, the last history, its card, where the last run
ended."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.checks import plain
from fastvae.training.history import History
from fastvae.training.progress import Progress


class Trained:
    """Base of what `fit` trains; see `VAE` for the attributes."""

    def __init__(self) -> None:
        self.epochs = 0
        self._update_count = np.zeros(1, np.int64)
        self._learning_rate_factor = 1.0
        self._last_run: Progress | None = None
        self.stop_training = False
        self.history: History | None = None
        self.card = {}

    @property
    def card(self) -> dict[str, Any]:
        """The model card: plain JSON data, saved with the model. Assigning one copies it."""
        return self._card

    @card.setter
    def card(self, value: Mapping[str, Any]) -> None:
        self._card = plain.mapping(value, "card")

    @property
    def epochs(self) -> int:
        """How many epochs the model has been trained for."""
        return self._epochs

    @epochs.setter
    def epochs(self, value: int) -> None:
        self._epochs = checks.count(value, "epochs")

    @property
    def updates(self) -> int:
        """How many updates the model has been trained for, counted by the kernels themselves."""
        return int(self.update_count[0])

    @updates.setter
    def updates(self, value: int) -> None:
        self.update_count[0] = checks.count(value, "updates")

    @property
    def update_count(self) -> NDArray[np.int64]:
        """The number of updates where the kernels count it, shape (1,)."""
        return self._update_count

    @property
    def learning_rate_factor(self) -> float:
        """What every learning rate is multiplied by; `fit` begins with 1."""
        return self._learning_rate_factor

    @learning_rate_factor.setter
    def learning_rate_factor(self, value: float) -> None:
        self._learning_rate_factor = checks.number(value, "learning_rate_factor")

    @property
    def last_run(self) -> Progress | None:
        """Where the last `fit` ended, for `resume=True`; copies, pickles and files are without."""
        return self._last_run

    @last_run.setter
    def last_run(self, value: Progress | None) -> None:
        self._last_run = value
