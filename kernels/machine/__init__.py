"""The machine: instruction set, compilation, vectors, memory, threads and their teams.

Imports nothing of this project.
"""

from . import threads as _threads  # noqa: F401  first: it must load TBB before Numba looks for it
