"""The machine: instruction set, compilation, vectors, memory, threads and their teams.

Imports nothing of this project.
"""

from .cpus import prepare_numba as _prepare_numba

_prepare_numba()  # before Numba is imported

from . import threads as _threads  # noqa: E402, F401  first: it must load TBB before Numba looks for it
