"""The machine: instruction set, compilation, vectors, memory, threads and their teams.

Imports nothing of this project.
"""

from numba.core import config as _config

if _config.DISABLE_JIT:
    raise ImportError("fastvae's kernels are machine code only; unset NUMBA_DISABLE_JIT")

from . import threads as _threads  # noqa: F401  first: it must load TBB before Numba looks for it
