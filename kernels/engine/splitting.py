"""How much of a region is one task: as much as its caches like, and less for a large team.

How it is split does not change a result: a task owns what it writes, and each element stays one
chain. Tasks are counted and begun by the same function, with the same numbers.
"""

from ..machine.compilation import device_function
from ..machine.kinds import Word
from ..machine.sizes import BLOCK_ROWS
from ..maths.tiles import CHUNK_ROWS

MANY_MEMBERS = 8
"""From so many on, meeting is taken to cost more than the caches save; two were measured."""
LEAST_TASKS = 8
"""Tasks of a product with rows, whatever the team: threads that are late leave theirs to others."""
TASKS_EACH = 4
"""Such tasks for each member of a team."""
SMALL_TASKS_EACH = 2
"""Tasks for each member where a task reads all that the others read, as of lists of non-zeros."""

LEAST_BLOCK_ROWS, LEAST_ROWS_ALONE = 32, 512
"""Rows that each member must have for them to go through several regions by blocks. One member
alone meets nobody: with 512 rows and more it takes 0.87 to 0.99 of the time so, with 256 1.01."""
TASK_ROWS = 8
"""Rows of one task of a region that takes rows one by one."""


@device_function
def rows_count(n_rows: Word) -> Word:
    """Tasks of a few rows each."""
    return (n_rows + TASK_ROWS - 1) // TASK_ROWS


@device_function
def wanted_tasks(n_members: Word) -> Word:
    """How many tasks a product with rows is split into, if they are large enough."""
    return max(LEAST_TASKS, TASKS_EACH * n_members)


@device_function
def part_size(n: Word, most: Word, least: Word, n_others: Word, wanted: Word) -> Word:
    """How many of n rows, tiles or inputs are one task, where each part has `n_others` tasks.

    It is `most`, or so few that there are `wanted` tasks in all, but `least` at least.
    """
    parts = (n + most - 1) // most
    if parts * n_others < wanted:
        share = (wanted + n_others - 1) // n_others
        parts = max(parts, min(share, (n + least - 1) // least))
    return (n + parts - 1) // parts


def block_rows(n_rows: int, n_members: int) -> int:
    """Rows that one member takes through many regions, of a batch; 0 if there are too few for it.

    Blocks are so many that each member has as many as any other; a product takes one at once.
    """
    least = LEAST_ROWS_ALONE if n_members == 1 else LEAST_BLOCK_ROWS * n_members
    if n_rows < least:
        return 0
    most = min(BLOCK_ROWS, CHUNK_ROWS // TASK_ROWS * TASK_ROWS)
    n_blocks = n_members * -(-n_rows // (n_members * most))
    rows = -(-n_rows // n_blocks)
    return -(-rows // TASK_ROWS) * TASK_ROWS
