"""What `fit` takes as a callback, and what it says of others."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from model_checks import pixel_rows, small_vae

from fastvae.callbacks import Callback, EarlyStopping, ProgressBar
from fastvae.training.hooks import HOOKS, CallbackLike

X = pixel_rows(23, 37)


def fit(callback: Any) -> None:
    small_vae().fit(X, epochs=1, batch_size=10, callbacks=[callback], verbose=False)


def with_hooks(*base: type, **hooks: Any) -> Any:
    return type("Recorder", base or (Callback,), hooks)()


async def coroutine(vae: Any, epoch: int, figures: Any) -> None: ...


def generator(vae: Any, epoch: int, figures: Any) -> Iterator[None]:
    yield


def test_hooks_are_those_of_the_class_and_of_the_protocol() -> None:
    for kind in (Callback, CallbackLike):
        own = [name for name in vars(kind) if not name.startswith("_")]
        assert own == list(HOOKS)
        for name, given in HOOKS.items():
            assert tuple(inspect.signature(getattr(kind, name)).parameters) == ("self", *given)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_epoch_ends", "on_epoch_end"),
        ("on_epoch_ended", "on_epoch_end"),
        ("onEpochEnd", "on_epoch_end"),
        ("on_train_start", "on_train_end"),
        ("on_batch_end", "on_batch"),
        ("on_training_begin", "on_train_begin"),
    ],
)
def test_a_misspelt_hook_is_named_with_the_nearest(name: str, meant: str) -> None:
    callback = with_hooks(**{name: lambda *given: None})
    with pytest.raises(TypeError, match=rf"Recorder.{name} is no hook .*did you mean '{meant}'"):
        fit(callback)


def test_methods_of_other_names_are_nobodys_business() -> None:
    fit(
        with_hooks(
            on_disk=lambda self: 1, once=3, on_epoch_ends=property(lambda self: 1 / 0), save=print
        )
    )


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda vae, epoch: None, r"called as f\(vae, epoch, figures\); it takes \(vae, epoch\)"),
        (lambda: None, r"it takes \(\)"),
        (
            with_hooks(on_epoch_end=lambda self, vae, epoch: None),
            r"Recorder.on_epoch_end is called as f\(vae, epoch, figures\); it takes \(vae, epoch\)",
        ),
        (
            with_hooks(on_batch=lambda self, vae, epoch, n_done, more: None),
            r"Recorder.on_batch is called as f\(vae, epoch, n_done\); it takes .*more\)",
        ),
        (with_hooks(state_dict=lambda self, prefix: {}), r"state_dict is called as f\(\)"),
        (
            with_hooks(object, on_epoch_end=lambda self, vae, epoch, figures: None),
            "which has no on_train_begin, .*load_state_dict: derive its class from Callback",
        ),
        (coroutine, "a function among callbacks is called, and must not be async or hold a yield"),
        (generator, "must not be async or hold a yield"),
        (functools.partial(generator, figures={}), "must not be async or hold a yield"),
        (with_hooks(on_epoch_end=lambda self, *given: (yield)), "Recorder.on_epoch_end is called"),
        (EarlyStopping, "it is a class: give an object of it"),
        ("print", "must be Callback objects or functions"),
        (None, "must be Callback objects or functions"),
    ],
)
def test_what_cannot_be_called_is_refused_before_the_training(callback: Any, message: str) -> None:
    vae = small_vae()
    with pytest.raises(TypeError, match=message):
        vae.fit(X, epochs=1, callbacks=[callback], verbose=False)
    assert vae.updates == 0


def test_an_object_with_all_hooks_need_not_be_a_callback() -> None:
    seen = []
    hooks = {name: lambda self, *given, name=name: seen.append(name) for name in HOOKS}
    fit(with_hooks(object, **hooks))
    assert {"on_train_begin", "on_epoch_end", "on_train_end"} <= set(seen)


def test_functions_of_any_kind_are_taken() -> None:
    class Counter:
        n = 0

        def __call__(self, *given: Any) -> None:
            self.n += len(given)

        def method(self, vae: Any, epoch: int, figures: Any, more: int = 0) -> None:
            self.n += 1

    counter = Counter()
    for taken in (counter, counter.method, ProgressBar(), print):
        fit(taken)
    assert counter.n == 4
