"""The regions by which a training program minimises a bound other than that of one latent per row.

What such a region does stands in `objective_tasks`; where it comes in a program, in `passes`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..maths.objectives import ELBO
from .layout import ACTIVE, GATES, LATENT, NOISE, Architecture
from .objective_tasks import (
    bound_gradient_task,
    bound_totals_task,
    free_bits_task,
    free_gradient_task,
    n_free_tasks,
    new_shares,
    scale_task,
    shares_task,
)
from .programs import new_region
from .records import ROWS, WEIGH
from .regions import task_address


@dataclass(frozen=True)
class Objective:
    """What is maximised.

    Attributes
    ----------
    code : int
        One of `maths.objectives.OBJECTIVES`.
    n_samples : int
        Latents k of each row.
    free_bits : float
        Of ELBO: nats of each latent unit's mean KL that are not charged for less.
    """

    code: int = ELBO
    n_samples: int = 1
    free_bits: float = 0.0


PLAIN = Objective()
"""The ELBO by one latent, for which there are no further regions."""


def tasks_of(objective: Objective) -> list[Any]:
    """The tasks that an objective has beside those of PLAIN."""
    if objective == PLAIN:
        return []
    tasks = [shares_task, bound_totals_task]
    if objective.n_samples > 1:
        tasks.append(scale_task)
    if objective.code != ELBO:
        tasks.append(bound_gradient_task)
    elif objective.free_bits > 0.0:
        tasks += [free_bits_task, free_gradient_task]
    return tasks


class Bound:
    """The regions of an objective for batches of up to `n_rows` rows, and what they know of them.

    They work on latents whose prior is N(0, I): see `label_tasks` for those of other priors.
    """

    def __init__(
        self, objective: Objective, network: Architecture, places: np.ndarray, dtype: np.dtype,
        n_rows: int,
    ) -> None:  # fmt: skip
        self.objective = objective
        self._head, self._places, self._dtype = network.table[network.n_encoder], places, dtype
        self._shares = new_shares(n_rows, objective.n_samples)
        self._known = {"mode": objective.code, "sums": self._shares.ctypes.data}
        self._latents = {
            "parts": 2,
            "source": places[ACTIVE + network.n_encoder],
            "hidden": places[LATENT],
            "noise": places[NOISE],
        }

    def weighing(self, slopes: list[tuple[int, int]]) -> list[np.ndarray]:
        """The shares of the latents, by which the loss's slopes, matrices with their columns, are
        multiplied."""
        regions = [self._region(WEIGH, shares_task, self._head, **self._latents)]
        if self.objective.n_samples > 1:
            regions += [
                self._region(ROWS, scale_task, n_out=n_out, target=self._places[place])
                for place, n_out in slopes
            ]
        return regions

    def backward_latent(self, plain: np.ndarray) -> list[np.ndarray]:
        """The gradient of the head, of the region that computes that of the ELBO without free
        bits."""
        region = plain.copy()
        for name, value in (self._known | self._latents).items():
            region[name] = value
        if self.objective.code != ELBO:
            region["task_address"] = task_address(self._dtype, bound_gradient_task)
            return [region]
        if self.objective.free_bits == 0.0:
            return [plain]
        region["task_address"] = task_address(self._dtype, free_gradient_task)
        region["scratch"] = self._places[GATES]
        n_tasks = n_free_tasks(int(self._head["n_out"]) // 2)
        free_bits = self._region(
            ROWS, free_bits_task, self._head, n_tasks=n_tasks, target=self._places[GATES],
            **self._latents,
        )  # fmt: skip
        return [free_bits, region]

    def totals(self, plain: np.ndarray) -> np.ndarray:
        """The epoch's totals, of the region that adds those of one latent."""
        region = plain.copy()
        region["task_address"] = task_address(self._dtype, bound_totals_task)
        region["sums"], region["repeat"] = self._known["sums"], self.objective.n_samples
        region["scratch"] = self._places[GATES]
        return region

    def _region(
        self, kind: int, tasks: Any, layer: np.void | None = None, **fields: object
    ) -> np.ndarray:
        """A region with tasks of its own, that knows the latents."""
        address = task_address(self._dtype, tasks)
        return new_region(kind, layer, task_address=address, **self._known, **fields)
