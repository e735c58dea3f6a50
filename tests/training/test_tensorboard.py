"""Event files, read back by TensorBoard itself."""

from __future__ import annotations

import sys

import pytest
from model_checks import pixel_rows, small_vae

from fastvae import History
from fastvae.callbacks import TensorBoard

pytest.importorskip("tensorboardX")
ROWS = pixel_rows(23, 37)


def scalars(folder):
    """What TensorBoard shows: for each chart the steps and values."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = accumulators.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_figures_of_training_and_validation_stand_side_by_side(tmp_path):
    folder = tmp_path / "logs"
    history = small_vae().fit(
        ROWS, epochs=3, validation=ROWS, callbacks=[TensorBoard(folder)], verbose=False
    )
    shown = scalars(folder)
    assert set(shown) == {
        *(f"{name}/{part}" for name in LOSSES for part in ("train", "validation")),
        *("active_units/train", "seconds/train", "samples_per_second/train"),
    }
    for name in LOSSES:
        for prefix, part in (("", "train"), ("val_", "validation")):
            steps, values = zip(*shown[f"{name}/{part}"], strict=True)
            assert steps == (1, 2, 3)
            assert values == pytest.approx(history[prefix + name], rel=1e-6)


LOSSES = ("loss", "elbo", "reconstruction", "kl")


def test_each_epoch_can_be_seen_when_it_is_over(tmp_path):
    seen = []

    def look(vae, epoch, figures):
        (file,) = tmp_path.iterdir()
        seen.append((epoch, file.stat().st_ino, len(scalars(tmp_path)["loss/train"])))

    small_vae().fit(ROWS, epochs=3, callbacks=[TensorBoard(tmp_path), look], verbose=False)
    (inode,) = {inode for _, inode, _ in seen}  # TensorBoard holds it open
    assert seen == [(1, inode, 1), (2, inode, 2), (3, inode, 3)]


def log(folder, losses):
    vae = small_vae()
    vae.history = History()
    board = TensorBoard(folder)
    board.on_train_begin(vae, 9, 23)
    for epoch, loss in losses.items():
        board.on_epoch_end(vae, epoch, {"loss": loss})
    board.on_train_end(vae, vae.history)


def test_a_resumed_run_hides_the_later_epochs_of_the_one_before(tmp_path):
    log(tmp_path, {1: 10.0, 2: 20.0, 3: 30.0, 4: 40.0})
    log(tmp_path, {3: 3.0, 4: 4.0, 5: 5.0})
    assert scalars(tmp_path) == {"loss/train": [(1, 10.0), (2, 20.0), (3, 3.0), (4, 4.0), (5, 5.0)]}
    log(tmp_path, {1: 1.0})
    assert scalars(tmp_path) == {"loss/train": [(1, 1.0)]}


def test_without_tensorboardx_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'fastvae-cpu\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_the_folder_is_made_when_the_training_begins(tmp_path):
    board = TensorBoard(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
    board.on_train_begin(small_vae(), 1, 23)
    assert (tmp_path / "logs").is_dir()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        TensorBoard(tmp_path / "missing" / "logs")
    assert repr(TensorBoard("logs")) == "TensorBoard('logs')"
