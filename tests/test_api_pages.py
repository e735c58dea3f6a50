"""The pages of the API reference name what is public, all of it and nothing else."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import fastvae

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")}
MODULES = sorted(
    f"fastvae.{path.stem}"
    for path in Path(fastvae.__file__).parent.iterdir()
    if path.stem in {*dir(fastvae), "cli", "nn", "vae"}
    and (path.suffix == ".py" or (path / "__init__.py").exists())
)
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(?!currentmodule)\w+:: ([\w.]+)", re.MULTILINE)
MEMBERS = re.compile(r"^\.\. autoclass:: ([\w.]+)\n   :members: (.+)", re.MULTILINE)
# What other rooms of the package use of a model, though its name is no private one.
INSIDE = {
    "fastvae.VAE": {
        *("check_rows", "class_number", "decode_draws", "draw_counts", "in_fit", "last_run"),
        *("mean_bound", "nats", "network", "start_output_bias", "take_names", "update_count"),
    },
    "fastvae.History": {"append", "objective", "variant"},  # the last two stand in its text
    "fastvae.nn.Dense": {
        *("in_vae", "initialise_if_unassigned", "join", "read", "start_deviation"),
    },
    "fastvae.typing.EpochHook": {"__call__"},
}


def listed() -> list[str]:
    """What the pages have an entry for, by the path that it is imported by."""
    return [
        name if "." in name else f"fastvae.{page}.{name}"
        for page, text in PAGES.items()
        for name in DIRECTIVE.findall(text)
    ]


def found(path: str) -> Any:
    """What a path stands for."""
    module = max((m for m in ["fastvae", *MODULES] if f"{path}.".startswith(f"{m}.")), key=len)
    names = path.removeprefix(module).split(".")[1:]
    return reduce(getattr, names, importlib.import_module(module))


def own_members(kind: type) -> set[str]:
    """The public members of a class that the package itself defines."""
    homes = [base for base in kind.__mro__ if (base.__module__).startswith("fastvae")]
    return {name for base in homes for name in vars(base) if not name.startswith("_")}


def test_no_entry_is_gone_or_doubled() -> None:
    assert all(found(path) is not None for path in listed())
    assert len(set(listed())) == len(listed()) > 150


def test_public_modules_are_those_that_we_know() -> None:
    assert {"fastvae.data", "fastvae.kernels", "fastvae.plots", "fastvae.vae"} < set(MODULES)
    assert len(MODULES) >= 13


@pytest.mark.parametrize("module", ["fastvae", *MODULES])
def test_each_public_name_has_an_entry(module: str) -> None:
    names = importlib.import_module(module).__all__
    entries = set(listed())
    by_identity = {id(found(path)) for path in entries if not path.startswith("fastvae.VAE.")}
    modules = {name.removeprefix("fastvae.") for name in MODULES} | {"reference", "__version__"}
    for name in set(names) - modules:
        is_there = f"{module}.{name}" in entries
        value = getattr(importlib.import_module(module), name)
        assert is_there or (callable(value) and id(value) in by_identity), f"{module}.{name}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_else_has_an_entry(module: str) -> None:
    names = {path.removeprefix(f"{module}.") for path in listed() if path.startswith(f"{module}.")}
    assert names <= set(importlib.import_module(module).__all__)


def test_the_package_lists_its_names_in_a_table() -> None:
    _, _, rest = PAGES["fastvae"].partition(":nosignatures:\n\n")
    table = {line.strip() for line in rest.partition("\n```")[0].splitlines()}
    modules = {name for name in MODULES if name.removeprefix("fastvae.") in fastvae.__all__}
    others = {f"fastvae.{name}" for name in fastvae.__all__} - modules
    assert table == others - {"fastvae.__version__"}


def test_each_member_of_a_model_has_an_entry() -> None:
    entries = {path.split(".")[2] for path in listed() if path.startswith("fastvae.VAE.")}
    assert entries == own_members(fastvae.VAE) - INSIDE["fastvae.VAE"]


@pytest.mark.parametrize(
    ("path", "members"), [pair for page in PAGES.values() for pair in MEMBERS.findall(page)]
)
def test_lists_of_members_are_whole(path: str, members: str) -> None:
    assert set(members.split(", ")) - {"__call__"} == own_members(found(path)) - INSIDE.get(
        path, set()
    )


@pytest.mark.parametrize(
    "name", re.findall(r"py:data:: (\w+)\n\n   .*: (\".*(?:\n   .*)*)", PAGES["typing"])
)
def test_types_list_their_names(name: tuple[str, str]) -> None:
    kind, text = name
    allowed = getattr(importlib.import_module("fastvae.typing"), kind).__args__
    assert tuple(re.findall(r'"(\w+)"', text)) == allowed
