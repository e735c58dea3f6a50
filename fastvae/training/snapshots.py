"""Snapshots: a run as it is at one moment, copied for a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae.files import checkpoints
from fastvae.training.history import History
from fastvae.training.progress import NUMBERS, Progress
from fastvae.training.trainable import Network, Trainable

ARENAS = ("weights", "moment1", "moment2", "start")
"""Copies that are laid out like the model's parameters; the last only within an epoch."""


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment, copied where training would change it.

    `arenas` are laid out like the model's parameters, `arrays` are all others.
    """

    facts: dict[str, Any]
    arenas: dict[str, NDArray[Any]]
    arrays: dict[str, NDArray[Any]]

    def saved(self, network: Network) -> checkpoints.SavedRun:
        """As a checkpoint holds it, on every instruction set."""
        arrays = dict(self.arrays)
        for arena, values in self.arenas.items():
            arrays |= {f"{arena}.{k}": array for k, array in network.to_arrays(values).items()}
        return checkpoints.SavedRun(self.facts, arrays)


def snapshot(
    vae: Trainable,
    progress: Progress,
    moments: Sequence[NDArray[Any]],
    run: Mapping[str, Any],
    room: Mapping[str, NDArray[Any]],
) -> Snapshot:
    """Copy all that a run needs to go on.

    Parameters
    ----------
    moments : pair of ndarray
        The optimiser's, of the whole arena.
    run : mapping
        What `Identity.plain` returned.
    room : mapping of ndarray
        Arenas (`new_room`) that the copies are written to.
    """
    arenas = dict(room)
    copied = (vae.network.parameters, *moments, progress.start)
    for name, value in zip(ARENAS, copied, strict=True):
        np.copyto(arenas[name], value)
    if not progress.counts.has_begun:
        del arenas["start"]  # they are the weights
    history, n_epochs = vae.history or History(), progress.counts.n_epochs
    arrays = {"totals": progress.totals.copy()}
    for name, values in history.items():  # of the epochs whose end callbacks were told of
        column = np.array(values[:n_epochs])  # whole numbers stay such
        if not is_column(column):
            raise TypeError(f"the history must hold numbers; got {values!r} as {name!r}")
        arrays[f"history.{name}"] = column
    states = []
    for i, (name, state) in enumerate(progress.states):
        held = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        arrays |= {f"callbacks.{i}.{key}": value for key, value in held.items()}
        plain = {key: value for key, value in state.items() if key not in held}
        states.append({"name": name, "state": plain, "arrays": sorted(held)})
    facts = {
        "run": run,
        "counts": asdict(progress.counts),
        "model": {name: getattr(vae, name) for name in NUMBERS},
        "figures": list(history),
        "callbacks": states,
    }
    return Snapshot(facts, arenas, arrays)


def new_room(network: Network) -> dict[str, NDArray[Any]]:
    """Arenas for the copies of a snapshot."""
    return {name: network.new_arena() for name in ARENAS}


def is_column(figures: NDArray[Any]) -> bool:
    """Whether it can be a list of figures; a callback may add lists that lack epochs."""
    return figures.ndim == 1 and figures.dtype.kind in "if"
