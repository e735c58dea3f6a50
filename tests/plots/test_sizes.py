"""Pictures that would take too much memory are refused before anything is computed for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_checks import pixel_rows

from fastvae import VAE, plots
from fastvae.animation import TrainingFilm, latent_walk, prior_walk
from fastvae.callbacks import SampleGrid
from fastvae.commands.cli import main
from fastvae.plots.drawing import check_size, tile_images

HUGE = 10**30


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE.from_sizes(36, hidden=(4,), n_latent=2)


@pytest.fixture
def computing_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what makes the images fail."""
    for name in ("decode", "sample", "reconstruct"):
        monkeypatch.setattr(VAE, name, None)


@pytest.mark.usefixtures("computing_nothing")
@pytest.mark.parametrize("n", [3_000_000, 10**9, HUGE])
def test_many_images_are_refused(vae: VAE, tmp_path: Path, n: int) -> None:
    gif = tmp_path / "film.gif"
    for draw in (
        lambda: plots.samples(vae, n),
        lambda: plots.samples(vae, n, n_columns=1),
        lambda: plots.samples(vae, n, image_shape=(1, 36)),
        lambda: plots.manifold(vae, n),
        lambda: prior_walk(vae, gif, n=n),
        lambda: prior_walk(vae, gif, n=1, n_frames=n),
        lambda: latent_walk(vae, np.zeros((3, 2)), gif, n_steps=n),
        lambda: TrainingFilm(gif, n=n).on_train_begin(vae, 2, 10),
        lambda: TrainingFilm(gif).on_train_begin(vae, n, 10),
        lambda: SampleGrid(tmp_path / "grid", 1, n=min(n, 2**62)).on_train_begin(vae, 2, 10),
        lambda: plots.interpolation(vae, np.zeros(36), np.zeros(36), n_steps=n),
    ):
        with pytest.raises(ValueError, match="is too large: .* at most [26][4,]*[0,]+ "):
            draw()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("computing_nothing")
def test_many_rows_are_refused(vae: VAE, tmp_path: Path) -> None:
    rows = np.zeros((300_000, 36), np.uint8)
    for draw in (
        lambda: plots.reconstructions(vae, rows),
        lambda: plots.interpolation(vae, rows, rows),
        lambda: latent_walk(vae, np.zeros((2, 400_000, 2), np.float32), tmp_path / "film.gif"),
    ):
        with pytest.raises(ValueError, match="is too large: "):
            draw()


@pytest.mark.parametrize(
    ("n", "n_columns", "shape", "gap"),
    [(1, None, (1, 7), (1, 1)), (10, 3, (2, 2), (3, 1)), (7, 9, (2, 5), (0, 0))],
)
def test_the_size_is_that_of_the_tiles(n, n_columns, shape, gap, monkeypatch):
    """But for the last gap; the message is the witness."""
    tiled = tile_images(np.zeros((n, shape[0] * shape[1])), n_columns, shape, gap=gap)
    height, width = tiled.shape[0] + gap[0], tiled.shape[1] + gap[1]
    monkeypatch.setattr("fastvae.plots.drawing._MOST_BYTES", 120 * height * width - 1)
    with pytest.raises(ValueError, match=f"is too large: {height} x {width} pixels take about"):
        check_size(n, n_columns, shape, gap)
    monkeypatch.setattr("fastvae.plots.drawing._MOST_BYTES", 120 * height * width)
    check_size(n, n_columns, shape, gap)


def test_what_can_be_drawn_is_allowed():
    check_size(10_000, None, (28, 28))
    check_size(1_000, None, (28, 28), n_frames=60)
    with pytest.raises(ValueError, match="it has 2 x 64,001 pixels, at most 64,000 a side"):
        check_size(1, None, (1, 64_000))


COMMANDS = {
    "sample -n 500000": "picture is too large",
    "sample -n 500000 --output film.gif": "animation of 60 frames is too large",
    f"sample -n {HUGE}": "picture is too large",
    "interpolate -n 100000 --dataset rows.npy": "picture is too large",
    f"interpolate -n {HUGE} --dataset rows.npy": "picture is too large",
    f"interpolate --steps {HUGE} --dataset rows.npy": "picture is too large",
    "interpolate -n 10000000 --dataset rows.npy --output film.gif": "animation of 20 frames is too",
    f"interpolate --steps {HUGE} --dataset rows.npy --output film.gif": "frames is too large",
    f"manifold -n {HUGE}": "picture is too large",
}


@pytest.mark.usefixtures("computing_nothing")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_what_is_too_large(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", pixel_rows(9, 36))
    VAE.from_sizes(36, hidden=(4,), n_latent=2).save("model.safetensors")
    name, *options = command.split()
    assert main([name, "model.safetensors", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert COMMANDS[command] in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "rows.npy"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default:no pictures are drawn")
def test_a_training_on_rows_too_wide_to_be_drawn_ends_well(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", pixel_rows(20, 64_001))
    options = ["--dataset", "rows.npy", "--hidden", "2", "--latent", "2", "--epochs", "1"]
    assert main(["train", *options, "--output", "run"]) == 0
    assert "no pictures are drawn: the picture is too large" in capsys.readouterr().err
    assert main(["train", *options, "--output", "other", "--sample-grid", "1"]) == 1
    assert "the picture is too large" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_film_is_checked_where_it_is_asked_for(vae, tmp_path):
    for make in (TrainingFilm, lambda path: prior_walk(vae, path)):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            make(tmp_path / "no" / "film.gif")
