"""Tasks of the losses, one number per row."""

from __future__ import annotations

from typing import Any

from ..machine.compilation import device_function
from ..machine.memory import advance, pointer
from ..maths.likelihoods import sum_groups
from .latent_tasks import RECONSTRUCTION, TASK_ROWS
from .passes import EXTRA


@device_function
def row_losses_task(task: Any, row: Any, n_rows: Any, work: Any, sums: Any) -> None:
    """Each row's reconstruction loss, from its sums over groups of 8 columns, into `sums`."""
    first = task * TASK_ROWS
    for b in range(first, min(first + TASK_ROWS, n_rows)):
        groups = advance(pointer(work), row[EXTRA] + b * row[EXTRA + 1])
        sums[RECONSTRUCTION, b] = sum_groups(groups, row[EXTRA + 1])
