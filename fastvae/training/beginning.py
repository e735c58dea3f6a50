"""How a run begins: its rows on every rank, what ranks must agree on, and where it goes on."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from fastvae import kernels
from fastvae.data.labelled import Checked
from fastvae.data.rows import Rows
from fastvae.distributed.blocks import Blocks
from fastvae.distributed.parts import WHOLE, BlockParts, Parts
from fastvae.distributed.spread import Owners
from fastvae.files import checkpoints
from fastvae.training import resuming, schedules
from fastvae.training.history import History
from fastvae.training.progress import Counts, Moments, Progress
from fastvae.training.settings import Settings
from fastvae.training.trainable import Trainable


@dataclass(frozen=True)
class Share:
    """What a rank has of the data.

    Attributes
    ----------
    rows : ndarray or Labelled
        Its training rows, checked.
    held_out : ndarray or Labelled, optional
        All rows to evaluate.
    blocks : Blocks
        How the training rows of all ranks are cut.
    parts : Parts
        Of which `rows` are some.
    """

    rows: Checked
    held_out: Checked | None
    blocks: Blocks
    parts: Parts

    @property
    def n_rows(self) -> int:
        """Training rows of all ranks together."""
        return self.blocks.n_rows


def share_of(
    vae: Trainable,
    data: Rows,
    validation: Any,
    settings: Settings,
    labels: ArrayLike | None,
    *,
    is_new: bool,
) -> Share:
    """What this rank has of the data, checked; ranks other than the first warn of nothing.

    Raises
    ------
    TypeError, ValueError
        If rows are not what they must be.
    """
    spread = settings.spread
    with warnings.catch_warnings():
        if not spread.ranks.is_first:
            warnings.simplefilter("ignore")
        data, labels, first_row, n_rows = spread.own(data, labels)
        # Scales are looked at where training begins: later rows are what they are.
        with _counting_from(first_row):
            rows = vae.check_rows(data, "data", "training" if is_new else "validation", labels)
        held_out = (
            None if validation is None else vae.check_rows(validation, "validation", "validation")
        )
    blocks = Blocks(len(rows) if n_rows < 0 else n_rows, spread.n_blocks)
    parts = WHOLE if spread.is_plain else BlockParts(spread, blocks)
    return Share(rows, held_out, blocks, parts)


@contextmanager
def _counting_from(first_row: int) -> Iterator[None]:
    """Make an error that names a row say where this rank's rows begin."""
    try:
        yield
    except ValueError as error:
        if first_row == 0:
            raise
        raise ValueError(f"{error} (rows counted from row {first_row:,} of all)") from error


def check(vae: Trainable, share: Share, settings: Settings) -> None:
    """Refuse settings that have no meaning, before anything has changed.

    Raises
    ------
    TypeError, ValueError
        If schedules are not what they must be, or the objective has no meaning with other settings.
    """
    _check_schedules(settings, share.n_rows)
    beta = vae.beta if settings.beta is None else settings.beta
    settings.objective.check(vae.nats, "a schedule" if callable(beta) else beta)


def check_alike(vae: Trainable, share: Share, settings: Settings) -> None:
    """Refuse ranks that would not do the same; all ranks must call this.

    Raises
    ------
    ValueError
        On all ranks, if what one was given, or its processor, differs from rank 0's.
    """
    ranks = settings.spread.ranks
    if ranks.size == 1:
        return
    network = vae.network
    given = {
        "the layers": network.layers,
        "the likelihood": str(network.likelihood),
        "the instruction set (FASTVAE_ISA sets it)": kernels.isa(),
        "the weights": hashlib.sha256(network.parameters.data).hexdigest(),
        "seed": vae.seed,
        "beta": None if callable(settings.beta) else (settings.beta or vae.beta),
        "reconstruction_weight": vae.reconstruction_weight,
        "updates": vae.updates,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "n_blocks": settings.spread.n_blocks,
        "optimizer": repr(settings.optimizer),
        "clip_norm": settings.clip_norm,
        "binarize": settings.binarize,
        "objective": str(settings.objective),
        "the number of rows": share.n_rows,
        "validation": None if share.held_out is None else share.held_out.shape,
    }
    first, *others = ranks.of_all(given)
    for rank, other in enumerate(others, 1):
        for name, value in first.items():
            if other[name] != value:
                ranks.raise_on_all(
                    ValueError(
                        f"all ranks must be given the same: {name} is {value} on rank 0 and "
                        f"{other[name]} on rank {rank}"
                    )
                )


def progress_of(
    vae: Trainable, share: Share, settings: Settings, owners: Owners, moments: Moments | None
) -> Progress:
    """Where the run is: at its beginning, or where it goes on."""
    ranks = settings.spread.ranks
    resume = ranks.from_first(settings.resume)
    if resume is False:
        return _begin(vae, share, settings, owners, moments)
    if resume is True:
        return resuming.from_last_fit(vae, share.rows, share.held_out, settings, share.parts)
    read = ranks.together(lambda: checkpoints.read(resume) if ranks.is_first else None)
    saved = ranks.from_first(read)
    assert saved is not None
    thorough = ranks.together(lambda: resuming.is_thorough(resume, saved))
    given = resuming.identity_of(
        vae, share.rows, share.held_out, settings, thorough=thorough, parts=share.parts
    )
    return ranks.together(
        lambda: resuming.from_checkpoint(resume, saved, vae, given, settings, owners)
    )


def _begin(
    vae: Trainable, share: Share, settings: Settings, owners: Owners, moments: Moments | None
) -> Progress:
    """The progress of a new run, and a model that is ready for it."""
    thorough = settings.spread.ranks.from_first(settings.checkpoint is not None)
    given = resuming.identity_of(
        vae, share.rows, share.held_out, settings, thorough=thorough, parts=share.parts
    )
    if settings.beta is not None and not callable(settings.beta):
        vae.beta = settings.beta
    vae.last_run = None  # of the run before, which is over from here on
    vae.learning_rate_factor = 1.0
    vae.history = History()
    updates, epochs = vae.updates, vae.epochs
    counts = Counts(
        updates, epochs, order_seed=vae.seed, start_updates=updates, start_epochs=epochs
    )
    if moments is None:
        moments = Moments((owners.new(), owners.new()), 0)
    progress = Progress(
        given,
        counts,
        moments=moments.arenas,
        earlier_updates=moments.n_updates,
        start=vae.network.parameters.copy(),
        totals=resuming.new_totals(vae.n_latent, settings.spread),
    )
    vae.start_output_bias(share.rows, settings.binarize, share.parts)
    return progress


def _check_schedules(settings: Settings, n_rows: int) -> None:
    """Ask schedules for their first and last value, before anything has changed."""
    total = settings.epochs * -(-n_rows // min(settings.batch_size, n_rows))
    ends = (0, total - 1)
    schedules.rates(settings.schedule, ends, total)
    if callable(settings.beta):
        schedules.rates(settings.beta, ends, total, "beta")
