"""How much of a region is one task: as much as its caches like, and less for a large team.

How it is split does not change a result: a task owns what it writes, and each element stays one
chain. Tasks are counted and begun by the same function, with the same numbers.
"""

from ..machine.compilation import device_function
from ..machine.kinds import Word

MANY_MEMBERS = 8
"""From so many on, meeting is taken to cost more than the caches save; two were measured."""
LEAST_TASKS = 8
"""Tasks of a product with rows, whatever the team: threads that are late leave theirs to others."""
TASKS_EACH = 4
"""Such tasks for each member of a team."""
SMALL_TASKS_EACH = 2
"""Tasks for each member where a task reads all that the others read, as of lists of non-zeros."""


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
