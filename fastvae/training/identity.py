"""What a run is: all that its bits depend on, so that it is gone on with as it was begun."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastvae.checks.quoting import printable
from fastvae.training import schedules

_MOST_COMPARED = 100_000
_NAMES = {
    "layers": "the model's layers (inputs, outputs, activation)",
    "data": "the rows",
    "validation": "the validation rows",
    "n_rows": "the number of rows",
    "n_classes": "the number of classes",
    "arithmetic": "the processor's arithmetic",
    "schedule": "learning_rate",
    "beta_schedule": "beta",
}
_ONCE = {"objective": "elbo"}
"""What all runs had before they recorded it, as those still have that record nothing."""


@dataclass(frozen=True)
class Identity:
    """What a run is.

    Attributes
    ----------
    facts : dict
        Plain data that must be equal.
    plans : dict
        Schedules by their names; what they give must be equal.
    total : int
        Updates of the whole run, which schedules are asked with.
    """

    facts: dict[str, Any]
    plans: dict[str, schedules.Schedule]
    total: int

    def plain(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        plans = {name: _plan(name, plan, self.total) for name, plan in self.plans.items()}
        return {"facts": self.facts, "plans": plans, "total": self.total}


def check_same(saved: Mapping[str, Any], given: Identity, but_for: Collection[str] = ()) -> None:
    """Raise a ValueError that names what of a run is otherwise than it was begun with.

    Parameters
    ----------
    saved : mapping
        What `Identity.plain` returned when the run was begun.
    given : Identity
    but_for : collection of str
        Facts that may differ.
    """
    differences = []
    facts, plans, total = saved["facts"], saved["plans"], saved["total"]
    for name in [*given.facts, *(facts.keys() - given.facts.keys())]:
        before, value = (known.get(name, _ONCE.get(name)) for known in (facts, given.facts))
        if before != value and name not in but_for:
            shown = _NAMES.get(name, name)
            if name in ("data", "validation"):  # digests say nothing to a reader
                only_once = None in (before, value)
                missing = "not " if before is None else ""
                said = f"were {missing}given before" if only_once else "are others"
                differences.append(f"{shown} {said}")
            else:
                differences.append(f"{shown} was {_shown(before)} and is {_shown(value)}")
    for name in plans.keys() & given.plans.keys():
        now = _plan(name, given.plans[name], total)
        if now["values"] != plans[name]["values"]:
            differences.append(
                f"{_NAMES[name]} was {_shown(plans[name]['text'])} and is {now['text']}, "
                "which gives other values"
            )
    if differences:
        raise ValueError("the run was begun otherwise: " + "; ".join(differences))


def _plan(name: str, schedule: schedules.Schedule, total: int) -> dict[str, str]:
    """A schedule in words, and a digest of its values: all of them, or 100,000 evenly spaced."""
    steps = np.linspace(0, total - 1, min(total, _MOST_COMPARED)).astype(np.int64)
    values = schedules.rates(schedule, steps.tolist(), total, _NAMES[name])
    text = getattr(schedule, "__qualname__", repr(schedule))
    return {"text": text, "values": hashlib.sha256(values.tobytes()).hexdigest()}


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return printable(str(value), 200)
