"""What `fit` calls while it trains, as types; and checks that a callback can be called like that.

What each hook is for stands in `fastvae.callbacks.Callback`.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastvae.checks import did_you_mean
from fastvae.checks.quoting import printable
from fastvae.training.history import Figures, History


class EpochHook(Protocol):
    """A function that is called after each epoch."""

    def __call__(self, vae: Any, epoch: int, figures: Figures, /) -> object:
        """Look at the model, the number of the epoch, and its figures."""


class CallbackLike(Protocol):
    """All that `fit` calls of a callback; `Callback` has it all."""

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int, /) -> object:
        """Before the first update."""

    def on_epoch_begin(self, vae: Any, epoch: int, /) -> object:
        """Before the first update of each epoch."""

    def on_batch(self, vae: Any, epoch: int, n_done: int, /) -> object:
        """After each run of updates."""

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures, /) -> object:
        """After each epoch."""

    def on_train_end(self, vae: Any, history: History, /) -> object:
        """After the last epoch, or when an exception ends the training."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback must know to go on in another process."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> object:
        """Take up what `state_dict` returned."""


HOOKS = {
    "on_train_begin": ("vae", "n_epochs", "n_rows"),
    "on_epoch_begin": ("vae", "epoch"),
    "on_batch": ("vae", "epoch", "n_done"),
    "on_epoch_end": ("vae", "epoch", "figures"),
    "on_train_end": ("vae", "history"),
    "state_dict": (),
    "load_state_dict": ("state",),
}
"""What each hook is called with."""


def has_hooks(callback: object) -> bool:
    """Whether an object has all hooks, of whatever class it is."""
    return all(callable(getattr(callback, name, None)) for name in HOOKS)


def missing_hooks(callback: object) -> list[str]:
    """The hooks that an object lacks, if it has any of those that begin with on."""
    lacking = [name for name in HOOKS if not callable(getattr(callback, name, None))]
    has_one = any(name.startswith("on_") for name in HOOKS if name not in lacking)
    return lacking if has_one else []


def check_hooks(callback: object) -> None:
    """Raise a TypeError unless each hook can be called, and none is likely to be misspelt."""
    kind = type(callback).__name__
    for name in dir(type(callback)):
        if name.lower().startswith("on") and name not in HOOKS:
            meant = did_you_mean(name, HOOKS)
            if meant and callable(getattr(type(callback), name)):
                raise TypeError(f"{kind}.{name} is no hook of callbacks{meant}")
    for name, given in HOOKS.items():
        hook = getattr(callback, name)
        if not str(getattr(hook, "__module__", "")).startswith("fastvae."):
            check_call(hook, given, f"{kind}.{name}")


def check_call(function: Callable[..., object], given: tuple[str, ...], what: str) -> None:
    """Raise a TypeError unless a function can be called with so many arguments, and then runs."""
    for never_runs in (inspect.iscoroutinefunction, inspect.isgeneratorfunction):
        if never_runs(function):
            raise TypeError(f"{what} is called, and must not be async or hold a yield")
    try:
        signature = inspect.signature(function)
    except ValueError:  # of compiled functions
        return
    try:
        signature.bind(*given)
    except TypeError:
        wanted, got = ", ".join(given), _without_annotations(signature)
        raise TypeError(f"{what} is called as f({wanted}); it takes {got}") from None


def _without_annotations(signature: inspect.Signature) -> str:
    """The parameters of a function as text."""
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    return printable(str(signature.replace(parameters=plain, return_annotation=signature.empty)))
