"""Schedules of the learning rate and of beta: functions of (step, total).

`VAE.fit` evaluates them for each update: `step` counts the updates of the run from 0, `total` is
how many it will make, so that a schedule holds no number of epochs and stretches to whatever length
is trained. Any function of those two integers is a schedule too. `LinearWarmup` and `Cyclical` are
meant for beta, the weight of the KL divergence; each schedule can be used for both.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

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
    """The same value for every update."""

    rate: float

    def __post_init__(self) -> None:
        checks.number(self.rate, "rate")

    def __call__(self, step: int, total: int) -> float:
        """The value at update `step` of `total`."""
        return self.rate


@dataclass(frozen=True)
class Step:
    """`start`, multiplied by `factor` at each milestone.

    Parameters
    ----------
    start : float
        The first value.
    factor : float
        What it is multiplied by.
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
        """The value at update `step` of `total`."""
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
        """The value at update `step` of `total`."""
        progress = step / max(total - 1, 1)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Warmup:
    """A linear rise over the first `steps` updates, then `schedule` over the rest of the run.

    Parameters
    ----------
    schedule : callable or float
        A schedule, or a constant.
    steps : int
        How many updates the rise takes: update i has (i + 1) / steps of the first value.
    """

    schedule: Schedule | float
    steps: int

    def __post_init__(self) -> None:
        checks.integer(self.steps, "steps")
        resolve(self.schedule, "schedule")

    def __call__(self, step: int, total: int) -> float:
        """The value at update `step` of `total`."""
        rest = max(total - self.steps, 1)
        schedule = resolve(self.schedule)
        if step < self.steps:
            return schedule(0, rest) * (step + 1) / self.steps
        return schedule(step - self.steps, rest)


@dataclass(frozen=True)
class LinearWarmup:
    """A line from `start` at the first update to `end` at update `steps`; `end` from then on.

    Parameters
    ----------
    end : float
        The last value.
    steps : int
        How many updates the way takes; given by name.
    start : float
        The first value; given by name.

    References
    ----------
    Bowman et al. (2016), "Generating Sentences from a Continuous Space", section 3.1, with a line
    in place of the sigmoid. What beta weighs: docs/theory.md, (9).
    """

    end: float = 1.0
    steps: int = field(kw_only=True)
    start: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        checks.number(self.end, "end")
        checks.integer(self.steps, "steps")
        checks.number(self.start, "start")

    def __call__(self, step: int, total: int) -> float:
        """The value at update `step` of `total`."""
        return _on_the_way(self.start, self.end, step / self.steps)


@dataclass(frozen=True)
class Cyclical:
    """Cycles of equal length, each with a line from `start` to `end`, then `end`.

    Parameters
    ----------
    end : float
        The value that each cycle reaches.
    n_cycles : int
        How many cycles the run has.
    rising : float
        The share of each cycle that the rise takes, in (0, 1].
    start : float
        The value that each cycle begins with.

    References
    ----------
    Fu et al. (2019), "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing",
    eq. 6 and 7, with a linear f. What beta weighs: docs/theory.md, (9).
    """

    end: float = 1.0
    n_cycles: int = 4
    rising: float = 0.5
    start: float = 0.0

    def __post_init__(self) -> None:
        checks.number(self.end, "end")
        checks.integer(self.n_cycles, "n_cycles")
        if checks.number(self.rising, "rising", positive=True) > 1.0:
            raise ValueError(f"rising must be at most 1; got {self.rising!r}")
        checks.number(self.start, "start")

    def __call__(self, step: int, total: int) -> float:
        """The value at update `step` of `total`."""
        in_cycle = step % math.ceil(total / self.n_cycles) / (total / self.n_cycles)
        return _on_the_way(self.start, self.end, in_cycle / self.rising)


def _on_the_way(start: float, end: float, progress: float) -> float:
    """The value at a fraction of the way from `start` to `end`; `end` itself from 1 on."""
    return float(end) if progress >= 1.0 else start + (end - start) * progress


def resolve(value: Schedule | float, name: str = "learning_rate") -> Schedule:
    """Return the schedule that `value` is or, for a number, the constant one.

    Parameters
    ----------
    value : callable or float
        The schedule, or a constant.
    name : str
        What to call it in errors.

    Raises
    ------
    TypeError, ValueError
        If it is neither callable nor a finite number of at least 0, or a class of schedules.
    """
    if isinstance(value, type):
        raise TypeError(f"{name} is a class, {value.__name__}: give an object of it")
    if callable(value):
        return value
    return Constant(checks.number(value, name))


def rates(
    schedule: Schedule, steps: Sequence[int], total: int, name: str = "learning_rate"
) -> NDArray[np.float64]:
    """The values of a schedule at updates `steps`.

    `name` is what errors call them.

    Raises
    ------
    TypeError, ValueError
        If the schedule returns no number, or NaN, infinity or a negative value.
    """
    result = np.empty(len(steps))
    for i, step in enumerate(steps):
        value = schedule(step, total)
        # The usual value passes at once: this runs before every update.
        if type(value) is not float or not 0.0 <= value < math.inf:
            value = checks.number(value, f"{name} at step {step} of {total}")
        result[i] = value
    return result
