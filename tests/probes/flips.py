"""Files of machine code that are damaged: none may be taken for whole.

A place of machine code is filled, and then its files are damaged one at a time: bits are flipped,
files are cut, emptied or exchanged for another. Each time the cache is asked whether it would load
the file. Now and then several stay damaged, and a process of its own trains a model with them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from model_checks import parameters, pixel_rows
from numba.core import event

from fastvae import VAE, kernels
from fastvae.kernels.arrays import warmup
from fastvae.kernels.machine.compilation import would_load

TITLE = "Machine code that is damaged"
TEXT = """
In the files that machine code is cached in, single bits are flipped at random places, and files are
cut at random lengths, emptied, or exchanged for another one of them, each time one file. Noticed is
what the cache would not load. Every now and then some files stay damaged, and a process of its own
trains a small model: it must compile these again, write them whole, and come to the very bits of a
process that found all files whole.
"""
COUNT = 2000
PER_PROCESS = 50
"""Damages that are looked at for each process that trains with some."""
FLIPS = 0.8
"""Share of damages that are flipped bits."""

TESTS = Path(__file__).resolve().parents[1]
DTYPE = np.dtype(np.float32)


def digest() -> str:
    """Train a small model; what of it must not depend on the cache."""
    rows = pixel_rows(150, 23)
    vae = VAE.from_sizes(23, (9,), 3)
    vae.fit(rows, epochs=2, batch_size=16, verbose=False)
    seen = hashlib.sha256()
    for array in [*parameters(vae).values(), *vae.encode(rows)]:
        seen.update(array.tobytes())
    return seen.hexdigest()


def probe(count: int, seed: int) -> Iterator[Counter[str]]:
    """Damage files so many times.

    Yields
    ------
    Counter
        flipped bits, those that were noticed, other damages, those that were noticed, processes
        that trained with damaged files, and those of them that came to the same bits.

    Raises
    ------
    AssertionError
        If a damage is not noticed, or a model differs.
    """
    chance, counted = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        environment = os.environ | {"FASTVAE_CACHE": name}
        expected, _ = _trained(environment, _filled(Path(name)))
        with patch.dict(os.environ, FASTVAE_CACHE=name):
            places = _places(Path(name))
            for number in range(1, count + 1):
                _damage_one(places, chance, counted)
                if number % PER_PROCESS == 0 or number == count:
                    _damage_and_train(places, expected, chance, counted, environment)
                    yield counted


def _filled(place: Path) -> Path:
    """Copy what there is of machine code, not to compile it again."""
    folder = kernels.cache_folder()
    if folder is not None:
        shutil.copytree(folder, place / folder.name)
    return place


def _trained(environment: dict[str, str], place: Path) -> tuple[str, int]:
    """Train in a process of its own; return its digest and how many functions it compiled."""
    command = [sys.executable, "-W", "error", "-m", "probes.flips", "--train"]
    done = subprocess.run(
        command,
        env=environment,
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (
        f"training from {place} ended with {done.returncode}: {done.stderr}"
    )
    found, n_compiled = done.stdout.split()
    return found, int(n_compiled)


def _places(place: Path) -> dict[Path, Any]:
    """The files that training needs, and for each the function and the types that it is of."""
    found = {}
    for function, argument_types in warmup._needed(DTYPE):
        name = function._cache._name(argument_types, function.targetctx.codegen())
        [path] = place.glob(f"*/{name}")
        assert would_load(function, argument_types), path
        found[path] = function, argument_types
    return found


def _damage_one(places: dict[Path, Any], chance: random.Random, counted: Counter[str]) -> None:
    """Damage a file, see whether it is noticed, and put it right again."""
    path = chance.choice(list(places))
    content = path.read_bytes()
    what = "bits flipped" if chance.random() < FLIPS else "files cut, emptied or exchanged"
    _damage(path, places, chance, flip=what == "bits flipped")
    counted[what] += 1
    counted[f"{what}: noticed"] += not would_load(*places[path])
    path.write_bytes(content)
    assert would_load(*places[path]), f"{path.name} is as it was, and not loaded"
    assert counted[f"{what}: noticed"] == counted[what], f"not noticed in {path.name}"


def _damage(path: Path, places: dict[Path, Any], chance: random.Random, *, flip: bool) -> None:
    content = bytearray(path.read_bytes())
    if flip:
        bit = chance.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
    else:
        others = [other.read_bytes() for other in places if other != path]
        cut = content[: chance.randrange(len(content))]
        content = bytearray(chance.choice([cut, b"", *others]))
    path.write_bytes(content)


def _damage_and_train(
    places: dict[Path, Any],
    expected: str,
    chance: random.Random,
    counted: Counter[str],
    environment: dict[str, str],
) -> None:
    """Train with some files that are damaged; they must be whole afterwards."""
    chosen = chance.sample(list(places), chance.randint(1, 2))
    for path in chosen:
        _damage(path, places, chance, flip=chance.random() < FLIPS)
    found, n_compiled = _trained(environment, chosen[0].parent)
    counted["processes that trained with damaged files"] += 1
    assert found == expected, f"the model differs with {[path.name for path in chosen]} damaged"
    counted["processes that came to the same bits"] += 1
    assert n_compiled >= len(chosen), f"{chosen} were loaded"
    assert all(would_load(*of) for of in places.values()), "a damaged file was not written again"
    counted["damaged files compiled and written again"] += len(chosen)


def main() -> None:
    """Be the process that trains."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", action="store_true")
    parser.parse_args()
    with event.install_recorder("numba:compile") as compiled:
        found = digest()
    print(found, len(compiled.buffer) // 2)


if __name__ == "__main__":
    main()
