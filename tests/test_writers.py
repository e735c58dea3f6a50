"""Every function that writes a file: on a disk that fails the former one stays, and the error
names it. Writers that go on meanwhile are in ``tests/training/test_failed_writes.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from failing_writes import FAILURES, Failure, contents
from model_checks import small_vae

from fastvae.animation import save_gif
from fastvae.commands.runs import Run
from fastvae.files import checkpoints
from fastvae.plots import samples, save_figure

FRAMES = np.linspace(0, 1, 2 * 6 * 6).reshape(2, 6, 6)
WRITERS: dict[str, Callable[[Path, int], object]] = {
    "model.safetensors": lambda path, i: small_vae(seed=i).save(path),
    "run.ckpt": lambda path, i: checkpoints.write(path, checkpoints.SavedRun({"i": i}, {})),
    "samples.png": lambda path, i: save_figure(samples(small_vae(seed=i), 4), path),
    "samples.pdf": lambda path, i: save_figure(samples(small_vae(seed=i), 4), path),
    "walk.gif": lambda path, i: save_gif(FRAMES / (i + 1), path),
}


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("name", WRITERS)
def test_the_former_file_stays_and_the_error_names_it(
    tmp_path: Path, name: str, failure: Failure
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path, write = folder / name, WRITERS[name]
    write(path, 0)
    before = contents(folder)
    with failure.injected(folder), pytest.raises(OSError, match=failure.reason) as error:
        write(path, 1)
    assert str(path) in str(error.value)
    assert contents(folder) == before
    write(path, 1)
    assert contents(folder)[name] != before[name]


@pytest.mark.parametrize("failure", [f for f in FAILURES if f.call not in ("replace", "folder")])
def test_a_seed_folder_is_there_whole_or_not_at_all(tmp_path: Path, failure: Failure) -> None:
    path = tmp_path / "seed"
    with failure.injected(tmp_path), pytest.raises(OSError, match=failure.reason) as error:
        small_vae().save(path, format="seed")
    assert str(path) in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [f for f in FAILURES if f.call != "folder"], ids=repr)
@pytest.mark.parametrize("name", ["settings.json", "test.json"])
def test_the_json_files_of_a_run_stay(tmp_path: Path, name: str, failure: Failure) -> None:
    folder = tmp_path / "run"
    run = Run.create("images", folder)
    write = run.write_settings if name == "settings.json" else run.write_test
    write({"epochs": 1.0})
    before = contents(folder)
    with failure.injected(folder), pytest.raises(OSError, match=failure.reason) as error:
        write({"epochs": 2.0})
    assert str(folder / name) in str(error.value)
    assert contents(folder) == before
    run.close()
