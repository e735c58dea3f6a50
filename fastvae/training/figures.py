"""The figures of an epoch: those of its rows as they were trained on, and of rows held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae.data.labelled import Checked
from fastvae.distributed.passes import spread_pass
from fastvae.training.evaluation import (
    active_units,
    kl_per_unit,
    latent_variance,
    mean_elbo,
    mean_loss,
)
from fastvae.training.objectives import Objective
from fastvae.training.settings import Settings
from fastvae.training.stepping import read_totals
from fastvae.training.trainable import Trainable


def training_figures(
    vae: Trainable, objective: Objective, totals: NDArray[np.float64], seconds: float
) -> dict[str, float]:
    """The figures of an epoch: means over its rows."""
    loss, sums, kl, n_rows, means, squares = read_totals(totals)
    reconstruction = vae.nats.reconstruction(sums, n_rows)
    bound = {"bound": -(loss / n_rows + vae.nats.offset)} if objective.is_bound else {}
    return {
        "loss": loss / n_rows + vae.nats.constant,
        **bound,
        "elbo": -(reconstruction + kl) / n_rows,
        "reconstruction": reconstruction / n_rows,
        "kl": kl / n_rows,
        "active_units": active_units(latent_variance(means, squares, n_rows)),
        "seconds": seconds,
        "samples_per_second": n_rows / seconds,
    }


def validation_figures(
    vae: Trainable, held_out: Checked | None, settings: Settings
) -> dict[str, float]:
    """The figures on the validation rows, none without them; draws are the same at each epoch."""
    if held_out is None:
        return {}
    nats, binarize, objective = vae.nats, settings.binarize, settings.objective
    ranks = settings.spread.ranks

    def evaluate(rows: Checked, first: int) -> tuple[NDArray[Any], ...]:
        return vae.network.evaluate(rows, objective.n_samples, vae.seed, binarize, first_row=first)

    sums, kls = spread_pass(ranks, held_out, evaluate, [((), np.float64)] * 2)
    elbo = mean_elbo(nats, sums, kls)
    figures = {f"val_{name}": value for name, value in elbo._asdict().items()}
    if objective.is_bound:
        bound = vae.mean_bound(held_out, objective.n_samples, vae.seed, binarize, ranks)
        return {"val_loss": nats.constant - nats.offset - bound, "val_bound": bound} | figures
    if objective.free_bits:
        kl = kl_per_unit(vae, held_out, binarize, vae.seed)
        charged = float(np.maximum(kl, objective.free_bits).sum())
        mean = float(sums.mean())
        return {"val_loss": nats.loss(mean, charged, vae.beta)} | figures
    return {"val_loss": mean_loss(vae, sums, kls)} | figures
