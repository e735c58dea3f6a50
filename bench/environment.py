"""The environment variables of contestants: the same for all, whatever the caller's are.

Processes of contestants get an allow-list. What slows a library comes in too many spellings to be
listed (the core, block sizes, threads, allocators and debugging modes of every BLAS, framework and
run time, and new ones each year); what a process needs to start and to find its files does not.
The lists of settings below serve messages, and the one suite that runs in the caller's process.
"""

from __future__ import annotations

from collections.abc import Mapping

_KEPT = {
    *("HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE"),
    # Where Python finds its packages, shared libraries and caches of byte code.
    *("VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH"),
    *("PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONPYCACHEPREFIX"),
    # Data, caches, and the compilers without which PyTorch cannot compile.
    *("FASTVAE_DATA", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CC", "CXX"),
}
_KEPT_PREFIXES = ("LC_", "XDG_")
_FIXED = {"JAX_PLATFORMS": "cpu"}
"""All contestants compute on CPUs; the others do unless they are told to use a GPU."""

THREADS = "NUMBA_NUM_THREADS"
"""Read by `bench.ratios` as the number of threads of every contestant."""

_INSTRUCTION_SETS = {
    *("OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE", "BLIS_MODEL_TYPE", "AOCL_ENABLE_INSTRUCTIONS"),
    *("MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "NVPL_BLAS_DEBUG_CPU_TYPE"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY"),
    *("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "ONEDNN_CPU_ISA_HINTS"),
    *("XLA_FLAGS", "LIBXSMM_TARGET", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"),
    *("FASTVAE_ISA", "GLIBC_TUNABLES", "LD_HWCAP_MASK"),
}
_SETTINGS = {
    *("FASTVAE_ISA", "FASTVAE_SIZES", "GLIBC_TUNABLES", "LRU_CACHE_CAPACITY", "CPUPROFILE"),
    *("HEAPPROFILE", "COVERAGE_PROCESS_START", "PYTHONDEVMODE", "PYTHONMALLOC"),
    *("PYTHONMALLOCSTATS", "PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG", "PYTHONDUMPREFS"),
    *("PYTHONPROFILEIMPORTTIME", "PYTHONPERFSUPPORT", "PYTHONOPTIMIZE", "PYTHON_CPU_COUNT"),
    *("PYTHON_GIL", "PYTHON_JIT", "PYTHON_PERF_JIT_SUPPORT", "PYTHON_TLBC"),
}
_SETTING_PREFIXES = (
    # BLAS libraries
    *("OPENBLAS", "GOTO", "MKL_", "BLIS_", "AOCL_", "NVPL_", "ARMPL_", "VECLIB_", "ATLAS_"),
    *("FLEXIBLAS", "LIBXSMM_", "BLAS_"),
    # OpenMP, TBB and where threads are placed
    *("OMP_", "GOMP_", "KMP_", "LIBOMP", "TBB_", "HWLOC_"),
    # frameworks and what they compute with
    *("NPY_", "NUMPY_", "NUMEXPR_", "NUMBA_", "XLA_", "JAX_", "PJRT_", "TF_", "TORCH", "PYTORCH_"),
    *("ATEN_", "C10_", "CAFFE2_", "DNNL_", "ONEDNN_", "IDEEP_", "EIGEN_", "TRITON_"),
    # memory and the dynamic loader
    *("MALLOC_", "TCMALLOC_", "JEMALLOC_", "JE_", "MIMALLOC_", "LD_", "DYLD_"),
)
_OTHERS_PREFIXES = ("TF_CLI_", "TF_VAR_")
"""Terraform's, which share a prefix with TensorFlow's."""


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a contestant's process: what it needs, and no settings.

    Parameters
    ----------
    environment : the caller's, as in `os.environ`
    """
    return {name: value for name, value in environment.items() if _is_kept(name)} | _FIXED


def settings(environment: Mapping[str, str]) -> list[str]:
    """Return the names of variables that may change how fast a contestant computes, sorted."""
    return sorted(
        name
        for name, value in environment.items()
        if _is_setting(name) and value != _FIXED.get(name)
    )


def instruction_sets(environment: Mapping[str, str]) -> list[str]:
    """Return the names of variables by which libraries are held to some instruction set or core."""
    return sorted(_INSTRUCTION_SETS.intersection(environment))


def unset_them(names: list[str]) -> str:
    """Return how a command is run without these variables."""
    return f"unset them: env {' '.join(f'-u {name}' for name in names)} COMMAND"


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)


def _is_setting(name: str) -> bool:
    if _is_kept(name) or name.startswith(_OTHERS_PREFIXES):
        return False
    return name in _SETTINGS or name.startswith(_SETTING_PREFIXES)
