"""Values: objects that are the same wherever they go, by copy, pickle or another process."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from fastvae import checks


class Value:
    """Base of what is one value wherever it goes: copies, shallow ones too, share nothing with it.

    Subclasses define in `__getstate__` what their state is, and `_restore` their own part of it;
    `others` are the attributes that somebody else put on them, a subclass for instance, which
    travel too.
    """

    _OWN: ClassVar[frozenset[str]] = frozenset()
    """The private attributes that the state does not hold as they are."""

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        self._restore(state)
        for name, value in state.items():
            setattr(self, name, value)

    def _restore(self, state: dict[str, Any]) -> None:
        """Take the class's own part out of the state."""
        raise NotImplementedError

    def others(self) -> dict[str, Any]:
        """The public attributes, and private ones that are not the class's own."""
        return {name: value for name, value in vars(self).items() if name not in self._OWN}


class Seeded:
    """Base of what has a seed, checked when it is set."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and, but for a layer, of all noise, in [0, 2**64)."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = checks.seed(value)


def own(arrays: Any) -> Any:
    """Writeable copies of an array, of several, or of none; joblib may map them read-only."""
    if isinstance(arrays, tuple):
        return tuple(map(np.array, arrays))
    return None if arrays is None else np.array(arrays)
