"""The machine: instruction set, compilation, vectors, memory, threads and their teams.

Imports nothing of this project.
"""

from .cpus import prepare_numba as _prepare_numba

_prepare_numba()  # before Numba is imported

from numba.core import config as _config  # noqa: E402

if _config.DISABLE_JIT:
    raise ImportError("fastvae's kernels are machine code only; unset NUMBA_DISABLE_JIT")

from . import threads as _threads  # noqa: E402, F401  first: it must load TBB before Numba looks for it
