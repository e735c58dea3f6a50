"""Checkpoints that a stranger made, with checksums that are right: none leads out of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import InterruptAt, assert_same_parameters, parameters
from run_checks import STEPS, fit, new_vae
from safetensors.numpy import save as to_safetensors

from fastvae import callbacks
from fastvae.files import checkpoints, storage

Facts = dict[str, Any]
LONG = "\x1b[2J\u202e" * 10_000


def stopping() -> callbacks.EarlyStopping:
    return callbacks.EarlyStopping(patience=50)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A checkpoint of the second epoch's third update."""
    path = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        fit(
            new_vae(), checkpoint=path, checkpoint_every=1,
            callbacks=[stopping(), InterruptAt("batch", 5)],
        )  # fmt: skip
    counts = checkpoints.read(path).facts["counts"]
    assert counts["n_epochs"] >= 1
    return path


def craft(path: Path, facts: Facts, arrays: dict[str, np.ndarray]) -> None:
    checksum = checkpoints._checksum(facts, arrays)
    entry = {"format_version": 1, "facts": facts, "checksum": checksum}
    path.write_bytes(to_safetensors(arrays, {storage.CHECKPOINT_ENTRY: json.dumps(entry)}))


def put(*keys: Any) -> Callable[[Facts], None]:
    """What sets the entry that the keys lead to, all but the last, to the last."""
    *way, key, value = keys

    def change(facts: Facts) -> None:
        inner: Any = facts
        for step in way:
            inner = inner[step]
        inner[key] = value

    return change


def counted(**counts: int | bool) -> Callable[[Facts], None]:
    return lambda facts: facts["counts"].update(counts)


CHANGES: dict[str, Callable[[Facts], object]] = {
    "no update of many epochs": counted(n_epochs=2, n_updates=0, n_told=0),
    "updates of the first epoch": counted(n_updates=1, n_told=1),
    "updates beyond the epoch": counted(n_updates=10**6, n_told=10**6),
    "updates beyond the epoch, untold": counted(n_updates=10**6),
    "told of more than was done": counted(n_told=2 * STEPS + 1),
    "told of nothing": counted(n_told=0),
    "more epochs than updates": counted(n_epochs=2**61),
    "an epoch that has not begun": counted(has_begun=False, n_updates=STEPS + 1, n_told=STEPS + 1),
    "epochs below zero": counted(n_epochs=-1, n_updates=-STEPS, n_told=-STEPS),
    "a fraction of an epoch": put("counts", "n_epochs", 1.5),
    "begun or not": put("counts", "has_begun", 1),
    "seconds": put("counts", "seconds", "1"),
    "a seed of 65 bits": put("counts", "order_seed", 2**64),
    "no counts": lambda facts: facts.pop("counts"),
    "counts of a list": put("counts", []),
    "draws": put("model", "draw_counts", [1]),
    "draws below zero": put("model", "draw_counts", [-1, 0]),
    "beta": put("model", "beta", LONG),
    "no run": put("run", None),
    "facts of a list": put("run", "facts", [1]),
    "no facts": put("run", "facts", {}),
    "a fact less": lambda facts: facts["run"]["facts"].pop("n_rows"),
    "a long fact": put("run", "facts", "optimizer", LONG),
    "thorough in words": put("run", "facts", "thorough", "yes"),
    "no plans": put("run", "plans", None),
    "a plan of numbers": put("run", "plans", "schedule", {"text": 1, "values": 2}),
    "a long plan": put("run", "plans", "schedule", {"text": LONG, "values": ""}),
    "a total beyond floats": put("run", "total", 2**70),
    "a total below zero": put("run", "total", -5),
    "a total in words": put("run", "total", "many"),
    "a callback that is not there": put("callbacks", 0, "name", LONG),
    "a callback of a number": put("callbacks", 0, "name", 7),
    "callbacks of a text": put("callbacks", "EarlyStopping"),
    "another monitor": put("callbacks", 0, "state", "name", LONG),
    "a best that is text": put("callbacks", 0, "state", "best", "good"),
    "waited for a text": put("callbacks", 0, "state", "waited", [1]),
    "no best": lambda facts: facts["callbacks"][0]["state"].pop("best"),
    "arrays that are not there": put("callbacks", 0, "arrays", [LONG]),
    "figures that are not there": put("figures", [LONG]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_facts_that_cannot_be_are_refused(begun: Path, change: Callable[[Facts], object]) -> None:
    saved = checkpoints.read(begun)
    change(saved.facts)
    craft(begun, saved.facts, saved.arrays)
    vae = new_vae()
    before = parameters(vae)
    with pytest.raises(ValueError, match=r"run\.ckpt") as caught:
        fit(vae, resume=begun, callbacks=[stopping()])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2500
    assert_same_parameters(vae, before)


@pytest.mark.parametrize("change", ["shape", "dtype", "nan", "missing"])
@pytest.mark.parametrize("name", ["weights", "moment1", "moment2", "start", "totals", "callbacks"])
def test_arrays_that_cannot_be_are_refused(begun: Path, name: str, change: str) -> None:
    saved = checkpoints.read(begun)
    arrays = dict(saved.arrays)
    key = next(key for key in sorted(arrays) if key.startswith(name))
    if change == "missing":
        del arrays[key]
    else:
        array = arrays[key]
        made = {"shape": array.reshape(-1)[1:], "dtype": array.astype("i8"), "nan": array * np.nan}
        arrays[key] = made[change].copy()
    craft(begun, saved.facts, arrays)
    if (name, change) == ("callbacks", "dtype"):  # whole numbers are numbers
        fit(new_vae(), resume=begun, callbacks=[stopping()])
        return
    with pytest.raises(ValueError, match=r"run\.ckpt|the best weights, that the run kept"):
        fit(new_vae(), resume=begun, callbacks=[stopping()])


def test_the_checkpoint_itself_is_gone_on_with(begun: Path) -> None:
    saved = checkpoints.read(begun)
    craft(begun, saved.facts, dict(saved.arrays))
    expected = new_vae()
    fit(expected, callbacks=[stopping()])
    vae = new_vae()
    fit(vae, resume=begun, callbacks=[stopping()])
    assert_same_parameters(vae, parameters(expected))
