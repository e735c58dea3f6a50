"""A page to play with a model: encoder and decoder run in the browser, from a single file.

`page` writes it: of what `model` says of the model, `weights` packs and `rows` chooses of the data.
What the browser shows and runs stands in the folder `assets`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastvae.explore.page import Written, write_page

__all__ = ["Written", "write_page"]


if not TYPE_CHECKING:  # to a type checker every name would be one that there is

    def __getattr__(name: str) -> Any:
        if name in __all__:
            home = importlib.import_module("fastvae.explore.page")
            globals()[name] = value = getattr(home, name)
            return value
        raise AttributeError(f"module 'fastvae.explore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
