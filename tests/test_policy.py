"""What holds for all code of the repository, read from its sources and its compiled functions."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

import fastvae
from fastvae import kernels
from fastvae.kernels import reference

ROOT = Path(__file__).resolve().parents[1]
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))
LAYERS = sorted(p for p in (ROOT / "fastvae").rglob("*.py") if "kernels" not in p.parts)
BENCH = sorted((ROOT / "bench").rglob("*.py"))
if not (ROOT / "setup.py").is_file():
    pytest.skip("the sources are not beside the tests", allow_module_level=True)
COMPILATION = Path(inspect.getfile(kernels.cache_folder)).resolve()
JIT_DECORATORS = {"kernel", "parallel_kernel", "device_function"}
LONGEST_FILE = 400
MOST_PARAMETERS = 8

# Each room, within `fastvae`, and what its modules may import besides each other: rooms that stand
# above it, with the rooms inside them, or ("room:module"; "room:" for its `__init__`) one
# module only. "" is the face of the package, what stands in no room, and leads to everything.
ROOMS: dict[str, tuple[str, ...]] = {
    "kernels.machine": (),
    "kernels.maths": ("kernels.machine",),
    "kernels.engine": ("kernels.machine", "kernels.maths"),
    "kernels.arrays": ("kernels.machine", "kernels.maths", "kernels.engine"),
    "kernels": ("kernels.machine", "kernels.maths", "kernels.engine", "kernels.arrays"),
    "checks": (),
    "files": ("kernels", "checks"),
    "data": ("kernels", "checks", "files:kinds", "files:npy", "files:reading"),
    "distributed": ("kernels", "checks", "data"),
    "training": ("kernels", "checks", "data", "files", "distributed"),
    "model": ("kernels", "checks", "data", "files", "distributed", "training"),
    "estimators": ("kernels", "checks", "data", "training", "model"),
    "plots": (
        "kernels",
        "checks",
        "data:rows",
        "files:writing",
        "training:callbacks",
        "training:evaluation",
        "training:history",
        "training:patience",
        "model:names",
        "model:vae",
    ),
    "explore": (
        "kernels",
        "checks",
        "data",
        "files:mixtures",
        "files:writing",
        "training:evaluation",
        "model",
        "plots:shapes",
    ),
    "commands": ("",),
    "": ("",),
}
# Modules of the face that only import what stands in the rooms: the documented paths.
FACES = (
    *("callbacks", "schedules", "optimizers", "evaluation", "animation", "vae", "nn", "cli"),
    *("sklearn", "typing"),
)


def name_of(path: Path) -> str:
    """The module's full name: ``kernels/x.py`` is imported as ``fastvae.kernels.x``."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "kernels":
        parts.insert(0, "fastvae")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def located(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def imports(path: Path) -> Iterator[tuple[str, str, ast.stmt]]:
    """Yield (module, name or "", statement) of each import, with relative ones made absolute.

    Those in functions and for type checkers are imports like all others.
    """
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield module, alias.name, node


def dispatchers() -> dict[str, Dispatcher]:
    """Every function that Numba compiles in fastvae."""
    found = pkgutil.walk_packages(fastvae.__path__, "fastvae.")
    modules = [
        importlib.import_module(module.name)
        for module in found
        if not module.name.endswith("__main__")
    ]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }


def test_only_the_project_s_decorators_compile() -> None:
    forbidden = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil"}
    for path in [*KERNELS, *LAYERS]:
        if path == COMPILATION:
            continue
        for node in ast.walk(tree_of(path)):
            names = {getattr(node, key, None) for key in ("id", "attr", "name")}
            assert not names & forbidden, f"{located(path, node)}: {ast.unparse(node)}"


def test_flags_of_every_compiled_function() -> None:
    compiled = dispatchers()
    assert len(compiled) > 20
    for name, dispatcher in compiled.items():
        options = dispatcher.targetoptions
        assert options["fastmath"] == {"contract", "nsz"}, name
        assert options["error_model"] == "numpy", name
        assert options["nopython"], name


def test_compiled_functions_never_raise() -> None:
    """An exception in a parallel region is lost: Python validates, kernels do not."""
    n_compiled = 0
    for path in [*KERNELS, *LAYERS]:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and JIT_DECORATORS & {
                ast.unparse(decorator) for decorator in node.decorator_list
            }:
                n_compiled += 1
                for inner in ast.walk(node):
                    assert not isinstance(inner, ast.Raise | ast.Assert), located(path, inner)
    assert n_compiled > 20


def public_functions() -> dict[str, Any]:
    """The functions that `fastvae.kernels` offers, as they are written (not compiled)."""
    return {
        name: value.py_func if isinstance(value, Dispatcher) else value
        for name, value in vars(kernels).items()
        if not name.startswith("_") and (isinstance(value, Dispatcher) or inspect.isfunction(value))
    }


# What is public and no kernel: storage of a packed network; threads, compiler and machine.
MACHINE = {"cache_folder", "is_compiled", "isa", "warmup"}
THREADS = {"get_num_threads", "max_threads", "set_num_threads", "threading_layer"}
NOT_KERNELS = MACHINE | THREADS


def test_every_public_kernel_has_a_reference_of_the_same_signature() -> None:
    public = public_functions()
    assert set(public) - NOT_KERNELS == set(reference.__all__)
    for name in reference.__all__:
        ours = inspect.signature(getattr(reference, name)).parameters
        theirs = inspect.signature(public[name]).parameters
        assert list(ours) == list(theirs), name
        assert all(p.default is p.empty for p in [*ours.values(), *theirs.values()]), name


def test_public_kernels_are_documented() -> None:
    for name, function in public_functions().items():
        assert inspect.getdoc(function), name
        if name in reference.__all__:
            for documented in (function, getattr(reference, name)):
                assert "Parameters\n----------\n" in (inspect.getdoc(documented) or ""), name


def test_kernels_stand_alone() -> None:
    allowed = {"numpy", "numba", "llvmlite", *sys.stdlib_module_names}
    for path in KERNELS:
        for module, _, node in imports(path):
            inside = module.startswith("fastvae.kernels")
            assert inside or module.partition(".")[0] in allowed, located(path, node)


def imported_modules(path: Path) -> dict[str, ast.stmt]:
    """The modules of this repository that a module imports."""
    known = {name_of(other) for other in [*KERNELS, *LAYERS]}
    found: dict[str, ast.stmt] = {}
    for module, name, node in imports(path):
        for candidate in (f"{module}.{name}", module):
            if candidate in known:
                found.setdefault(candidate, node)
                break
    return found


def full_name(room: str) -> str:
    return f"fastvae.{room}".rstrip(".")


def room_of(module: str) -> str:
    """The room that a module of `fastvae` stands in: "" for its face."""
    inside = [room for room in ROOMS if f"{module}.".startswith(f"{full_name(room)}.")]
    return max(inside, key=len)


def leads_to(arrow: str, module: str) -> bool:
    """Whether an entry of `ROOMS` allows to import the module."""
    room, colon, name = arrow.partition(":")
    if colon:
        return module == full_name(f"{room}.{name}")
    return f"{module}.".startswith(f"{full_name(room)}.")


def test_arrows_lead_to_rooms_above() -> None:
    rooms = list(ROOMS)
    for i, (room, arrows) in enumerate(ROOMS.items()):
        for arrow in filter(None, arrows):
            assert arrow.partition(":")[0] in rooms[:i], f"{room}: {arrow}"


def test_every_module_stands_in_a_room() -> None:
    faces = {"fastvae", "fastvae.__main__", "fastvae.kernels", *map(full_name, FACES)}
    modules = {name_of(path) for path in [*KERNELS, *LAYERS]}
    homeless = {module for module in modules - faces if room_of(module) in ("", "kernels")}
    assert not homeless, sorted(homeless)


def test_imports_follow_the_arrows() -> None:
    """Those in functions and for type checkers, too."""
    wrong = []
    for path in [*KERNELS, *LAYERS]:
        room = room_of(name_of(path))
        for module, node in imported_modules(path).items():
            if room_of(module) != room and not any(leads_to(a, module) for a in ROOMS[room]):
                wrong.append(f"{located(path, node)}: {module}")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_through_others() -> None:
    """Not even in functions or for type checkers; the package's face, which hands on, excepted."""
    graph = {
        name_of(path): set(imported_modules(path)) - {"fastvae"}
        for path in [*KERNELS, *LAYERS]
        if name_of(path) != "fastvae"
    }
    circles = set()
    for start, first in graph.items():
        reached: set[str] = set()
        todo = list(first)
        while todo:
            module = todo.pop()
            if module not in reached:
                reached.add(module)
                todo.extend(graph[module])
        if start in reached:
            circles.add(start)
    assert not circles, sorted(circles)


def test_faces_only_import() -> None:
    """A docstring, imports, and the names that are offered."""
    for path in LAYERS:
        if name_of(path) in map(full_name, FACES):
            for node in tree_of(path).body[1:]:
                offers = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
                assert offers or isinstance(node, ast.ImportFrom), located(path, node)


def n_parameters(function: ast.FunctionDef) -> int:
    given = function.args
    named = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    return named + (given.vararg is not None) + (given.kwarg is not None)


def test_no_inner_kernel_takes_many_arguments() -> None:
    """What belongs together travels together; public kernels take plain arrays and numbers."""
    long = [
        f"{located(path, node)}: {node.name} takes {n_parameters(node)}"
        for path in KERNELS
        if room_of(name_of(path)) != "kernels.arrays"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and n_parameters(node) > MOST_PARAMETERS
    ]
    assert not long, "\n".join(long)


def test_no_private_name_crosses_rooms() -> None:
    for path in [*KERNELS, *LAYERS, *BENCH]:
        own = name_of(path)
        for module, name, node in imports(path):
            parts = [*module.split("."), name]
            private = any(part.startswith("_") and not part.endswith("__") for part in parts)
            if private and parts[0] in ("fastvae", "bench"):
                same = parts[0] == own.partition(".")[0]
                if same and parts[0] == "fastvae":
                    same = room_of(module) == room_of(own)
                assert same, located(path, node)


def test_no_pickle() -> None:
    """Unpickling runs code; no file that a user may receive is read so.

    Machine code is, which runs anyway: from the user's own folder, after its checksum.
    """
    for path in {*KERNELS, *LAYERS, *BENCH} - {ROOT / "kernels" / "machine" / "cached_code.py"}:
        for module, name, node in imports(path):
            if module == "joblib.parallel":  # says whether it runs in a worker, and reads nothing
                continue
            words = {*module.split("."), name}
            assert not words & {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve"}, (
                located(path, node)
            )
        for inner in ast.walk(tree_of(path)):
            if isinstance(inner, ast.keyword) and inner.arg == "allow_pickle":
                assert ast.unparse(inner.value) == "False", located(path, inner)


def lines_of_code(path: Path) -> int:
    """Lines that hold more than a docstring or a comment."""
    texts = {
        line
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    nothing |= {tokenize.INDENT, tokenize.DEDENT}
    with tokenize.open(path) as file:
        code = {
            line
            for token in tokenize.generate_tokens(file.readline)
            if token.type not in nothing
            for line in range(token.start[0], token.end[0] + 1)
        }
    return len(code - texts)


def test_no_file_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): n_lines
        for path in [*KERNELS, *LAYERS, *BENCH]
        if (n_lines := lines_of_code(path)) > LONGEST_FILE
    }
    assert not long, long


def test_test_modules_have_names_of_their_own() -> None:
    """Tests lie in folders that are no packages: two modules of one name would be one to Python."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_importing_fastvae_compiles_nothing_and_draws_nothing(tmp_path: Path) -> None:
    program = """
import sys
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    import fastvae
    import fastvae.kernels
assert not compiled.buffer, f"{len(compiled.buffer) // 2} functions were compiled"
heavy = {"matplotlib", "torch", "jax", "IPython"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, "FASTVAE_CACHE": str(tmp_path)},  # nothing compiled before either
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
