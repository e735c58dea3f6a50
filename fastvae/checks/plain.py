"""Plain JSON data: what a model card, and the settings and figures of a run, may hold."""

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_DEPTH = 100
_MAX_INTEGER = 10**4300  # longer ones Python neither prints nor reads
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a copy of a mapping of plain JSON data, which JSON gives back as it is.

    Parameters
    ----------
    value : mapping
        Its keys are str; its values None, bool, int, finite float, str, lists, tuples (which
        become lists) and mappings of these, nested at most 100 deep.
    name : str
        What to call it in errors.

    Raises
    ------
    TypeError
        If it is not a mapping, or something in it has another type; the error says where.
    ValueError
        If a number is not finite or too long, the nesting too deep or a cycle, or a text not to
        be kept.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping of plain JSON data; got {_type(value)}")
    return _copy(value, name, ())


def _copy(value: Any, place: str, outer: tuple[int, ...]) -> Any:
    """A copy of `value`; `outer` are the identities of what holds it, from the outside in."""
    if isinstance(value, (Mapping, list, tuple)):
        if id(value) in outer:
            raise ValueError(f"{place} holds itself")
        if len(outer) >= MAX_DEPTH:
            raise ValueError(f"{place} is nested more than {MAX_DEPTH} deep")
        outer = (*outer, id(value))
    if isinstance(value, Mapping):
        return {
            _key(key, place): _copy(item, f"{place}[{reprlib.repr(key)}]", outer)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_copy(item, f"{place}[{i}]", outer) for i, item in enumerate(value)]
    return _scalar(value, place)


def _key(key: Any, place: str) -> str:
    if type(key) is not str:
        raise TypeError(f"the keys of {place} must be str; got {reprlib.repr(key)}, {_type(key)}")
    return _text(key, f"the key {reprlib.repr(key)} of {place}")


def _scalar(value: Any, place: str) -> Any:
    # Subclasses are refused: NumPy's float64 is one of float, and would come back as another type.
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return _text(value, place)
    if type(value) is int:
        if abs(value) >= _MAX_INTEGER:
            raise ValueError(f"{place} must have at most 4300 digits; it has more")
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"{place} must be finite, as numbers in JSON are; got {value}")
        return value
    advice = ""
    if isinstance(value, np.generic):
        advice = "; use .item()"
    elif isinstance(value, np.ndarray):
        advice = "; use .tolist()"
    raise TypeError(
        f"{place} must be plain JSON data (None, bool, int, float, str, list, dict); "
        f"got {_type(value)}{advice}"
    )


def _text(value: str, place: str) -> str:
    """The text, unless two of its characters are halves of one, which JSON would join."""
    if _PAIR.search(value):
        raise ValueError(f"{place} must be valid Unicode; it holds a surrogate pair")
    return value


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
