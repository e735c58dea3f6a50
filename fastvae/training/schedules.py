"""Learning-rate schedules: functions of (step, total) that `VAE.fit` evaluates for each update.

`step` counts the updates of this fit from 0, `total` is how many it will make, so that a
schedule holds no number of epochs and stretches to whatever length is trained. Any function of
those two integers is a schedule too.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastvae import checks

Schedule = Callable[[int, int], float]


def step_at(fraction: float, total: int) -> int:
    """The step that a fraction of a run of `total` steps stands for: the nearest after the first.

    0.07 of 100 is step 7, though the product is 7.000000000000001 in binary.
    """
    return max(math.floor(fraction * total + 0.5), 1)


@dataclass(frozen=True)
class Constant:
    """The same rate for every update."""

    rate: float

    def __post_init__(self) -> None:
        checks.number(self.rate, "rate")

    def __call__(self, step: int, total: int) -> float:
        """The learning rate of update `step` of `total`."""
        return self.rate


@dataclass(frozen=True)
class Step:
    """`start`, multiplied by `factor` at each milestone.

    Parameters
    ----------
    start : float
        The first rate.
    factor : float
        What the rate is multiplied by.
    milestones : tuple of float
        Fractions of the run in (0, 1); each stands for the nearest step after the first.
    """

    start: float
    factor: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        checks.number(self.start, "start")
        checks.number(self.factor, "factor")
        if not isinstance(self.milestones, Iterable):
            raise TypeError(f"milestones must be fractions in a tuple; got {self.milestones!r}")
        for milestone in self.milestones:
            checks.number(milestone, "milestones", below=1.0, positive=True)

    def __call__(self, step: int, total: int) -> float:
        """The learning rate of update `step` of `total`."""
        passed = sum(step >= step_at(milestone, total) for milestone in self.milestones)
        return float(self.start * self.factor**passed)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `start` at the first update to `end` at the last.

    References
    ----------
    Loshchilov & Hutter (2017), "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5,
    without restarts.
    """

    start: float
    end: float = 0.0

    def __post_init__(self) -> None:
        checks.number(self.start, "start")
        checks.number(self.end, "end")

    def __call__(self, step: int, total: int) -> float:
        """The learning rate of update `step` of `total`."""
        progress = step / max(total - 1, 1)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Warmup:
    """A linear rise over the first `steps` updates, then `schedule` over the rest of the run.

    Parameters
    ----------
    schedule : callable or float
        A schedule, or a constant rate.
    steps : int
        How many updates the rise takes: update i has (i + 1) / steps of the first rate.
    """

    schedule: Schedule | float
    steps: int

    def __post_init__(self) -> None:
        checks.integer(self.steps, "steps")
        resolve(self.schedule)

    def __call__(self, step: int, total: int) -> float:
        """The learning rate of update `step` of `total`."""
        rest = max(total - self.steps, 1)
        schedule = resolve(self.schedule)
        if step < self.steps:
            return schedule(0, rest) * (step + 1) / self.steps
        return schedule(step - self.steps, rest)


def resolve(learning_rate: Schedule | float) -> Schedule:
    """Return the schedule that `learning_rate` is or, for a number, the constant one.

    Raises
    ------
    TypeError, ValueError
        If it is neither callable nor a finite number of at least 0.
    """
    if callable(learning_rate):
        return learning_rate
    return Constant(checks.number(learning_rate, "learning_rate"))


def rates(
    schedule: Schedule, first: int, count: int, total: int, name: str = "learning_rate"
) -> NDArray[np.float64]:
    """What a schedule gives `count` updates from update `first` on, shape (count,).

    `name` is what to call it in errors.

    Raises
    ------
    TypeError, ValueError
        If the schedule returns no number, or NaN, infinity or a negative rate.
    """
    result = np.empty(count)
    for step in range(first, first + count):
        rate = schedule(step, total)
        # The usual rate passes at once: this runs before every update.
        if type(rate) is not float or not 0.0 <= rate < math.inf:
            rate = checks.number(rate, f"{name} at step {step} of {total}")
        result[step - first] = rate
    return result
