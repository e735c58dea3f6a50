"""How every kernel is compiled: the flags, named once, and a disk cache keyed to all sources.

Numba's own cache key sees neither callees in other files nor flags nor globals, so machine
code is kept in a folder named by a hash of all kernel sources, the flags, the instruction set
and the versions of Numba and Python: after an edit or an upgrade, or with another `FASTVAE_ISA`,
another folder is used. `cache` says where it is, `cached_code` what is in it.
"""

import contextlib
import functools
import hashlib
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy
import numpy.ma  # else Numba does it later: a child forked meanwhile would wait for it
from numba.core import config, event

from .cache import open_folder, warn_once
from .cached_code import CachedCode
from .compiler_thread import compile_aside
from .inlined import DeviceCompiler, ignore_constants
from .isa import ISA
from .layers import meet
from .sizes import SIZES

_KERNELS = Path(__file__).resolve().parents[1]

FASTMATH = frozenset({"contract", "nsz"})
"""`reassoc` and `arcp` would reorder sums, `nnan` and `ninf` would let NaN be assumed away."""

FLAGS: dict[str, Any] = {"fastmath": set(FASTMATH), "error_model": "numpy", "nogil": True}
_DEVICE: dict[str, Any] = {
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": DeviceCompiler,
}  # fmt: skip


def _sources_key() -> str | None:
    """A digest of what machine code is made from; None where the sources cannot be read."""
    digest = hashlib.sha256()
    compiler = config.CPU_NAME, config.CPU_FEATURES
    settings = (sorted(FASTMATH), FLAGS["error_model"], ISA, SIZES, *compiler)
    python = (sys.implementation.cache_tag, getattr(sys, "abiflags", ""))
    versions = (numba.__version__, llvmlite.__version__, numpy.__version__, python)
    digest.update(repr((settings, versions)).encode())
    sources = sorted(_KERNELS.rglob("*.py"))
    try:
        for source in sources:
            digest.update(str(source.relative_to(_KERNELS)).encode() + b"\0" + source.read_bytes())
    except OSError:
        return None
    return digest.hexdigest()[:20] if sources else None  # none: all in a zip file, or bytecode


_KEY = _sources_key()


def cache_folder() -> Path | None:
    """Return the folder that machine code is cached in, or None where there is none to be used."""
    if _KEY is None:
        return None
    try:
        with open_folder(_KEY, create=True) as folder:
            return Path(folder.path)
    except OSError as error:
        warn_once(error)
        return None


def _own_key(function: Callable[..., Any]) -> str:
    """The hash of a file outside the kernels that a function stands in; else nothing."""
    source = Path(function.__code__.co_filename).resolve()
    if source.is_relative_to(_KERNELS):
        return ""
    return hashlib.sha256(source.read_bytes()).hexdigest()[:20]


def _jit(function: Callable[..., Any], *, parallel: bool, cache: bool) -> Any:
    if config.DISABLE_JIT:
        raise ImportError("fastvae's kernels are machine code only; unset NUMBA_DISABLE_JIT")
    options = {} if cache else _DEVICE
    dispatcher = numba.njit(parallel=parallel, **FLAGS, **options)(function)
    if not cache:
        ignore_constants(dispatcher)
    # What a closure has in its cells is in no key.
    if cache and _KEY is not None and function.__closure__ is None:
        with contextlib.suppress(OSError):  # a source that cannot be read has no key
            dispatcher._cache = CachedCode(function, _KEY, _own_key(function))
    if cache:  # Numba calls this where it has no machine code for the arguments of a call
        dispatcher._compile_for_args = functools.partial(
            _compile_for_call, dispatcher._compile_for_args, parallel
        )
    return dispatcher


def _compile_for_call(compile_for: Callable[..., Any], parallel: bool, *arguments: Any) -> Any:
    if parallel:
        meet()  # who calls starts the threads: TBB can be forked by who did alone
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


def compilations() -> contextlib.AbstractContextManager[Any]:
    """Record what is compiled meanwhile: the `buffer` stays empty where all code was there."""
    return event.install_recorder("numba:compile")


def would_load(compiled: Any, argument_types: tuple[Any, ...]) -> bool:
    """Tell whether a kernel's code for these Numba types would be loaded from the cache on disk."""
    cache = compiled._cache
    return isinstance(cache, CachedCode) and cache.holds(argument_types, compiled.targetctx)


@functools.cache
def address_of(compiled: Any, argument_types: tuple[Any, ...]) -> int:
    """Compile a kernel for these Numba types, if need be, and return its machine code's address."""
    return compile_aside(_address_of, compiled, argument_types)


def _address_of(compiled: Any, argument_types: tuple[Any, ...]) -> int:
    compiled.compile(argument_types)
    code, description = attrgetter("library", "fndesc")(compiled.overloads[argument_types])
    return int(code.get_pointer_to_function(description.llvm_func_name))
