"""How every kernel is compiled: the flags, named once, and a disk cache keyed to all sources.

Numba's own cache key sees neither callees in other files nor flags nor globals, so machine
code is kept in a folder named by a hash of all kernel sources, the flags, the instruction set
and the versions of Numba and Python: after an edit or an upgrade, or with another `FASTVAE_ISA`,
another folder is used.
"""

import functools
import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config

from .compiler_thread import compile_aside
from .isa import ISA

_KERNELS = Path(__file__).resolve().parents[1]

FASTMATH = frozenset({"contract", "nsz"})
"""`reassoc` and `arcp` would reorder sums, `nnan` and `ninf` would let NaN be assumed away."""

FLAGS: dict[str, Any] = {"fastmath": set(FASTMATH), "error_model": "numpy", "nogil": True}


def _user_cache() -> Path:
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _sources_key() -> str:
    digest = hashlib.sha256()
    settings = (sorted(FASTMATH), FLAGS["error_model"], ISA, config.CPU_NAME, config.CPU_FEATURES)
    versions = (numba.__version__, llvmlite.__version__, sys.version_info[:2])
    options = (config.OPT, config.SLP_VECTORIZE, config.LOOP_VECTORIZE, config.BOUNDSCHECK)
    digest.update(repr((settings, versions, options)).encode())
    for source in sorted(_KERNELS.rglob("*.py")):
        digest.update(str(source.relative_to(_KERNELS)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:20]


def _writable_cache() -> Path | None:
    try:
        folder = _user_cache() / "fastvae" / f"kernels-{_sources_key()}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder can be determined
        warnings.warn(
            f"no writable cache folder ({error}): kernels are compiled anew in each process; "
            "set NUMBA_CACHE_DIR to a writable folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


_CACHE_FOLDER = _writable_cache()


def cache_folder() -> Path | None:
    """Return the folder that machine code is cached in, or None where none is writable."""
    return _CACHE_FOLDER


def _own_key(function: Callable[..., Any]) -> str:
    """A sub-folder for code that stands outside the kernels, named by its file's own hash."""
    source = Path(function.__code__.co_filename).resolve()
    if source.is_relative_to(_KERNELS):
        return ""
    return hashlib.sha256(source.read_bytes()).hexdigest()[:20]


def _jit(function: Callable[..., Any], *, parallel: bool, cache: bool) -> Any:
    if config.DISABLE_JIT:
        raise ImportError("fastvae's kernels are machine code only; unset NUMBA_DISABLE_JIT")
    wrappers = {} if cache else {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(parallel=parallel, **FLAGS, **wrappers)(function)
    if cache and _CACHE_FOLDER is not None:
        previous = config.CACHE_DIR
        config.CACHE_DIR = str(_CACHE_FOLDER / _own_key(function))
        try:
            dispatcher.enable_caching()
        finally:
            config.CACHE_DIR = previous
    if cache:  # Numba calls this where it has no machine code for the arguments of a call
        dispatcher._compile_for_args = functools.partial(
            _compile_for_call, dispatcher._compile_for_args, parallel
        )
    return dispatcher


def _compile_for_call(compile_for: Callable[..., Any], parallel: bool, *arguments: Any) -> Any:
    if parallel:
        numba.get_num_threads()  # who calls starts the threads: TBB can be forked by who did alone
    return compile_aside(compile_for, *arguments)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a serial kernel that Python calls; its machine code is cached on disk."""
    return _jit(function, parallel=False, cache=True)


def parallel_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel with a `prange` that Python may call; cached on disk."""
    return _jit(function, parallel=True, cache=True)


def device_function(function: Callable[..., Any]) -> Any:
    """Compile a helper that only kernels call; it becomes part of their machine code."""
    return _jit(function, parallel=False, cache=False)


@functools.cache
def address_of(compiled: Any, argument_types: tuple[Any, ...]) -> int:
    """Compile a kernel for these Numba types, if need be, and return its machine code's address."""
    return compile_aside(_address_of, compiled, argument_types)


def _address_of(compiled: Any, argument_types: tuple[Any, ...]) -> int:
    compiled.compile(argument_types)
    code, description = attrgetter("library", "fndesc")(compiled.overloads[argument_types])
    return int(code.get_pointer_to_function(description.llvm_func_name))
