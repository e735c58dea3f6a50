"""A write that fails ends no training: what was there stays, and it is tried again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from failing_writes import FULL, contents, each_failure
from model_checks import pixel_rows, small_vae

from fastvae import History, callbacks
from fastvae.training.patience import Course, PatientWriter

pytestmark = pytest.mark.slow


ROWS = pixel_rows(9, 37)


def tensorboard(folder: Path) -> callbacks.Callback:
    pytest.importorskip("tensorboardX")
    return callbacks.TensorBoard(folder)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "Checkpoint": lambda folder: callbacks.Checkpoint(folder / "model.safetensors"),
    "Checkpoint of the best": lambda folder: callbacks.Checkpoint(
        folder / "model.safetensors", "elbo", best_only=True
    ),
    "CSVLogger": lambda folder: callbacks.CSVLogger(folder / "history.csv"),
    "JSONLogger": lambda folder: callbacks.JSONLogger(folder / "history.json"),
    "JSONLogger of lines": lambda folder: callbacks.JSONLogger(folder / "history.jsonl"),
    "TensorBoard": tensorboard,
    "SampleGrid": lambda folder: callbacks.SampleGrid(folder, every=1, n=4),
}
each_writer = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    made.mkdir()
    return made


class Training:
    """A training of which a test makes the epochs one by one."""

    def __init__(self, writer: callbacks.Callback, n_epochs: int = 9) -> None:
        self.writer, self.vae = writer, small_vae()
        self.vae.history = History()
        writer.on_train_begin(self.vae, n_epochs, len(ROWS))

    def epoch(self) -> None:
        """Train for one; its ELBO is better than ever."""
        assert self.vae.history is not None
        epoch = self.vae.history.n_epochs + 1
        self.vae.epochs = epoch
        for layer in self.vae.named_layers().values():
            layer.bias = layer.bias + 1
        figures = {"loss": 100.0 / epoch, "elbo": -100.0 / epoch, "active_units": 3}
        self.vae.history.append(figures)
        self.writer.on_epoch_end(self.vae, epoch, figures)

    def end(self) -> None:
        assert self.vae.history is not None
        self.writer.on_train_end(self.vae, self.vae.history)


def file_of(name: str, folder: Path) -> str:
    """A part of the path that a warning must name."""
    return {"TensorBoard": "events.out.tfevents", "SampleGrid": "samples-0002.png"}.get(
        name, next((file for file in contents(folder)), "")
    )


@each_failure
@each_writer
def test_what_fails_is_warned_of_and_tried_again(name, failure, folder):
    training = Training(WRITERS[name](folder))
    training.epoch()
    before = contents(folder)
    assert len(before) == 1
    if name == "TensorBoard" and failure.call == "replace":
        pytest.skip("an event file is added to, and not replaced")
    with failure.injected(folder), pytest.warns(RuntimeWarning) as caught:
        training.epoch()
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"{folder}/{file_of(name, folder)}" in message
    assert failure.reason in message
    assert contents(folder) == before
    training.epoch()
    after = contents(folder)
    assert after != before
    assert not [file for file in after if file.endswith(".tmp")]
    training.end()
    if name == "SampleGrid":
        assert list(after) == ["samples-0001.png", "samples-0003.png"]
        return
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir()
    wanted = Training(WRITERS[name](undisturbed))
    for _ in range(3):
        wanted.epoch()
    if name == "TensorBoard":  # the times differ
        assert len(*after.values()) == len(*contents(undisturbed).values())
    else:
        assert list(after.values()) == list(contents(undisturbed).values())


@each_writer
def test_the_first_write_may_fail_too(name, folder):
    training = Training(WRITERS[name](folder))
    with FULL.injected(folder), pytest.warns(RuntimeWarning, match="No space left"):
        training.epoch()
    assert contents(folder) == {}
    training.epoch()
    assert len(contents(folder)) == 1
    training.end()


@each_writer
def test_the_training_ends_with_what_failed_last(name, folder):
    training = Training(WRITERS[name](folder))
    training.epoch()
    with FULL.injected(folder):
        with pytest.warns(RuntimeWarning, match="No space left"):
            training.epoch()
        with warnings.catch_warnings():  # the picture after the last epoch is tried once more
            warnings.simplefilter("ignore")
            with pytest.raises(OSError, match="No space left") as caught:
                training.end()
    assert str(folder) in str(caught.value)
    training.end()  # said once


@each_writer
def test_what_ends_the_training_is_not_covered_by_a_failed_write(name, folder):
    training = Training(WRITERS[name](folder))
    with FULL.injected(folder), pytest.warns(RuntimeWarning, match="No space left"):
        training.epoch()

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            training.end()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(folder) == {}


@each_writer
def test_a_failed_write_is_told_in_an_except_clause_too(name, folder):
    """`fit` may be called where an exception is being handled, which ends no training."""
    try:
        raise KeyError("an earlier one")
    except KeyError:
        training = Training(WRITERS[name](folder))
        with FULL.injected(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            training.epoch()
            with pytest.raises(OSError, match="No space left"):
                training.end()


@each_writer
def test_a_new_training_forgets_what_failed_before(name, folder):
    writer = WRITERS[name](folder)
    with FULL.injected(folder), pytest.warns(RuntimeWarning, match="No space left"):
        Training(writer).epoch()
    training = Training(writer)
    training.end()
    training = Training(writer)
    training.epoch()
    training.end()
    assert len(contents(folder)) == 1


@each_writer
def test_a_fit_goes_on_while_the_disk_is_full(name, folder):
    vae, expected = small_vae(), small_vae()
    injected = FULL.injected(folder)

    def fill_and_empty(_, epoch, figures):
        if epoch == 1:
            injected.__enter__()
        elif epoch == 3:
            injected.__exit__(None, None, None)

    wanted = expected.fit(ROWS, epochs=5, verbose=False)
    with pytest.warns(RuntimeWarning, match="No space left"):
        history = vae.fit(
            ROWS, epochs=5, callbacks=[fill_and_empty, WRITERS[name](folder)], verbose=False
        )
    assert history["loss"] == wanted["loss"]
    assert contents(folder)


def test_a_fit_ends_with_the_error_and_its_last_weights(folder):
    vae, expected = small_vae(), small_vae()
    expected.fit(ROWS, epochs=2, verbose=False)
    with (
        FULL.injected(folder),
        pytest.warns(RuntimeWarning, match="history.csv could not be written"),
        pytest.raises(OSError, match="No space left on device.*history.csv"),
    ):
        vae.fit(
            ROWS, epochs=2, callbacks=[callbacks.CSVLogger(folder / "history.csv")], verbose=False
        )
    assert vae.epochs == 2
    assert vae.elbo(ROWS) == expected.elbo(ROWS)


@each_writer
def test_a_folder_that_is_not_there_is_an_error_at_once(name, tmp_path):
    with pytest.raises(OSError, match="there is no folder"):
        WRITERS[name](tmp_path / "missing" / "folder")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="there is no folder"):
        WRITERS[name](tmp_path / "file")


def test_other_errors_pass(tmp_path):
    def fail() -> None:
        raise ValueError("mine")

    writer = PatientWriter()
    with pytest.raises(ValueError, match="mine"):
        writer.write(tmp_path, fail)
    writer.finish()


def test_a_course_fails_only_by_an_exception_of_its_own():
    course = Course()
    course.begin()
    assert not course.is_failing
    try:
        raise ValueError("one")
    except ValueError:
        assert course.is_failing
        course.begin()
        assert not course.is_failing
        try:
            raise KeyError("another")
        except KeyError:
            assert course.is_failing
    assert not course.is_failing
