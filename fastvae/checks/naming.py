"""The name that a public class goes by, wherever its file lies."""

from typing import TypeVar

_Class = TypeVar("_Class", bound=type)


def public(cls: _Class) -> _Class:
    """Let a class be known as `fastvae.NAME`, so that pickles outlive a move of its file."""
    cls.__module__ = "fastvae"
    return cls
