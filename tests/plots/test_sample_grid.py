"""Pictures of samples as the training goes on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from failing_writes import FULL
from model_checks import pixel_rows, small_vae
from PIL import Image

from fastvae import plots
from fastvae.callbacks import Callback, SampleGrid

ROWS = pixel_rows(23, 36)


def fit(grid, **settings):
    vae = small_vae(n_features=36)
    given: dict[str, Any] = {"epochs": 5, "callbacks": [grid], "verbose": False} | settings
    vae.fit(ROWS, **given)
    return vae


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_there_is_a_picture_every_few_epochs_and_after_the_last(tmp_path):
    fit(SampleGrid(tmp_path / "two", every=2, n=4))
    assert names(tmp_path / "two") == ["samples-0002.png", "samples-0004.png", "samples-0005.png"]
    fit(SampleGrid(tmp_path / "five", every=5, n=4))
    assert names(tmp_path / "five") == ["samples-0005.png"]
    fit(SampleGrid(tmp_path / "nine", every=9, n=4))
    assert names(tmp_path / "nine") == ["samples-0005.png"]


def test_a_training_that_is_stopped_has_a_last_picture(tmp_path):
    def stop(vae, epoch, figures):
        vae.stop_training = epoch == 3

    fit(None, callbacks=[SampleGrid(tmp_path, every=2, n=4), stop])
    assert "samples-0003.png" in names(tmp_path)


def test_an_exception_draws_nothing_more(tmp_path):
    class Fails(Callback):
        def on_epoch_end(self, vae, epoch, figures):
            if epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(None, callbacks=[SampleGrid(tmp_path, every=2, n=4), Fails()])
    assert names(tmp_path) == ["samples-0002.png"]


def test_where_a_picture_fails_the_next_epoch_is_drawn(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    disk = FULL.injected(folder)

    def fill_and_empty(vae, epoch, figures):
        if epoch == 3:
            disk.__enter__()
        elif epoch == 4:
            disk.__exit__(None, None, None)

    grid = SampleGrid(folder, every=4, n=4)
    with pytest.warns(RuntimeWarning, match="samples-0004.png"):
        fit(None, epochs=8, callbacks=[grid, fill_and_empty])
    assert names(folder) == ["samples-0005.png", "samples-0008.png"]


def test_the_latents_are_the_same_each_time(tmp_path):
    grid = SampleGrid(tmp_path / "grid", every=1, n=4, seed=7, n_columns=2, image_shape=(4, 9))
    vae = fit(grid, epochs=2, learning_rate=0.0)
    first, second = ((tmp_path / "grid" / f"samples-000{i}.png").read_bytes() for i in (1, 2))
    assert first == second
    drawn = plots.samples(vae, 4, seed=7, n_columns=2, image_shape=(4, 9))
    plots.save_figure(drawn, tmp_path / "alone.png")
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "grid" / "samples-0002.png")),
        np.asarray(Image.open(tmp_path / "alone.png")),
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be"),
        ({"every": 1.0}, TypeError, "every must be"),
        ({"n": 0}, ValueError, "n must be"),
        ({"seed": -1}, ValueError, "seed must be"),
    ],
)
def test_arguments_are_checked(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        SampleGrid(tmp_path, **({"every": 1} | change))


def test_the_folder_is_made_when_the_training_begins(tmp_path):
    grid = SampleGrid(tmp_path / "pictures", 10)
    assert not (tmp_path / "pictures").exists()
    grid.on_train_begin(small_vae(), 1, 23)
    assert (tmp_path / "pictures").is_dir()
    assert repr(SampleGrid("pictures", 10)) == "SampleGrid('pictures', every=10)"


def test_matplotlib_is_loaded_when_something_is_drawn():
    program = """
import sys
from fastvae.callbacks import SampleGrid
SampleGrid(".", every=1)
loaded = {"matplotlib", "tensorboardX", "tqdm", "PIL"} & set(sys.modules)
assert not loaded, loaded
import fastvae.plots
assert "matplotlib" not in sys.modules
assert set(fastvae.plots.__all__) <= set(dir(fastvae.plots))
fastvae.plots.tile_images
assert "matplotlib" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_plots_have_no_other_names():
    with pytest.raises(AttributeError, match=r"'fastvae\.plots' has no attribute 'sample'"):
        plots.sample  # type: ignore[attr-defined]  # noqa: B018
