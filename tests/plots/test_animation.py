"""Animations: ends are held, the step is written, and files are small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastvae import VAE, animation
from fastvae.animation import TrainingFilm, latent_walk, prior_walk, save_gif
from fastvae.plots import animation as frames_of_films

ROWS = np.random.default_rng(0).random((30, 36), dtype=np.float32)


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE.from_sizes(36, (8,), 2, seed=1)


def read(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Frames and how long they are shown, in milliseconds."""
    frames, durations = [], []
    with Image.open(path) as image:
        for i in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(i)
            frames.append(np.asarray(image.convert("L")))
            durations.append(image.info["duration"])
    return frames, durations


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written below the frames."""
    texts: list[str] = []
    real = frames_of_films.save_gif

    def save(*args: Any, captions: Any = None, **how: Any) -> Any:
        texts.extend(captions)
        return real(*args, captions=captions, **how)

    monkeypatch.setattr(frames_of_films, "save_gif", save)
    return texts


def test_a_training_says_its_epochs_and_holds_its_ends(tmp_path, written):
    vae = VAE.from_sizes(36, (8,), 2)
    film = TrainingFilm(tmp_path / "film.gif", n=7)
    vae.fit(ROWS, epochs=3, callbacks=[film], verbose=False)
    _, durations = read(tmp_path / "film.gif")
    assert durations == [1000, 250, 250, 1000]
    assert written == ["start", "epoch 1", "epoch 2", "epoch 3"]


def test_a_way_there_and_back_says_its_shares_and_holds_its_stops(vae, tmp_path, written):
    path = latent_walk(vae, [[-1.0, 0.0], [1.0, 0.5]], tmp_path / "walk.gif", n_steps=4)
    frames, durations = read(path)
    assert written == [f"{p} %" for p in (0, 25, 50, 75, 100, 75, 50, 25, 0)]
    assert [d > 500 for d in durations] == [i in (0, 4, 8) for i in range(9)]
    np.testing.assert_array_equal(frames[0], frames[8])


def test_a_round_trip_says_the_way(vae, tmp_path, written):
    stops = np.eye(3, 2) * 2
    _, durations = read(latent_walk(vae, stops, tmp_path / "walk.gif", n_steps=2))
    assert written[1:3] == ["way 1 of 3: 50 %", "way 2 of 3: 0 %"]
    assert written[-1] == "way 3 of 3: 100 %"
    assert len(written) == len(durations) == 7


def test_samples_that_change_hold_their_ends(vae, tmp_path, written):
    frames, durations = read(prior_walk(vae, tmp_path / "walk.gif", n=7, n_frames=6))
    assert [d > 500 for d in durations] == [True, False, False, False, False, True]
    assert written == [f"step {i} of 6" for i in range(1, 7)]
    height, width = frames[0].shape
    # Two of nine cells are empty, at the right of the last line; below stands the text.
    assert (frames[0][-26 - height // 4 : -26, width // 2 :] == 255).all()


def test_the_text_is_below_the_frame_and_can_be_read(tmp_path):
    frame = np.zeros((10, 10))
    path = save_gif([frame, 1 - frame], tmp_path / "a.gif", captions=["epoch 1", "epoch 2"])
    (first, second), durations = read(path)
    assert first.shape == (626, 600)
    assert (first[:600] == 0).all()
    strip = first[600:]
    assert strip.min() < 80
    assert strip.max() == 255
    assert (strip < 128).any(axis=0).sum() > 30
    assert (strip != second[600:]).any()
    assert durations == [1000, 1000]
    alone, _ = read(save_gif([np.zeros((900, 2))], tmp_path / "b.gif", captions=["epoch 12,345"]))
    assert alone[0].shape[1] > 80  # a narrow frame leaves room for its text
    with pytest.raises(ValueError, match="captions must be 2, one for each frame; got 1"):
        save_gif([frame, frame], tmp_path / "c.gif", captions=["one"])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(60, 289, 289), (200, 90, 90), (21, 57, 57)])
def test_files_stay_small_and_keep_their_time(tmp_path, shape):
    """Noise is the worst that there is; smooth frames are a tenth of it."""
    rng = np.random.default_rng(0)
    shades = rng.normal(size=shape).cumsum(axis=0) * 0.05 + rng.random(shape[1:])
    path = save_gif(shades, tmp_path / "a.gif", captions=[f"step {i}" for i in range(shape[0])])
    assert path.stat().st_size <= 2_000_000
    frames, durations = read(path)
    assert len(frames) >= shape[0] / 8
    assert durations[0] == durations[-1] == 1000
    # Frames that are left out leave their time to others; a GIF counts hundredths of a second.
    assert sum(durations) == pytest.approx(2000 + (shape[0] - 2) * 67, rel=0.2)


def test_small_files_keep_their_shades(tmp_path):
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (first,), _ = read(save_gif([frame], tmp_path / "a.gif"))
    np.testing.assert_array_equal(np.unique(first), np.arange(256))


@pytest.mark.parametrize("n_features", [5, 13])
def test_tables_move_as_lines(tmp_path, n_features):
    vae = VAE.from_sizes(n_features, (4,), 2, likelihood="gaussian", seed=1)
    frames, _ = read(prior_walk(vae, tmp_path / "walk.gif", n=3, n_frames=4))
    first, second = (frame[:-26] for frame in frames[:2])
    assert first[:180, :360].mean() > 200  # a thin line on white
    assert first[:180, :360].min() < 50
    assert (first != second).any()
    film = TrainingFilm(tmp_path / "film.gif", n=4)
    vae.fit(np.ones((9, n_features)), epochs=2, callbacks=[film], verbose=False)
    assert (tmp_path / "film.gif").exists()
    with pytest.raises(ValueError, match="too large"):
        animation.prior_walk(vae, tmp_path / "walk.gif", n=100_000)
