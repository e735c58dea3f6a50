"""What the tests of runs share: rows, a model with short runs of updates, and a fit of both."""

from __future__ import annotations

from typing import Any

from model_checks import pixel_rows, small_vae

from fastvae import VAE

ROWS, HELD_OUT = pixel_rows(53, 37), pixel_rows(11, 37, seed=1)
SETTINGS: dict[str, Any] = {"epochs": 3, "batch_size": 5, "validation": HELD_OUT, "verbose": False}
STEPS = 11
"""Updates of an epoch."""


def new_vae(**changes: Any) -> VAE:
    """A model whose runs of updates are three steps long."""
    vae = small_vae(**changes)
    vae.network.steps_per_call = lambda batch_size: 3  # type: ignore[method-assign]
    return vae


def fit(vae: VAE, rows: Any = ROWS, **changes: Any) -> VAE:
    """Train as `SETTINGS` say but for the changes; return the model."""
    vae.fit(rows, **(SETTINGS | changes))
    return vae
