"""Runs that go on: a resumed run is, to the bit, the one that was never stopped."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    figures_of,
    parameters,
    pixel_rows,
)
from run_checks import ROWS, STEPS, fit, new_vae

from fastvae import SGD, VAE, callbacks, kernels, schedules
from fastvae.files import checkpoints
from fastvae.training import loop


def interrupt(vae: VAE, hook: str, n: int, **changes: Any) -> None:
    """Train until Ctrl-C in the n-th call of a hook."""
    others = list(changes.pop("callbacks", []))
    with pytest.raises(KeyboardInterrupt):
        fit(vae, callbacks=[*others, InterruptAt(hook, n)], **changes)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "adam": ({}, {}),
    "momentum, clipped": ({}, {"optimizer": SGD(momentum=0.9), "clip_norm": 0.1}),
    "rmsprop, gaussian, dense": (
        {"likelihood": "gaussian", "reconstruction_weight": 2.5},
        {"optimizer": "rmsprop"},
    ),
    "float64, two layers": ({"dtype": np.float64, "hidden": (19, 11)}, {}),
    "schedules": (
        {},
        {
            "learning_rate": schedules.Warmup(schedules.Cosine(1e-2), 4),
            "beta": lambda step, total: step / total,
        },
    ),
    "a beta of the fit": ({"beta": 2.0}, {"beta": 0.5}),
    "one batch, no validation": ({}, {"batch_size": 100, "validation": None}),
}


@pytest.mark.parametrize(("model", "changes"), VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("every", [1, 4, "epoch", "0.000001s", ("epoch", 7)])
def test_a_run_goes_on_to_the_bit(
    tmp_path: Path, model: dict[str, Any], changes: dict[str, Any], every: Any
) -> None:
    expected = fit(new_vae(**model), **changes)
    path = tmp_path / "run.ckpt"
    for n in (1, 2, 5, 9):
        interrupt(
            new_vae(**model), "batch" if "batch_size" not in changes else "epoch_begin",
            min(n, 3) if "batch_size" in changes else n,
            checkpoint=path, checkpoint_every=every, **changes,
        )  # fmt: skip
        # Ctrl-C writes a last checkpoint; a killed process leaves the one before.
        for left in (path, checkpoints.previous_of(path)):
            if left.exists():
                assert_same_run(
                    fit(new_vae(**model), resume=left, n_threads=1, **changes), expected
                )


HOOKS = ("train_begin", "epoch_begin", "batch", "epoch_end")


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_a_run_goes_on_wherever_it_was_interrupted(tmp_path: Path, hook: str, n: int) -> None:
    if hook == "train_begin":
        n = 1
    n = min(n, 3) if hook != "batch" else n
    expected, path = fit(new_vae()), tmp_path / "run.ckpt"
    vae = new_vae()
    interrupt(vae, hook, n, checkpoint=path)
    assert_same_run(fit(vae, resume=True), expected)
    assert_same_run(fit(new_vae(), resume=path), expected)


class InterruptAfter:
    """A Ctrl-C at the n-th place of the loop where Python looks for signals.

    That is where a function begins, and where one in C has returned.
    """

    def __init__(self, n: int) -> None:
        self.n, self.n_seen = n, 0

    def __enter__(self) -> InterruptAfter:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: Any, event: str, _: object) -> None:
        callers = (frame, frame.f_back)
        in_loop = any(one and one.f_code.co_filename == loop.__file__ for one in callers)
        if event in ("call", "c_return") and in_loop:
            self.n_seen += 1
            if self.n_seen == self.n:
                sys.setprofile(None)
                raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [11, 100])
def test_a_run_goes_on_wherever_python_looks_for_ctrl_c(batch_size: int) -> None:
    changes = {"epochs": 2, "batch_size": batch_size}
    whole = new_vae()
    with InterruptAfter(-1) as places:
        fit(whole, **changes)
    assert places.n_seen > 100
    for n in range(1, places.n_seen):
        vae = new_vae()
        with pytest.raises(KeyboardInterrupt), InterruptAfter(n):
            fit(vae, **changes)
        fit(vae, resume=None if vae.last_run is None else True, **changes)
        assert_same_run(vae, whole)


def test_a_run_goes_on_many_times(tmp_path: Path) -> None:
    expected, path = fit(new_vae()), tmp_path / "run.ckpt"
    resume: Path | None = None
    for n_threads in (1, 2, 1, 2, 2, 1):
        interrupt(
            new_vae(), "batch", 2, checkpoint=path, resume=resume, n_threads=n_threads,
            checkpoint_every=2,
        )  # fmt: skip
        resume = path
    assert_same_run(fit(new_vae(), resume=path, checkpoint=path), expected)


def test_a_second_fit_with_resume_is_one_longer_fit() -> None:
    vae = fit(new_vae(), epochs=1)
    moments = vae.last_run
    fit(vae, epochs=2, resume=True)
    assert vae.last_run is moments
    assert_same_run(fit(vae, epochs=3, resume=True), fit(new_vae()))


def test_a_second_fit_without_resume_has_fresh_moments() -> None:
    twice = fit(fit(new_vae(), epochs=1), epochs=2)
    assert len(figures_of(twice.history)["loss"]) == 2
    with pytest.raises(AssertionError):
        assert_same_parameters(twice, parameters(fit(new_vae())))


def test_a_run_of_a_trained_model_goes_on_to_the_bit(tmp_path: Path) -> None:
    """Orders, noise and counts go on from those of the fit before."""
    path = tmp_path / "run.ckpt"
    trained = fit(new_vae(), epochs=1)
    expected = fit(copy.deepcopy(trained))
    trained.network.steps_per_call = lambda batch_size: 3  # type: ignore[method-assign]
    interrupt(trained, "batch", 6, checkpoint=path, checkpoint_every=2)
    assert_same_run(fit(new_vae(), resume=path), expected)


def test_more_epochs_may_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    fit(new_vae(), epochs=1, checkpoint=path)
    assert_same_run(fit(new_vae(), resume=path), fit(new_vae()))


def test_a_finished_run_is_only_loaded(tmp_path: Path) -> None:
    path, calls = tmp_path / "run.ckpt", []
    expected = fit(new_vae(), checkpoint=path)
    vae = fit(new_vae(), resume=path, callbacks=[lambda *_: calls.append(1)])
    assert_same_run(vae, expected)
    assert not calls


def test_a_schedule_that_depends_on_the_total_goes_on_with_the_new_one() -> None:
    vae = fit(new_vae(), epochs=2, learning_rate=schedules.Cosine(1e-2))
    fit(vae, learning_rate=schedules.Cosine(1e-2), resume=True)
    assert vae.epochs == 3


class Meddler(callbacks.Callback):
    """Changes all that a callback may change, by a state of its own."""

    def __init__(self) -> None:
        self.seen, self.kept = 0, np.zeros(2)

    def _next(self, vae: VAE) -> None:
        self.seen += 1
        self.kept = self.kept + self.seen
        vae.learning_rate_factor *= 0.99
        vae.beta += 0.01
        vae.seed = vae.seed + 1
        vae.updates += 3
        vae.decoder.layers[0].bias = vae.decoder.layers[0].bias + np.float32(1e-3 * self.kept[0])

    def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
        self._next(vae)

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self._next(vae)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None:
        self._next(vae)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "kept": self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen, self.kept = state["seen"], state["kept"]


@pytest.mark.parametrize("n", [1, 3, 6, 9])
def test_callbacks_go_on_with_what_they_knew(tmp_path: Path, n: int) -> None:
    path, whole = tmp_path / "run.ckpt", Meddler()
    expected = fit(new_vae(), callbacks=[whole])
    interrupt(new_vae(), "batch", n, callbacks=[Meddler()], checkpoint=path, checkpoint_every=2)
    for left in (path, checkpoints.previous_of(path)):
        if not left.exists():
            continue
        meddler = Meddler()
        vae = fit(new_vae(), callbacks=[meddler], resume=left)
        if left != path:  # written before the interrupted call, which the last one counts
            assert_same_run(vae, expected)
            assert meddler.seen == whole.seen
            np.testing.assert_array_equal(meddler.kept, whole.kept)


class Draws(callbacks.Callback):
    """Draws from the model's own streams, and keeps the sum."""

    total = 0.0

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None:
        self.total += float(vae.sample(2).sum()) + float(vae.feedforward(ROWS[:3]).sum())

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.total = state["total"]


def test_draws_of_the_model_go_on(tmp_path: Path) -> None:
    whole, resumed, path = Draws(), Draws(), tmp_path / "run.ckpt"
    expected = fit(new_vae(), callbacks=[whole])
    interrupt(new_vae(), "batch", 6, callbacks=[Draws()], checkpoint=path)
    vae = fit(new_vae(), callbacks=[resumed], resume=path)
    assert_same_run(vae, expected)
    assert (resumed.total, vae.draw_counts) == (whole.total, (3, 3))


def test_a_callback_with_a_state_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    fit(new_vae(), epochs=1, callbacks=[Meddler()], checkpoint=path)
    with pytest.raises(ValueError, match="the run has a callback Meddler, and none is given"):
        fit(new_vae(), callbacks=[callbacks.Callback()], resume=path)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"x": np.array(["a"])}, TypeError),
        ({"x": np.zeros(2, np.clongdouble).real}, TypeError),
        ({"x": object()}, TypeError),
        ({1: 2}, TypeError),
    ],
)
def test_a_state_that_cannot_be_kept_is_an_error(state: Any, error: type[Exception]) -> None:
    class Bad(callbacks.Callback):
        def state_dict(self) -> dict[str, Any]:
            return state

    with pytest.raises(error, match="the state of Bad"):
        fit(new_vae(), callbacks=[Bad()])


class Begins(callbacks.Callback):
    """Notes what it is told at the begin of the training and of epochs."""

    def __init__(self) -> None:
        self.begun: list[Any] = []

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        self.begun.append((n_epochs, n_rows, len(figures_of(vae.history).get("loss", []))))

    def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
        self.begun.append(epoch)


def test_an_epoch_begins_once(tmp_path: Path) -> None:
    path, begins = tmp_path / "run.ckpt", Begins()
    interrupt(new_vae(), "batch", 6, checkpoint=path, callbacks=[begins])
    assert begins.begun == [(3, 53, 0), 1, 2]
    begins = Begins()
    fit(new_vae(), resume=path, callbacks=[begins])
    assert begins.begun == [(3, 53, 1), 3]


def test_training_may_be_stopped_before_it_begins() -> None:
    class Stop(callbacks.Callback):
        def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
            vae.stop_training = True

    begins, vae = Begins(), new_vae()
    fit(vae, callbacks=[Stop(), begins])
    assert (vae.updates, begins.begun) == (0, [(3, 53, 0)])
    assert_same_run(fit(vae, resume=True), fit(new_vae()))


REFUSED: dict[str, tuple[dict[str, Any], Any, dict[str, Any], str]] = {
    "batch size": ({}, ROWS, {"batch_size": 6}, "batch_size was 5 and is 6"),
    "optimizer": ({}, ROWS, {"optimizer": "sgd"}, r"optimizer was Adam\(.*\) and is SGD"),
    "clipping": ({}, ROWS, {"clip_norm": 1.0}, "clip_norm was not given and is 1.0"),
    "rate": ({}, ROWS, {"learning_rate": 0.1}, r"learning_rate was .* which gives other values"),
    "callable": ({}, ROWS, {"learning_rate": lambda step, total: 1e-3 + (step == 20)}, "lambda"),
    "beta": ({"beta": 2.0}, ROWS, {}, "beta was 1.0 and is 2.0"),
    "beta of fit": ({}, ROWS, {"beta": 2.0}, "beta was 1.0 and is 2.0"),
    "beta's schedule": ({}, ROWS, {"beta": schedules.Constant(1)}, "beta was 1.0 and is a sched"),
    "no validation": ({}, ROWS, {"validation": None}, "validation rows were given before"),
    "validation": ({}, ROWS, {"validation": ROWS}, "the validation rows are others"),
    "fewer rows": ({}, ROWS[1:], {}, "the number of rows was 53 and is 52"),
    "order": ({}, ROWS[::-1], {}, "the rows are others"),
    "one value": ({}, np.where(np.arange(53 * 37).reshape(53, 37) == 900, 7, ROWS), {}, "the rows"),
    "seed": ({"seed": 4}, ROWS, {}, "seed was 3 and is 4"),
    "layers": ({"hidden": (18,)}, ROWS, {}, "the model's layers .* was .*19.* and is .*18"),
    "activation": ({"activation": "tanh"}, ROWS, {}, "the model's layers .*relu.* and is .*tanh"),
    "dtype": ({"dtype": np.float64}, ROWS, {}, "dtype was float32 and is float64"),
    "weight": ({"reconstruction_weight": 2.0}, ROWS, {}, "reconstruction_weight was 1.0 and is 2"),
    "epochs": ({}, ROWS, {"epochs": 1}, "which has begun its epoch 2; got 1"),
}


@pytest.mark.parametrize(("model", "rows", "changes", "message"), REFUSED.values(), ids=REFUSED)
def test_another_run_is_refused_and_nothing_changes(
    tmp_path: Path, model: dict[str, Any], rows: Any, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "run.ckpt"
    interrupt(new_vae(), "batch", 6, checkpoint=path)
    vae = new_vae(**model)
    before, rows = parameters(vae), np.asarray(rows).astype(np.uint8)
    with pytest.raises(ValueError, match=message) as error:
        fit(vae, rows, resume=path, **changes)
    assert str(error.value).startswith(f"cannot go on with {path}: ")
    assert_same_parameters(vae, before)
    assert (vae.updates, vae.history, vae.last_run) == (0, None, None)


def test_a_processor_whose_bits_are_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ckpt"
    fit(new_vae(), epochs=1, checkpoint=path)
    monkeypatch.setattr(kernels, "isa", lambda: "another")
    with pytest.raises(ValueError, match="the processor's arithmetic was .* and is another"):
        fit(new_vae(), resume=path)


@pytest.mark.parametrize("name", ["batch size", "rate", "beta of fit", "fewer rows", "epochs"])
def test_another_run_is_refused_on_the_same_object(name: str) -> None:
    _, rows, changes, message = REFUSED[name]
    vae = new_vae()
    interrupt(vae, "batch", 6)
    before, history = parameters(vae), figures_of(vae.history)
    with pytest.raises(ValueError, match=message) as error:
        fit(vae, rows, resume=True, **changes)
    assert str(error.value).startswith("cannot go on with the last fit: ")
    assert_same_parameters(vae, before)
    assert figures_of(vae.history) == history
    assert_same_run(fit(vae, resume=True), fit(new_vae()))


def test_rows_of_the_same_values_are_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    interrupt(new_vae(), "batch", 6, checkpoint=path)
    as_floats = np.asfortranarray(ROWS / 255)
    assert_same_run(fit(new_vae(), as_floats, resume=path), fit(new_vae()))


def diverge(vae: VAE) -> None:
    with pytest.raises(FloatingPointError):
        fit(vae, learning_rate=1e30)


NOTHING_TO_RESUME: dict[str, Callable[[], VAE]] = {
    "new": new_vae,
    "copied": lambda: copy.deepcopy(fit(new_vae())),
    "pickled": lambda: pickle.loads(pickle.dumps(fit(new_vae()))),
}


@pytest.mark.parametrize("make", NOTHING_TO_RESUME.values(), ids=NOTHING_TO_RESUME)
def test_without_a_fit_there_is_nothing_to_go_on_with(make: Callable[[], VAE]) -> None:
    with pytest.raises(ValueError, match="goes on with the last fit of the same model"):
        fit(make(), resume=True)


def test_a_loaded_model_has_no_run(tmp_path: Path) -> None:
    vae = fit(new_vae())
    vae.save(tmp_path / "model")
    vae.load(tmp_path / "model")
    with pytest.raises(ValueError, match="goes on with the last fit of the same model"):
        fit(vae, resume=True)


def test_a_diverged_run_is_over() -> None:
    vae = new_vae()
    diverge(vae)
    with pytest.raises(ValueError, match="or it diverged"):
        fit(vae, resume=True, learning_rate=1e30)


def test_a_resumed_run_that_diverges_goes_back_to_the_same_weights(tmp_path: Path) -> None:
    """Those that the epoch began with, though it was gone on with in its middle."""
    path = tmp_path / "run.ckpt"

    def rate(step: int, total: int) -> float:
        return 1e-3 if step < STEPS + 7 else 1e30

    expected = new_vae()
    with pytest.raises(FloatingPointError) as whole:
        fit(expected, learning_rate=rate)
    interrupt(new_vae(), "batch", 5, learning_rate=rate, checkpoint=path)
    vae = new_vae()
    with pytest.raises(FloatingPointError) as resumed:
        fit(vae, learning_rate=rate, resume=path)
    assert str(resumed.value) == str(whole.value)
    assert "in epoch 2" in str(whole.value)
    assert_same_run(vae, expected)


def test_weights_that_a_callback_restores_at_the_end_do_not_change_the_run(tmp_path: Path) -> None:
    class Zero(callbacks.Callback):
        def on_train_end(self, vae: VAE, history: Any) -> None:
            vae.encoder.layers[0].bias = np.zeros(19)

    path, expected = tmp_path / "run.ckpt", fit(new_vae())
    vae = fit(new_vae(), epochs=2, callbacks=[Zero()], checkpoint=path)
    assert not vae.encoder.layers[0].bias.any()
    assert_same_run(fit(vae, resume=True), expected)
    assert_same_run(fit(new_vae(), resume=path), expected)


def test_weights_that_were_assigned_meanwhile_count() -> None:
    vae = fit(new_vae(), epochs=1)
    bias = np.arange(19, dtype=np.float32)
    vae.encoder.layers[0].bias = bias
    fit(vae, epochs=2, resume=True, learning_rate=1e-3)
    assert np.abs(vae.encoder.layers[0].bias - bias).max() < 1


@pytest.mark.parametrize("bad", [1, 0.5, b"", "", ["x"]])
def test_resume_is_true_or_a_path(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="resume must be"):
        fit(new_vae(), resume=bad)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    vae = new_vae()
    with pytest.raises(FileNotFoundError, match="absent.ckpt"):
        fit(vae, resume=tmp_path / "absent.ckpt")
    assert vae.history is None


def test_a_checkpoint_of_the_wrong_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    fit(new_vae(), epochs=1, checkpoint=path)
    saved = checkpoints.read(path)
    for name in saved.arrays:
        wrong = saved.arrays | {name: np.zeros((2, 2, 2))}
        missing = {key: array for key, array in saved.arrays.items() if key != name}
        for arrays in (wrong, missing):
            checkpoints.write(path, checkpoints.SavedRun(saved.facts, arrays))
            vae = new_vae()
            with pytest.raises(ValueError, match=f"{path.name}.* is not a valid checkpoint"):
                fit(vae, resume=path)
            assert vae.updates == 0


def test_a_checkpoint_knows_all_rows_though_the_fit_before_had_none(tmp_path: Path) -> None:
    """A `fit` without a checkpoint looks at 512 rows only."""
    rows, path, vae = pixel_rows(1500, 37), tmp_path / "run.ckpt", new_vae()
    fit(vae, rows, epochs=1, batch_size=100)
    fit(vae, rows, epochs=2, batch_size=100, resume=True, checkpoint=path)
    for i in range(0, 1500, 100):
        others = rows.copy()
        others[i + 1, 5] ^= 255
        with pytest.raises(ValueError, match="the rows are others"):
            fit(new_vae(), others, batch_size=100, resume=path)


def test_a_schedule_of_beta_is_given_again_on_the_same_object() -> None:
    warmup = schedules.LinearWarmup(steps=30)
    vae = fit(new_vae(), epochs=1, beta=warmup)
    with pytest.raises(ValueError, match="beta was a schedule and is 0.333"):
        fit(vae, resume=True)
    assert_same_run(fit(vae, resume=True, beta=warmup), fit(new_vae(), beta=warmup))


def test_numbers_that_were_set_meanwhile_are_in_the_checkpoint(tmp_path: Path) -> None:
    """Another process makes the model that the run was begun with."""
    path, vae = tmp_path / "run.ckpt", new_vae()
    fit(vae, epochs=1, checkpoint=path)
    vae.beta, vae.seed, vae.reconstruction_weight = 0.5, 77, 2.0
    fit(vae, epochs=2, resume=True, checkpoint=path)
    assert_same_run(fit(new_vae(), resume=path), fit(vae, resume=True))


def test_weights_that_a_callback_restores_after_ctrl_c_do_not_change_the_run() -> None:
    class Zero(callbacks.Callback):
        def on_train_end(self, vae: VAE, history: Any) -> None:
            vae.encoder.layers[0].bias = np.zeros(19)

    vae = new_vae()
    interrupt(vae, "batch", 6, callbacks=[Zero()])
    assert not vae.encoder.layers[0].bias.any()
    assert_same_run(fit(vae, resume=True), fit(new_vae()))
