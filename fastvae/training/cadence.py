"""When checkpoints are due."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastvae import checks


@dataclass(frozen=True)
class Cadence:
    """When checkpoints are due: at each epoch's end, after so many updates, after some seconds."""

    epochs: bool = False
    updates: int | None = None
    seconds: float | None = None

    def next_update(self, n_done: int) -> int:
        """The number of updates, more than `n_done`, at which one may be due by their number."""
        return 2**62 if self.updates is None else (n_done // self.updates + 1) * self.updates


def cadence(given: Any) -> Cadence:
    """What `checkpoint_every` means: "epoch", a number of updates, "30s", or several in a tuple.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    parts = given if isinstance(given, tuple) and given else (given,)
    result: dict[str, Any] = {}
    for part in parts:
        if part == "epoch":
            result["epochs"] = True
        elif isinstance(part, str):
            result["seconds"] = _seconds(part)
        else:
            try:
                result["updates"] = checks.integer(part, "checkpoint_every")
            except TypeError:
                raise TypeError(_wanted(given)) from None
    return Cadence(**result)


def _wanted(given: Any) -> str:
    return (
        'checkpoint_every must be "epoch", a number of updates, seconds such as "30s", or a tuple '
        f"of these; got {given!r}{checks.did_you_mean(given, ('epoch',))}"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s")) if text.endswith("s") else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(_wanted(text))
    return seconds
