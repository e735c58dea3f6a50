"""The nearest of the names that are known, for messages about one that is not."""

import difflib
from collections.abc import Iterable
from typing import Any

MAX_COMPARED = 80  # characters: the search takes their square


def nearest(value: Any, known: Iterable[str]) -> str | None:
    """Return the name that a misspelt one is likely meant as; None where nothing is near.

    Capitals, and what stands between and around words, count for nothing.
    """
    if not isinstance(value, str) or len(value) > MAX_COMPARED:
        return None
    by_form = {_form(name): name for name in known}
    close = difflib.get_close_matches(_form(value), by_form, n=1)
    return by_form[close[0]] if close else None


def did_you_mean(value: Any, known: Iterable[str], quote: str = "'") -> str:
    """Return the nearest name as a question to be added to a message, or nothing."""
    name = nearest(value, known)
    return "" if name is None else f" (did you mean {quote}{name}{quote}?)"


def _form(name: str) -> str:
    """What names are compared by."""
    return name.lower().replace("-", "_").replace(" ", "_").strip("_")
