"""``fastvae info``, ``data`` and ``warmup``: the model, the installation, what is on disk."""

import json
import platform
import time
import warnings
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import llvmlite
import llvmlite.binding
import numpy as np

import fastvae
from fastvae import VAE, kernels
from fastvae.checks.quoting import printable
from fastvae.commands.inputs import load_model
from fastvae.data import NAMES, cache_folder, locate, synthetic_digits
from fastvae.data.published import SOURCES
from fastvae.evaluation import evaluate
from fastvae.kernels.machine.compilation import compilations
from fastvae.kernels.machine.isa import isa_limits
from fastvae.model.description import facts

_MAX_CARD = 20_000


def info(args: Namespace) -> None:
    """Describe a model or, where none is given, the installation."""
    if args.model is None:
        _print_table(_installation())
        return
    vae = load_model(args)
    print(vae)
    print(f"\nfrom {printable(args.model)}")
    _print_table(facts(vae))
    if vae.card:
        card = json.dumps(vae.card, indent=2)  # which escapes whatever acts on a terminal
        print(card if len(card) <= _MAX_CARD else f"{card[:_MAX_CARD]} ...")


def data(args: Namespace) -> None:
    """List which data sets are where."""
    table = {}
    for name in NAMES:
        if name == "synthetic_digits":
            table[name] = "drawn when it is asked for"
            continue
        try:
            files = locate(name, args.data_dir)
        except (ValueError, FileNotFoundError) as error:
            table[name] = f"not usable: {str(error).splitlines()[0].rstrip(':')}"
            continue
        if files is None and not SOURCES[name].mirrors:
            table[name] = f"not on disk, and not downloaded: it is in {SOURCES[name].home}"
        elif files is None:
            table[name] = f"not on disk; would be downloaded to {cache_folder(name)}"
        else:
            table[name] = ", ".join(sorted({str(path.parent) for path in files.values()}))
    _print_table(table)
    print(
        "\nTo use your own copy, put the four files into FOLDER/NAME and pass --data-dir FOLDER, "
        "or name FOLDER in the environment variable FASTVAE_DATA. A folder that is named is the "
        "only one that is searched."
    )


def warmup(args: Namespace) -> None:
    """Compile ahead what the commands need; that nothing is missing shows where it is used."""
    dtypes = (np.float32, np.float64) if args.float64 else (np.float32,)
    start = time.perf_counter()
    with compilations() as compiled:
        fastvae.warmup(dtypes)
        rows = synthetic_digits(2).images
        for dtype in dtypes:
            vae = VAE.from_sizes(rows.shape[1], (2,), 1, dtype=dtype)
            evaluate(vae, rows, binarize="dynamic")
            by_rows = VAE.from_sizes(
                rows.shape[1], (2,), 1, likelihood="gaussian", sigma="learned", dtype=dtype
            )
            by_rows.fit(rows, epochs=1, verbose=False)
            for model in (vae, by_rows):
                model.sample(1)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of few samples
                    model.log_likelihood(rows, n_samples=2)
    is_kept = kernels.is_compiled(dtypes, on_disk=True)
    place = (
        f"in {printable(str(kernels.cache_folder()))}"
        if is_kept
        else "not kept: no cache folder can be used"
    )
    if compiled.buffer:
        time_taken = f"compiled in {time.perf_counter() - start:.1f} s"
        print(f"{time_taken}, {'kept ' * is_kept}{place}")
    else:
        print(f"already compiled, {place}")


def _installation() -> dict[str, str]:
    cache = kernels.cache_folder()
    return {
        "fastvae": fastvae.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": f"{version('numba')} (llvmlite {llvmlite.__version__})",
        "CPU": f"{cpu_name()} ({llvmlite.binding.get_host_cpu_name()})",
        "instruction set": kernels.isa() + (f" (by {isa_limits()})" if isa_limits() else ""),
        "threads": str(kernels.get_num_threads()),
        "threading layer": kernels.threading_layer(),
        "compiled code": str(cache) if cache is not None else "not kept: no folder can be used",
        "compiled": "yes" if kernels.is_compiled() else "not yet ('fastvae warmup' does it)",
    }


def cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _print_table(table: dict[str, str]) -> None:
    width = max(map(len, table))
    for name, value in table.items():
        print(f"{name:<{width}}  {printable(value)}")
