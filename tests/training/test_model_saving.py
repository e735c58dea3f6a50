"""Models that are saved as the training goes on."""

from __future__ import annotations

import os

import pytest
from failing_writes import FULL, contents
from model_checks import assert_same_model, pixel_rows, small_vae

import fastvae
from fastvae import History
from fastvae.callbacks import Checkpoint

ROWS = pixel_rows(23, 37)


def begun(checkpoint):
    vae = small_vae()
    n_before = checkpoint.monitor.epoch
    vae.history = History({"loss": [1.0] * n_before} if n_before else {})
    checkpoint.on_train_begin(vae, 9, 23)
    return vae


def saved_epochs(checkpoint, vae, values, first=1):
    """Which epochs are saved, each of which sets the model's number of epochs."""
    saved = []
    for epoch, value in enumerate(values, start=first):
        vae.epochs = epoch
        checkpoint.on_epoch_end(vae, epoch, {"loss": -value, "elbo": value, "val_elbo": value})
        if checkpoint.path.exists() and fastvae.load(checkpoint.path).epochs == epoch:
            saved.append(epoch)
    return saved


def test_the_model_is_saved_after_each_epoch(tmp_path):
    seen = []

    def look(vae, epoch, figures):
        assert_same_model(fastvae.load(tmp_path / "model.safetensors"), vae)
        seen.append(epoch)

    checkpoint = Checkpoint(tmp_path / "model.safetensors")
    small_vae().fit(ROWS, epochs=3, callbacks=[checkpoint, look], verbose=False)
    assert seen == [1, 2, 3]
    assert list(contents(tmp_path)) == ["model.safetensors"]


def test_names_hold_epochs_and_figures(tmp_path):
    checkpoint = Checkpoint(os.fspath(tmp_path / "m-{epoch:03d}-{val_elbo:.2f}-{{x}}.safetensors"))
    vae = small_vae()
    history = vae.fit(ROWS, epochs=2, validation=ROWS, callbacks=[checkpoint], verbose=False)
    assert list(contents(tmp_path)) == [
        f"m-{epoch:03d}-{value:.2f}-{{x}}.safetensors"
        for epoch, value in enumerate(history["val_elbo"], start=1)
    ]


@pytest.mark.parametrize("name", ["val_elbo", "loss", None])
def test_only_what_is_better_than_ever_is_saved(tmp_path, name):
    checkpoint = Checkpoint(tmp_path / "best.safetensors", name, best_only=True)
    vae = begun(checkpoint)
    assert saved_epochs(checkpoint, vae, [-5.0, -6.0, -4.0, -4.0, -3.0]) == [1, 3, 5]
    again = begun(checkpoint)  # a new training begins anew
    assert saved_epochs(checkpoint, again, [-9.0, -8.0]) == [1, 2]


def test_a_resumed_run_knows_what_was_best(tmp_path):
    first = Checkpoint(tmp_path / "best.safetensors", best_only=True)
    saved_epochs(first, begun(first), [-5.0, -4.0, -6.0])
    second = Checkpoint(tmp_path / "best.safetensors", best_only=True)
    second.load_state_dict(first.state_dict())
    assert saved_epochs(second, begun(second), [-5.0, -4.5, -3.0], first=4) == [6]


def test_what_could_not_be_saved_is_not_the_best(tmp_path):
    checkpoint = Checkpoint(tmp_path / "best.safetensors", best_only=True)
    vae = begun(checkpoint)
    assert saved_epochs(checkpoint, vae, [-5.0]) == [1]
    with FULL.injected(tmp_path), pytest.warns(RuntimeWarning, match="best.safetensors"):
        assert saved_epochs(checkpoint, vae, [-3.0], first=2) == []
    assert saved_epochs(checkpoint, vae, [-4.0, -4.5], first=3) == [3]
    checkpoint.on_train_end(vae, vae.history)


def test_a_folder_of_braces_is_a_folder(tmp_path):
    folder = tmp_path / "{run}"
    folder.mkdir()
    checkpoint = Checkpoint(folder / "model-{epoch}")
    small_vae().fit(ROWS, epochs=1, callbacks=[checkpoint], verbose=False)
    assert list(contents(folder)) == ["model-1"]


@pytest.mark.parametrize(
    "name", ["{epoc}", "{val_elbo}", "{}", "{0}", "{epoch.real}", "{epoch[0]}"]
)
def test_unknown_names_are_told_with_the_known(tmp_path, name):
    checkpoint = Checkpoint(tmp_path / f"model-{name}")
    with pytest.raises(ValueError, match="may hold 'epoch', 'loss', 'elbo', .*; got") as caught:
        small_vae().fit(ROWS, epochs=2, callbacks=[checkpoint], verbose=False)
    assert repr(name.strip("{}")) in str(caught.value)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["{epoch:s}", "{epoch:{width}}", "{elbo:d}"])
def test_values_that_cannot_be_filled_in(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be filled in"):
        small_vae().fit(ROWS, epochs=2, callbacks=[Checkpoint(tmp_path / name)], verbose=False)


def test_what_is_wrong_with_a_path_shows_at_once(tmp_path):
    for name in ("{epoch", "epoch}", "{epoch!x:"):
        with pytest.raises(ValueError, match="not in the syntax of str.format"):
            Checkpoint(tmp_path / name)
    with pytest.raises(IsADirectoryError, match="is a folder; name a file in it"):
        Checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder .*{epoch}"):
        Checkpoint(tmp_path / "{epoch}" / "model")
    with pytest.raises(TypeError, match="monitor must be"):
        Checkpoint(tmp_path / "model", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PathLike"):
        Checkpoint(3)  # type: ignore[arg-type]


def test_a_figure_that_is_not_there_is_an_error(tmp_path):
    checkpoint = Checkpoint(tmp_path / "model", best_only=True)
    with pytest.raises(ValueError, match=r"monitor must be one of .*'val_elbo'.*validation="):
        small_vae().fit(ROWS, epochs=2, callbacks=[checkpoint], verbose=False)


def test_it_prints_what_it_was_made_with():
    assert repr(Checkpoint("model")) == "Checkpoint('model')"
    assert repr(Checkpoint("model", "kl", True)) == "Checkpoint('model', 'kl', best_only=True)"
