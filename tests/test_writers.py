"""Every function that writes a file: on a disk that fails the former one stays, and the error
names it. Writers that go on meanwhile are in ``tests/training/test_failed_writes.py``."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from failing_writes import FAILURES, Failure, contents
from model_checks import pixel_rows, small_vae

import fastvae
from fastvae import VAE
from fastvae.animation import TrainingFilm, latent_walk, prior_walk, save_gif
from fastvae.commands.cli import main
from fastvae.commands.runs import Run
from fastvae.files import checkpoints
from fastvae.plots import samples, save_figure

FRAMES = np.linspace(0, 1, 2 * 6 * 6).reshape(2, 6, 6)
STOPS = np.eye(2, small_vae().n_latent, dtype=np.float32)
WRITERS: dict[str, Callable[[Path, int], object]] = {
    "model.safetensors": lambda path, i: small_vae(seed=i).save(path),
    "decoder.onnx": lambda path, i: to_onnx(path, i),
    "run.ckpt": lambda path, i: checkpoints.write(path, checkpoints.SavedRun({"i": i}, {})),
    "samples.png": lambda path, i: save_figure(samples(small_vae(seed=i), 4), path),
    "samples.pdf": lambda path, i: save_figure(samples(small_vae(seed=i), 4), path),
    "frames.gif": lambda path, i: save_gif(FRAMES / (i + 1), path),
    "stops.gif": lambda path, i: latent_walk(small_vae(seed=i), STOPS, path, n_steps=2),
    "prior.gif": lambda path, i: prior_walk(small_vae(seed=i), path, n=2, n_frames=3),
    "film.gif": lambda path, i: film(path, i),
}


def to_onnx(path: Path, seed: int) -> None:
    pytest.importorskip("onnx")
    small_vae(seed=seed).to_onnx(path, "decoder")


def film(path: Path, seed: int) -> None:
    """What a film of a training writes at its end."""
    vae, made = small_vae(seed=seed), TrainingFilm(path, n=2)
    made.on_train_begin(vae, 1, 9)
    made.on_epoch_end(vae, 1, {})
    made.on_train_end(vae, fastvae.History())


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


COMMANDS = [
    "sample samples.png", "sample samples.pdf", "sample samples.gif", "reconstruct pairs.png",
    "reconstruct pairs.pdf", "interpolate way.png", "interpolate way.pdf", "interpolate way.gif",
    "manifold grid.png", "manifold grid.pdf", "latent points.png", "latent points.pdf",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("failure", [Failure("limit", 27), Failure("replace", 28)], ids=repr)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_the_former_picture(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    failure: Failure,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", pixel_rows(9, 36))
    VAE.from_sizes(36, hidden=(4,), n_latent=2).save("model.safetensors")
    name, picture = command.split()
    arguments = [name, "model.safetensors", "--output", picture]
    if name in ("reconstruct", "interpolate", "latent"):
        arguments += ["--dataset", "rows.npy"]
    if name in ("sample", "reconstruct", "manifold"):
        arguments += ["-n", "2"]
    Path(picture).write_bytes(b"the former one")
    before = contents(tmp_path)
    with failure.injected(tmp_path):
        assert main(arguments) == 1
    assert capsys.readouterr().err == f"fastvae: error: {picture}: {failure.reason}\n"
    assert contents(tmp_path) == before
    assert main(arguments) == 0
    assert contents(tmp_path)[picture] != b"the former one"


def test_nothing_else_writes_files() -> None:
    """A new writer goes by `fastvae.files.writing`, and is tested here."""
    writers = {"write_text", "write_bytes", "tofile", "savetxt", "savez", "savez_compressed"}
    root = Path(fastvae.__file__).parent
    sources = [path for path in root.rglob("*.py") if path.name != "writing.py"]
    # Machine code has rules of its own; in a checkout it is behind a link, which is not followed.
    sources = [path for path in sources if not path.is_relative_to(root / "kernels")]
    assert len(sources) > 50
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [argument for argument in node.args if isinstance(argument, ast.Constant)]
            given += [key.value for key in node.keywords if isinstance(key.value, ast.Constant)]
            modes = {argument.value for argument in given if isinstance(argument.value, str)}
            opens = name == "open" and any(set(mode) & set("wax+") for mode in modes)
            writes = opens or name in writers
            assert not writes, f"{path}:{node.lineno}: {ast.unparse(node)}"
