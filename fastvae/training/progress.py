"""Where a training run is: what it needs, beside the model itself, to go on to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.checks import plain
from fastvae.checks.quoting import MAX_QUOTED, printable, quoted
from fastvae.training.hooks import CallbackLike
from fastvae.training.identity import Identity

NUMBERS = ("seed", "beta", "reconstruction_weight", "learning_rate_factor", "draw_counts")
"""The model's numbers, beside its counts of updates and epochs, that a run goes by."""

CallbackState = tuple[str, dict[str, Any]]
"""The name of a callback's class, and what its `state_dict` returned."""


@dataclass(frozen=True)
class Counts:
    """The numbers of a run; plain data, for a checkpoint, and replaced as a whole.

    Attributes
    ----------
    n_epochs, n_updates : finished epochs of the run, and its updates
    n_told : updates that all callbacks have been told of
    updates, epochs : what the model itself counted when `n_updates` was counted
    start_updates, start_epochs : the same when the running epoch began
    order_seed : the model's seed when the running epoch began: its order comes from it
    has_begun : whether callbacks were told that the running epoch began
    seconds : time spent on the running epoch so far
    """

    updates: int
    epochs: int
    order_seed: int
    n_epochs: int = 0
    n_updates: int = 0
    n_told: int = 0
    start_updates: int = 0
    start_epochs: int = 0
    has_begun: bool = False
    seconds: float = 0.0

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> Counts:
        """The numbers that a checkpoint holds.

        Raises
        ------
        KeyError, TypeError, ValueError
            If one is missing or not what it must be.
        """
        seed = checks.seed(saved["order_seed"])
        seconds = checks.number(saved["seconds"], "seconds")
        if type(saved["has_begun"]) is not bool:
            raise TypeError(f"has_begun must be true or false; got {quoted(saved['has_begun'])}")
        names = ("updates", "epochs", "n_epochs", "n_updates", "n_told", "start_updates")
        numbers = {name: checks.count(saved[name], name) for name in (*names, "start_epochs")}
        return cls(**numbers, order_seed=seed, has_begun=saved["has_begun"], seconds=seconds)


class Moments(NamedTuple):
    """The optimiser's two moments, laid out like the parameters, and how many updates made them."""

    arenas: tuple[NDArray[Any], NDArray[Any]]
    n_updates: int


@dataclass
class Progress:
    """Where a run is. Arrays are laid out like the model's parameters.

    Attributes
    ----------
    identity : Identity
        What run it is.
    counts : Counts
    moments : the optimiser's two
    start : the weights when the running epoch began, for a training that diverges
    totals : of the running epoch, as the kernels sum them
    states : of the callbacks, when `counts` were counted
    last, left : where the weights were changed after the last epoch (a callback may restore the
        best): those of the last epoch, and those that the model was left with
    earlier_updates : those before this run that the moments come from, too
    """

    identity: Identity
    counts: Counts
    moments: tuple[NDArray[Any], NDArray[Any]]
    start: NDArray[Any]
    totals: NDArray[np.float64]
    states: list[CallbackState] = field(default_factory=list)
    last: NDArray[Any] | None = None
    left: NDArray[Any] | None = None
    earlier_updates: int = 0


def states_of(listeners: Sequence[CallbackLike]) -> list[CallbackState]:
    """What the callbacks would have to be told to go on; classes that say nothing are left out.

    Where one of a class has a state, the others stand there too: which is which shows in the order.

    Raises
    ------
    TypeError, ValueError
        If a state is not flat plain data and arrays of numbers.
    """
    states = [(type(listener).__name__, listener.state_dict() or {}) for listener in listeners]
    kept = {name for name, state in states if state}
    return [
        (name, _checked_state(state, f"the state of {name}"))
        for name, state in states
        if name in kept
    ]


def match_states(
    listeners: Sequence[CallbackLike], states: Sequence[CallbackState]
) -> list[tuple[CallbackLike, dict[str, Any]]]:
    """Each state with the callback that takes it up: those of one class in their order.

    Raises
    ------
    ValueError
        If there is a state whose callback is not among the listeners.
    """
    free = list(listeners)
    matched = []
    for name, state in states:
        callback = next((one for one in free if type(one).__name__ == name), None)
        if callback is not None:
            free.remove(callback)
            if state:
                matched.append((callback, state))
        elif state:
            shown = printable(str(name), MAX_QUOTED)
            raise ValueError(f"the run has a callback {shown}, and none is given to go on with")
    return matched


def _checked_state(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A copy of a callback's state, whose arrays are the same."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"{name} must hold arrays of numbers; {key!r} has dtype {array.dtype}")
    others = {key: value for key, value in state.items() if key not in arrays}
    return plain.mapping(others, name) | arrays
