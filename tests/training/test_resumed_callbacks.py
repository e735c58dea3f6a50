"""Callbacks with a state in runs that are resumed: they end as in the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    parameters,
    pixel_rows,
    small_vae,
)

from fastvae import VAE
from fastvae.callbacks import Callback, Checkpoint, EarlyStopping, Figures, ReduceOnPlateau

ROWS, HELD_OUT = pixel_rows(53, 37), pixel_rows(11, 37, seed=1)
SETTINGS: dict[str, Any] = {"epochs": 4, "batch_size": 5, "validation": HELD_OUT, "verbose": False}
STEPS = 11


def new_vae(**changes: Any) -> VAE:
    """A model whose runs of updates are three steps long."""
    vae = small_vae(**changes)
    vae.network.steps_per_call = lambda batch_size: 3  # type: ignore[method-assign]
    return vae


def fit(vae: VAE, rows: Any = ROWS, **changes: Any) -> VAE:
    vae.fit(rows, **(SETTINGS | changes))
    return vae


def interrupt(vae: VAE, hook: str, n: int, callbacks: Sequence[Callback] = (), **other: Any) -> VAE:
    """Train until Ctrl-C in the n-th call of a hook, after the other callbacks were called."""
    with pytest.raises(KeyboardInterrupt):
        fit(vae, callbacks=[*callbacks, InterruptAt(hook, n)], **other)
    return vae


def test_of_two_callbacks_of_a_class_each_takes_up_its_own_state(tmp_path: Path) -> None:
    def both() -> list[Checkpoint]:
        latest, best = tmp_path / "latest.safetensors", tmp_path / "best.safetensors"
        return [Checkpoint(latest), Checkpoint(best, best_only=True)]

    before, after, path = both(), both(), tmp_path / "run.ckpt"
    fit(new_vae(), epochs=2, callbacks=before, checkpoint=path)
    fit(new_vae(), epochs=2, callbacks=after, resume=path)
    assert after[1].monitor.state_dict() == before[1].monitor.state_dict()
    assert after[1].monitor.best is not None


class Meddler(Callback):
    """Changes the model's numbers, and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def _meddle(self, vae: VAE) -> None:
        self.calls += 1
        vae.learning_rate_factor *= 0.9
        vae.beta += 0.1
        vae.reconstruction_weight += 0.1
        vae.seed += 1
        vae.updates += 2
        vae.sample(2)
        vae.feedforward(ROWS[:2])

    def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
        self._meddle(vae)

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self._meddle(vae)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        self._meddle(vae)

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.calls = state["calls"]


@pytest.mark.parametrize("hook", ["epoch_begin", "batch", "epoch_end"])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_hook_that_was_interrupted_is_called_again(tmp_path: Path, hook: str, n: int) -> None:
    """As if it had not been called before, by those callbacks that it had reached, too."""
    path, whole = tmp_path / "run.ckpt", Meddler()
    expected = fit(new_vae(), callbacks=[whole])
    vae = interrupt(new_vae(), hook, n, [Meddler()], checkpoint=path)
    same, other = Meddler(), Meddler()
    for resumed in (
        fit(vae, callbacks=[same], resume=True),
        fit(new_vae(), callbacks=[other], resume=path),
    ):
        assert_same_run(resumed, expected)
        assert resumed.learning_rate_factor == expected.learning_rate_factor
    assert (same.calls, other.calls) == (whole.calls, whole.calls)


class Holder(Callback):
    """Has a state and nothing else."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state = state or {}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = state


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype=">f4"),
        np.arange(6).reshape(2, 3).T,
        np.arange(6, dtype=np.float16)[::-2],
        np.array(2.5),
        np.zeros((0, 3)),
        np.array([True, False]),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_of_a_state_come_back_as_they_were(tmp_path: Path, array: Any) -> None:
    path, resumed = tmp_path / "run.ckpt", Holder()
    fit(new_vae(), epochs=1, callbacks=[Holder({"a.b": array, "": None})], checkpoint=path)
    fit(new_vae(), epochs=1, callbacks=[resumed], resume=path)
    assert resumed.state.keys() == {"a.b", ""}
    assert resumed.state["a.b"].dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(resumed.state["a.b"], array)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_monitor_of_another_figure_is_refused(tmp_path: Path, make: Any) -> None:
    path, vae = tmp_path / "run.ckpt", new_vae()
    fit(new_vae(), epochs=1, callbacks=[make()], checkpoint=path)
    with pytest.raises(ValueError, match=r"monitor='val_elbo'; got 'loss' to go on with"):
        fit(vae, callbacks=[make("loss")], resume=path)
    assert (vae.updates, vae.history) == (0, None)
