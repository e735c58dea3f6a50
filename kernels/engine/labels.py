"""The regions of conditional networks: labels beside features and latents, and priors of classes.

What such a region does stands in `label_tasks`; where it comes in a program, in `passes`.
"""

from typing import Any

import numpy as np

from .label_tasks import columns_task, place_task, posterior_task, prior_gradient_task
from .layout import ACTIVE, INPUT, LATENT, LATENT_GRADIENT, SCALED, Architecture
from .programs import from_column, from_row, new_region
from .records import BACKWARD_LATENT, FORWARD, GATHER, ROWS
from .regions import task_address


class Labels:
    """The regions of a network's labels; of networks without classes there are none.

    Labels are source 1 of the data. As one-hot columns they stand behind the features in INPUT,
    and behind the latents in what the decoder reads.
    """

    def __init__(self, network: Architecture, places: np.ndarray, dtype: np.dtype) -> None:
        self._network, self._places, self._dtype = network, places, dtype
        self.decoded = SCALED if network.has_prior else LATENT
        """The matrix that the decoder reads: latents, and behind them labels."""
        self.one_hot = from_column(places[INPUT], network.n_features)
        """The matrix of the labels of a batch."""

    def gather(self, place: int, first_column: int) -> np.ndarray:
        """The one-hot columns of the labels, from a column of a matrix on."""
        target = from_column(self._places[place], first_column)
        return new_region(GATHER, n_in=self._network.n_classes, data_source=1, target=target)

    def gather_latents(self) -> list[np.ndarray]:
        """Latents as data, and their labels behind them."""
        n_latent = self._network.n_latent
        gather = [new_region(GATHER, n_in=n_latent, target=self._places[self.decoded])]
        if self._network.n_classes:
            gather.append(self.gather(self.decoded, n_latent))
        return gather

    def latents(
        self, source: np.ndarray, first_row: int = 0, *, is_copied: bool = False
    ) -> list[np.ndarray]:
        """What the decoder reads, of latents that stand in a matrix.

        Parameters
        ----------
        source : record of MATRIX
        first_row : int
            The first of the rows that `Passes.encoding` has left.
        is_copied : bool
            Whether the latents stand elsewhere than the decoder reads them.
        """
        network = self._network
        if not network.n_classes:
            return []
        target = self._places[self.decoded]
        beside = from_column(target, network.n_latent)
        regions = [self._copy(from_row(self.one_hot, first_row), beside, network.n_classes)]
        if network.has_prior:
            regions.insert(0, self._of_prior(place_task, source, first_row))
        elif is_copied:
            regions.insert(0, self._copy(source, target, network.n_latent))
        return regions

    def prior_layer(self) -> np.ndarray:
        """Mean and log_var of the prior of each row's class."""
        layer = self._network.prior
        return new_region(
            FORWARD,
            self._network.table[layer],
            source=self.one_hot,
            target=self._places[ACTIVE + layer],
        )

    def posterior(self, head: np.ndarray) -> np.ndarray:
        """The posterior of the latents, of that on the scale of the prior, for the caller."""
        region = self._of_prior(posterior_task, head)
        region["n_out"] = self._network.n_latent
        return region

    def backward_prior(self, slopes: int) -> np.ndarray:
        """The gradient of the prior's mean and log_var, in the matrix `slopes`, from that of the
        latents, which becomes that on the scale of the prior."""
        return new_region(
            BACKWARD_LATENT,
            task_address=task_address(self._dtype, prior_gradient_task),
            n_in=self._network.n_latent,
            source=self._places[ACTIVE + self._network.prior],
            target=self._places[slopes],
            hidden=self._places[LATENT],
            delta=self._places[LATENT_GRADIENT],
        )

    def _copy(self, source: np.ndarray, target: np.ndarray, n_columns: int) -> np.ndarray:
        """Columns of each row of the batch, copied."""
        address = task_address(self._dtype, columns_task)
        return new_region(ROWS, task_address=address, n_in=n_columns, source=source, target=target)

    def _of_prior(self, tasks: Any, source: np.ndarray, first_row: int = 0) -> np.ndarray:
        """What is on the scale of the prior, brought to that of the latents."""
        return new_region(
            ROWS,
            task_address=task_address(self._dtype, tasks),
            n_in=self._network.n_latent,
            source=source,
            hidden=from_row(self._places[ACTIVE + self._network.prior], first_row),
            target=self._places[SCALED],
        )
