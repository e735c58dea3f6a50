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
