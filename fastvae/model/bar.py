"""Progress of passes over many rows, on standard error."""

from collections.abc import Callable, Sized
from typing import Any, TypeVar

from fastvae.training.bars import open_bar

_Result = TypeVar("_Result")


def run_pass(call: Callable[..., _Result], progress: bool, rows: Sized, *arguments: Any) -> _Result:
    """Return call(rows, *arguments), with a bar that counts the rows if `progress`.

    The bar's update is handed on as `advance`, to be called with the number of rows just done.
    """
    if not progress:
        return call(rows, *arguments)
    with open_bar(total=len(rows), unit=" rows", unit_scale=True) as bar:
        return call(rows, *arguments, advance=bar.update)
