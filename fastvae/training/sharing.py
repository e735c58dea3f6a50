"""What ranks tell each other between runs of updates: callbacks are called on rank 0 alone."""

from __future__ import annotations

from collections.abc import Callable

from fastvae.distributed.ranks import Ranks
from fastvae.training.progress import NUMBERS
from fastvae.training.trainable import Trainable


def call_on_first(ranks: Ranks, vae: Trainable, calls: Callable[[], object]) -> None:
    """Call on rank 0 what may change the model, and let all ranks have what has become of it.

    Raises
    ------
    BaseException
        On all ranks, if it does on rank 0; the model is then as it was left there.
    """
    if ranks.size == 1:
        calls()
        return
    gate = vae.network.gate
    n_written = gate.n_written
    try:
        ranks.first_alone(calls)
    finally:
        _share(ranks, vae, ranks.is_first and gate.n_written != n_written)


def _share(ranks: Ranks, vae: Trainable, is_rewritten: bool) -> None:
    """Give all ranks the numbers of rank 0's model, and its weights where they were changed."""
    names = (*NUMBERS, "updates", "stop_training")
    values, is_rewritten = ranks.from_first(([getattr(vae, name) for name in names], is_rewritten))
    for name, value in zip(names, values, strict=True):
        setattr(vae, name, value)
    if is_rewritten:
        with vae.network.gate.writing:
            ranks.array_from_first(vae.network.parameters)
