"""What strangers wrote, in messages: shortened, and harmless to a terminal.

Files and names may hold escape codes that colour, clear or rename a terminal, marks that turn the
direction of text, or megabytes.
"""

import reprlib
from typing import Any

MAX_QUOTED = 80
MAX_MESSAGE = 1000


def printable(text: str, limit: int = MAX_MESSAGE) -> str:
    """Return a text of at most `limit` characters and three dots, control characters escaped.

    What `str.isprintable` refuses becomes an escape code, as in `repr`: control characters, line
    ends, marks of direction, halves of surrogate pairs.
    """
    cut = text[: limit + 1]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
    return cut if len(cut) <= limit else f"{cut[:limit]}..."


def quoted(value: Any, limit: int = MAX_QUOTED) -> str:
    """Return the `repr` of a value in one line, with at most `limit` characters and three dots."""
    if isinstance(value, (str, bytes)):  # of a text of any length only the start is looked at
        cut = value[:limit]
        text = repr(cut) + ("..." if len(cut) < len(value) else "")
    else:
        text = " ".join(_SHORT.repr(value).split())
    return printable(text, limit + len("''..."))


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print integers of more than 4300 digits.
        return repr(x) if x.bit_length() < 300 else f"an integer of {x.bit_length():,} bits"


_SHORT = _Short()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = MAX_QUOTED
