"""Values: objects that are the same wherever they go, by copy, pickle or another process."""

import copy
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

import numpy as np

from fastvae import checks

_Method = TypeVar("_Method", bound=Callable[..., Any])


def of_an_object(message: str) -> Callable[[_Method], _Method]:
    """A decorator: a method that says what was meant, where it is called on the class.

    Parameters
    ----------
    message : str
        Of the TypeError.
    """

    def decorate(method: _Method) -> _Method:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            if not arguments or not isinstance(arguments[0], Value):
                raise TypeError(message)
            return method(*arguments, **named)

        return cast(_Method, call)

    return decorate


class Value:
    """Base of what is one value wherever it goes: copies, shallow ones too, share nothing with it.

    Subclasses define in `__getstate__` what their state is: attributes by their names. What
    somebody else put on them, a subclass for instance, travels too.
    """

    _OWN: ClassVar[frozenset[str]] = frozenset()
    """The private attributes of the class; its state holds those asked of `_state_with`."""

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not state.keys() >= self._OWN:
            raise ValueError(
                f"this {type(self).__name__} was pickled by another version of fastvae and cannot "
                "be read; files that `VAE.save` writes can"
            )
        vars(self).update({name: _own(value) for name, value in state.items()})

    def _state_with(self, *private: str) -> dict[str, Any]:
        """All attributes but the class's private ones, of which only those named here."""
        left_out = self._OWN.difference(private)
        return {name: value for name, value in vars(self).items() if name not in left_out}


class Seeded:
    """Base of what has a seed, checked when it is set."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and, but for a layer, of all noise, in [0, 2**64)."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = checks.seed(value)


def _own(value: Any) -> Any:
    """Writeable copies of an array, or of those in a tuple; joblib may map them read-only."""
    if type(value) is tuple:
        return tuple(map(_own, value))
    return np.array(value) if type(value) in (np.ndarray, np.memmap) else value
