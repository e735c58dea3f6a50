"""Values: objects that are the same wherever they go, by copy, pickle or another process."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvae import checks


class Value:
    """Base of what is one value wherever it goes: copies, shallow ones too, share nothing with it.

    Subclasses define in `__getstate__` and `__setstate__` what their state is; `others` are the
    attributes that somebody else put on them, a subclass for instance, which travel too.
    """

    _OWN: ClassVar[frozenset[str]] = frozenset()
    """The private attributes that the state does not hold as they are."""

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

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


def own(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """A writeable copy of an array, which joblib may have mapped read-only from a file."""
    return None if array is None else np.array(array)
