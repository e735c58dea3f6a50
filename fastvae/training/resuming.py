"""Going on with a run: from a checkpoint, or where the model's last `fit` ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks, kernels
from fastvae.checks.quoting import printable, quoted
from fastvae.data.labelled import Checked
from fastvae.distributed.parts import WHOLE, Parts
from fastvae.distributed.spread import Owners, Spread
from fastvae.files import checkpoints
from fastvae.files.storage import explaining
from fastvae.kernels import engine
from fastvae.training import schedules
from fastvae.training.history import History
from fastvae.training.identity import Identity, check_same
from fastvae.training.progress import CallbackState, Counts, Progress, match_states
from fastvae.training.settings import Settings
from fastvae.training.snapshots import ARENAS, is_column
from fastvae.training.trainable import Trainable

_SAMPLED_ROWS = 512
_MOST_UPDATES = 2**62  # of a run


def identity_of(
    vae: Trainable,
    rows: Checked,
    held_out: Checked | None,
    settings: Settings,
    *,
    thorough: bool,
    parts: Parts = WHOLE,
) -> Identity:
    """What a run of `fit` with these arguments is.

    Parameters
    ----------
    thorough : bool
        Whether all rows are looked at, or 512 of them.
    parts : Parts
        Of which `rows` are some. Then all ranks must ask at once.
    """
    network = vae.network
    n_sampled = None if thorough else _SAMPLED_ROWS
    n_rows, n_blocks = parts.n_rows(rows), settings.spread.n_blocks
    batch_size = min(settings.batch_size, n_rows)
    beta: float | str = vae.beta if settings.beta is None else "a schedule"
    if not callable(settings.beta) and settings.beta is not None:
        beta = settings.beta
    facts = {
        "layers": [list(layer) for layer in network.layers],
        "n_encoder": network.n_encoder,
        "n_classes": network.n_classes or None,
        "likelihood": str(network.likelihood),
        "dtype": vae.dtype.name,
        "seed": vae.seed,
        "reconstruction_weight": vae.reconstruction_weight,
        "beta": beta,
        "batch_size": batch_size,
        "optimizer": repr(settings.optimizer),
        "clip_norm": settings.clip_norm or None,
        "binarize": settings.binarize,
        **settings.objective.facts,
        **({} if n_blocks == 1 else {"n_blocks": n_blocks}),
        "arithmetic": _arithmetic(),
        "n_rows": n_rows,
        "thorough": thorough,
        "data": network.fingerprint(rows, n_sampled, parts),
        "validation": None if held_out is None else network.fingerprint(held_out, n_sampled),
    }
    plans: dict[str, schedules.Schedule] = {"schedule": settings.schedule}
    if callable(settings.beta):
        plans["beta_schedule"] = settings.beta
    return Identity(facts, plans, settings.epochs * -(-n_rows // batch_size))


def _arithmetic() -> str:
    """What of the processor shows in the bits: these two instruction sets give the same."""
    name = kernels.isa()
    return "fused multiply-add" if name in ("avx2", "avx512") else name


def from_checkpoint(
    path: Path,
    saved: checkpoints.SavedRun,
    vae: Trainable,
    given: Identity,
    settings: Settings,
    owners: Owners,
) -> Progress:
    """Make the model and the callbacks what they were when a checkpoint was written.

    Parameters
    ----------
    path : Path
        The checkpoint.
    saved : SavedRun
        What it holds.
    given : Identity
        Of the run that is to go on, as `is_thorough` says of the saved one.

    Raises
    ------
    ValueError
        If it is damaged, or of a run with other data, sizes or settings; nothing has changed then.
    """
    network, facts, arrays = vae.network, saved.facts, saved.arrays
    with explaining(path, "checkpoint"):
        run, model = _checked_run(facts["run"]), facts["model"]
        counts = Counts.read(facts["counts"])
        states = _states(facts["callbacks"], arrays)
        history = _history(facts["figures"], _part(arrays, "history"), counts.n_epochs)
        n_given, n_forward = (checks.count(n, "draw_counts") for n in model["draw_counts"])
    with _going_on_with(printable(str(path))):
        check_same(run, given)
        _check_counts(counts, -(-given.facts["n_rows"] // given.facts["batch_size"]))
        _check_total(settings, counts)
        is_heard = settings.spread.ranks.is_first  # elsewhere there are no callbacks
        matched = match_states(settings.listeners, states) if is_heard else []
    with explaining(path, "checkpoint"):
        arenas = {name: network.from_arrays(_part(arrays, name)) for name in ARENAS[:3]}
        weights = arenas["weights"]
        start = network.from_arrays(_part(arrays, "start") or _part(arrays, "weights"))
        totals = new_totals(vae.n_latent, settings.spread)
        if arrays["totals"].shape != totals.shape or arrays["totals"].dtype != totals.dtype:
            raise ValueError(f"totals must have shape {totals.shape}")
        totals[:] = arrays["totals"]
        for name, arena in {**arenas, "start": start, "totals": totals}.items():
            checks.finite(arena, name)
        values = {
            "beta": checks.number(model["beta"], "beta"),
            "reconstruction_weight": checks.number(
                model["reconstruction_weight"], "reconstruction_weight"
            ),
            "learning_rate_factor": checks.number(
                model["learning_rate_factor"], "learning_rate_factor"
            ),
            "seed": checks.seed(model["seed"]),
            "updates": counts.updates,
            "epochs": counts.epochs,
            "draw_counts": (n_given, n_forward),
            "history": history,
        }
    with _going_on_with(printable(str(path))):
        for callback, state in matched:
            callback.load_state_dict(state)
    network.overwrite(weights)
    for name, value in values.items():
        setattr(vae, name, value)
    moments = owners.own(arenas["moment1"]).copy(), owners.own(arenas["moment2"]).copy()
    return Progress(given, counts, moments, start, totals, states)


def new_totals(n_latent: int, spread: Spread) -> NDArray[np.float64]:
    """Zeros for the totals of an epoch: a row for each block, where there are several."""
    totals = engine.new_totals(n_latent)
    return totals if spread.is_plain else np.zeros((spread.n_blocks, len(totals)))


def is_thorough(path: Path, saved: checkpoints.SavedRun) -> bool:
    """Whether a saved run knows its rows by all of them."""
    with explaining(path, "checkpoint"):
        return bool(_checked_run(saved.facts["run"])["facts"]["thorough"])


def from_last_fit(
    vae: Trainable,
    rows: Checked,
    held_out: Checked | None,
    settings: Settings,
    parts: Parts = WHOLE,
) -> Progress:
    """Go on where the model's last `fit` ended, whatever ended it but a divergence.

    Raises
    ------
    ValueError
        If there is nothing to go on with, or data, sizes or settings are others; nothing has
        changed then.
    """
    progress = vae.last_run
    if progress is None or vae.history is None:
        raise ValueError(
            "resume=True goes on with the last fit of the same model, and there is none, or it "
            "diverged; give the path of a checkpoint, or leave resume out"
        )
    counts, begun = progress.counts, progress.identity
    given = identity_of(
        vae, rows, held_out, settings, thorough=begun.facts["thorough"], parts=parts
    )
    # The object has its seed and weights of the loss, whatever set them meanwhile.
    but_for = {"seed", "reconstruction_weight"}
    if settings.beta is None and "beta_schedule" not in begun.plans:
        but_for.add("beta")
    with _going_on_with("the last fit"):
        check_same(begun.plain(), given, but_for)
        _check_total(settings, counts)
        matched = match_states(settings.listeners, progress.states)
    for callback, state in matched:
        callback.load_state_dict(state)
    last, left = progress.last, progress.left
    if last is not None and left is not None and np.array_equal(vae.network.parameters, left):
        vae.network.overwrite(last)
    vae.updates, vae.epochs = counts.updates, counts.epochs
    for figures in vae.history.values():
        del figures[counts.n_epochs :]
    if settings.checkpoint is not None and not given.facts["thorough"]:
        # Another process will know the rows by it.
        given = identity_of(vae, rows, held_out, settings, thorough=True, parts=parts)
    # Another process makes the model that the run was begun with.
    kept = {name: begun.facts[name] for name in but_for}
    progress.identity = replace(given, facts=given.facts | kept)
    progress.last = progress.left = None
    return progress


def _check_total(settings: Settings, counts: Counts) -> None:
    """Raise a ValueError if `epochs`, the total of the run, is less than was begun."""
    n_begun = counts.n_epochs + counts.has_begun
    if settings.epochs < n_begun:
        raise ValueError(
            f"epochs is the total of a run that goes on, which has begun its epoch {n_begun}; got "
            f"{settings.epochs}"
        )


def _checked_run(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint says of its run, as `Identity.plain` returned it.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is something else.
    """
    texts = [plan[name] for plan in saved["plans"].values() for name in ("text", "values")]
    if type(saved["facts"]["thorough"]) is not bool or not all(type(t) is str for t in texts):
        raise TypeError("run must hold the facts and plans of a run")
    checks.integer(saved["total"], "total", maximum=_MOST_UPDATES)
    return saved


def _check_counts(counts: Counts, n_steps: int) -> None:
    """Raise a ValueError unless a run whose epochs have `n_steps` updates can be where it says."""
    first = counts.n_epochs * n_steps
    last = first + n_steps if counts.has_begun else first
    if not first <= counts.n_told <= counts.n_updates <= last:
        raise ValueError(
            f"after {counts.n_epochs} epochs of {n_steps:,} updates a run has made {first:,} to "
            f"{last:,}; the checkpoint says {counts.n_updates:,}, of which callbacks know "
            f"{counts.n_told:,}"
        )


def _states(saved: Any, arrays: Mapping[str, NDArray[Any]]) -> list[CallbackState]:
    """The callbacks' states that a checkpoint holds."""
    return [
        (
            entry["name"],
            entry["state"] | {key: arrays[f"callbacks.{i}.{key}"] for key in entry["arrays"]},
        )
        for i, entry in enumerate(saved)
    ]


def _history(names: list[str], figures: Mapping[str, NDArray[Any]], n_epochs: int) -> History:
    """The history that a checkpoint holds."""
    for name in names:
        if not is_column(figures[name]):
            raise ValueError(f"the history of {quoted(name)} must hold numbers")
    return History({name: figures[name].tolist() for name in names} if n_epochs else {})


def _part(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `name` and a dot, by what follows."""
    start = f"{name}."
    return {key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)}


@contextmanager
def _going_on_with(what: str) -> Iterator[None]:
    """Make an error say what cannot be gone on with."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"cannot go on with {what}: it has no {printable(str(error))}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot go on with {what}: {printable(str(error), 2000)}") from error
