"""Callbacks with a state in runs that are resumed: they end as in the whole run."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_checks
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    parameters,
)
from run_checks import ROWS, STEPS, new_vae

import fastvae
from fastvae import VAE
from fastvae.callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    Figures,
    JSONLogger,
    ReduceOnPlateau,
    TensorBoard,
)
from fastvae.files import checkpoints
from fastvae.schedules import Constant, Cyclical, LinearWarmup

pytestmark = pytest.mark.slow


def fit(vae: VAE, **changes: Any) -> VAE:
    """Train for four epochs, but for the changes."""
    return run_checks.fit(vae, **({"epochs": 4} | changes))


def interrupt(vae: VAE, hook: str, n: int, callbacks: Sequence[Callback] = (), **other: Any) -> VAE:
    """Train until Ctrl-C in the n-th call of a hook, after the other callbacks were called."""
    with pytest.raises(KeyboardInterrupt):
        fit(vae, callbacks=[*callbacks, InterruptAt(hook, n)], **other)
    return vae


def test_of_two_callbacks_of_a_class_each_takes_up_its_own_state(tmp_path: Path) -> None:
    def both() -> list[Checkpoint]:
        latest, best = tmp_path / "latest.safetensors", tmp_path / "best.safetensors"
        return [Checkpoint(latest), Checkpoint(best, best_only=True)]

    before, after, path = both(), both(), tmp_path / "run.ckpt"
    fit(new_vae(), epochs=2, callbacks=before, checkpoint=path)
    fit(new_vae(), epochs=2, callbacks=after, resume=path)
    assert after[1].monitor.state_dict() == before[1].monitor.state_dict()
    assert after[1].monitor.best is not None


class Meddler(Callback):
    """Changes the model's numbers, and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def _meddle(self, vae: VAE) -> None:
        self.calls += 1
        vae.learning_rate_factor *= 0.9
        vae.beta += 0.1
        vae.reconstruction_weight += 0.1
        vae.seed += 1
        vae.updates += 2
        vae.sample(2)
        vae.feedforward(ROWS[:2])

    def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
        self._meddle(vae)

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self._meddle(vae)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        self._meddle(vae)

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.calls = state["calls"]


@pytest.mark.parametrize("hook", ["epoch_begin", "batch", "epoch_end"])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_hook_that_was_interrupted_is_called_again(tmp_path: Path, hook: str, n: int) -> None:
    """As if it had not been called before, by those callbacks that it had reached, too."""
    path, whole = tmp_path / "run.ckpt", Meddler()
    expected = fit(new_vae(), callbacks=[whole])
    vae = interrupt(new_vae(), hook, n, [Meddler()], checkpoint=path)
    same, other = Meddler(), Meddler()
    for resumed in (
        fit(vae, callbacks=[same], resume=True),
        fit(new_vae(), callbacks=[other], resume=path),
    ):
        assert_same_run(resumed, expected)
        assert resumed.learning_rate_factor == expected.learning_rate_factor
    assert (same.calls, other.calls) == (whole.calls, whole.calls)


class Holder(Callback):
    """Has a state and nothing else."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state = state or {}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = state


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype=">f4"),
        np.arange(6).reshape(2, 3).T,
        np.arange(6, dtype=np.float16)[::-2],
        np.array(2.5),
        np.zeros((0, 3)),
        np.array([True, False]),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_of_a_state_come_back_as_they_were(tmp_path: Path, array: Any) -> None:
    path, resumed = tmp_path / "run.ckpt", Holder()
    fit(new_vae(), epochs=1, callbacks=[Holder({"a.b": array, "": None})], checkpoint=path)
    fit(new_vae(), epochs=1, callbacks=[resumed], resume=path)
    assert resumed.state.keys() == {"a.b", ""}
    assert resumed.state["a.b"].dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(resumed.state["a.b"], array)


@pytest.mark.parametrize("make", [EarlyStopping, ReduceOnPlateau])
def test_a_monitor_of_another_figure_is_refused(tmp_path: Path, make: Any) -> None:
    path, vae = tmp_path / "run.ckpt", new_vae()
    fit(new_vae(), epochs=1, callbacks=[make()], checkpoint=path)
    with pytest.raises(ValueError, match=r"monitor='val_elbo'; got 'loss' to go on with"):
        fit(vae, callbacks=[make("loss")], resume=path)
    assert (vae.updates, vae.history) == (0, None)


CUTS: list[tuple[str, int]] = [
    ("train_begin", 1), ("batch", 2), ("batch", 7), ("epoch_end", 2), ("epoch_begin", 3),
    ("batch", 11), ("epoch_end", 4),
]  # fmt: skip
each_cut = pytest.mark.parametrize("cut", CUTS, ids=lambda cut: f"{cut[0]}-{cut[1]}")
NEVER_BETTER = 1e6  # the first epoch is the best one


def stopping(patience: int = 3, **changes: Any) -> EarlyStopping:
    """Stops after epoch 1 + patience, when epoch 1 was the best."""
    return EarlyStopping(patience=patience, **({"min_delta": NEVER_BETTER} | changes))


def test_early_stopping_restores_the_best_weights_and_not_after_ctrl_c() -> None:
    best, last = fit(new_vae(), epochs=1), fit(new_vae(), epochs=4)
    stopped, stopper = new_vae(), stopping()
    fit(stopped, epochs=9, callbacks=[stopper])
    assert (stopped.epochs, stopped.updates, stopper.best_epoch) == (4, 4 * STEPS, 1)
    assert_same_parameters(stopped, parameters(best))
    kept = fit(new_vae(), epochs=9, callbacks=[stopping(restore_best=False)])
    assert_same_run(kept, last)
    whole = fit(new_vae(), epochs=4, callbacks=[stopping(patience=9)])
    assert_same_parameters(whole, parameters(best))
    # Ctrl-C in the last hook of the last epoch: all of its updates are done.
    broken = interrupt(new_vae(), "epoch_end", 4, [stopping(patience=9)], epochs=4)
    assert_same_parameters(broken, parameters(last))


@each_cut
@pytest.mark.parametrize("restore_best", [True, False])
def test_early_stopping_resumed_before_its_stop(
    tmp_path: Path, cut: tuple[str, int], restore_best: bool
) -> None:
    def stopper() -> EarlyStopping:
        return stopping(restore_best=restore_best)

    path, whole = tmp_path / "run.ckpt", stopper()
    expected = fit(new_vae(), epochs=9, callbacks=[whole])
    vae = interrupt(new_vae(), *cut, [stopper()], epochs=9, checkpoint=path, checkpoint_every=2)
    same, other = stopper(), stopper()
    assert_same_run(fit(vae, epochs=9, callbacks=[same], resume=True), expected)
    assert_same_run(fit(new_vae(), epochs=9, callbacks=[other], resume=path), expected)
    for resumed in (same, other):
        assert resumed.monitor.state_dict() == whole.monitor.state_dict()


@pytest.mark.parametrize("times", [1, 2])
def test_early_stopping_resumed_at_its_stop_stops_at_once(tmp_path: Path, times: int) -> None:
    path, vae = tmp_path / "run.ckpt", new_vae()
    expected = fit(new_vae(), epochs=9, callbacks=[stopping()])
    fit(vae, epochs=9, callbacks=[stopping()], checkpoint=path)
    for _ in range(times):
        fit(vae, epochs=20, callbacks=[stopping()], resume=True)
        other = fit(new_vae(), epochs=20, callbacks=[stopping()], resume=path, checkpoint=path)
        assert_same_run(vae, expected)
        assert_same_run(other, expected)


@pytest.mark.parametrize("patience", [4, 30])
def test_early_stopping_resumed_with_more_patience(tmp_path: Path, patience: int) -> None:
    """It goes on from the last weights, not the best ones, as if there had been no stop."""
    path, vae = tmp_path / "run.ckpt", new_vae()
    fit(vae, epochs=7, callbacks=[stopping()], checkpoint=path)
    expected = fit(new_vae(), epochs=7, callbacks=[stopping(patience)])
    assert expected.epochs == min(1 + patience, 7)
    assert_same_run(fit(vae, epochs=7, callbacks=[stopping(patience)], resume=True), expected)
    other = fit(new_vae(), epochs=7, callbacks=[stopping(patience)], resume=path, checkpoint=path)
    assert_same_run(other, expected)
    after = fit(new_vae(), epochs=9, callbacks=[stopping(30)], resume=path)
    assert_same_run(after, fit(new_vae(), epochs=9, callbacks=[stopping(30)]))


def test_early_stopping_after_a_resumption_that_failed(tmp_path: Path) -> None:
    path, stopper = tmp_path / "run.ckpt", stopping()
    fit(new_vae(), epochs=2, callbacks=[stopping()], checkpoint=path)
    with pytest.raises(KeyboardInterrupt):  # before the stopper hears that the training begins
        fit(new_vae(), callbacks=[InterruptAt("train_begin", 1), stopper], resume=path)
    assert stopper.best_epoch == 1
    fit(new_vae(), epochs=1, callbacks=[stopper])
    assert (stopper.best_epoch, stopper.monitor.waited) == (1, 0)


def test_early_stopping_resumed_without_restoring(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    fit(new_vae(), epochs=2, callbacks=[stopping()], checkpoint=path)
    vae = fit(new_vae(), epochs=9, callbacks=[stopping(restore_best=False)], resume=path)
    assert_same_run(vae, fit(new_vae(), epochs=4))


def test_early_stopping_of_a_real_course_resumed_after_each_update(tmp_path: Path) -> None:
    """With a rate that makes the ELBO go up and down."""
    changes: dict[str, Any] = {"epochs": 30, "learning_rate": 0.05}
    path, stopper = tmp_path / "run.ckpt", EarlyStopping(patience=2)
    expected = fit(new_vae(), callbacks=[stopper], **changes)
    assert 1 < stopper.best_epoch == expected.epochs - 2 < 28
    resume: dict[str, Any] = {}
    for _ in range(200):
        vae = new_vae()
        try:
            fit(
                vae, callbacks=[EarlyStopping(patience=2), InterruptAt("batch", 3)],
                checkpoint=path, **changes, **resume,
            )  # fmt: skip
        except KeyboardInterrupt:
            resume = {"resume": path}
        else:
            break
    assert_same_run(vae, expected)


def plateau() -> ReduceOnPlateau:
    """Halves the rate after epochs 2, 3, 4 ..."""
    return ReduceOnPlateau(factor=0.5, patience=1, min_delta=NEVER_BETTER)


def test_the_rates_of_plateaus_are_those_of_a_schedule() -> None:
    """The factor is 1 in epochs 1 and 2, then 1/2, 1/4, ..."""

    def rate(step: int, total: int) -> float:
        return 1e-3 * 0.5 ** max(step // STEPS - 1, 0)

    vae = fit(new_vae(), callbacks=[plateau()])
    assert_same_run(vae, fit(new_vae(), learning_rate=rate))
    assert vae.learning_rate_factor == 0.5**3
    fit(vae, epochs=1)  # a new run has its own
    assert vae.learning_rate_factor == 1.0


@each_cut
def test_plateaus_resumed(tmp_path: Path, cut: tuple[str, int]) -> None:
    path, whole = tmp_path / "run.ckpt", plateau()
    expected = fit(new_vae(), callbacks=[whole])
    vae = interrupt(new_vae(), *cut, [plateau()], checkpoint=path)
    same, other = plateau(), plateau()
    for resumed in (
        fit(vae, callbacks=[same], resume=True),
        fit(new_vae(), callbacks=[other], resume=path),
    ):
        assert_same_run(resumed, expected)
        assert resumed.learning_rate_factor == expected.learning_rate_factor
    assert same.monitor.state_dict() == other.monitor.state_dict() == whole.monitor.state_dict()


@each_cut
def test_the_best_model_of_a_resumed_run_is_that_of_the_whole_one(
    tmp_path: Path, cut: tuple[str, int]
) -> None:
    changes: dict[str, Any] = {"epochs": 8, "learning_rate": 0.05}

    def best(name: str) -> Checkpoint:
        return Checkpoint(tmp_path / name, best_only=True)

    path = tmp_path / "run.ckpt"
    fit(new_vae(), callbacks=[best("whole")], **changes)
    interrupt(new_vae(), *cut, [best("resumed")], checkpoint=path, **changes)
    fit(new_vae(), callbacks=[best("resumed")], resume=path, **changes)
    whole, resumed = fastvae.load(tmp_path / "whole"), fastvae.load(tmp_path / "resumed")
    assert_same_parameters(resumed, parameters(whole))
    assert resumed.epochs == whole.epochs


def figures_in(folder: Path) -> dict[str, Any]:
    """What the logs of a run say, but for timings."""
    timings = ("seconds", "samples_per_second")
    with open(folder / "log.csv", newline="") as file:
        tables = [list(csv.DictReader(file))]
    tables.append(json.loads((folder / "log.json").read_text()))
    tables.append([json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()])
    shown: dict[Any, Any] = {}
    for path in sorted((folder / "board").iterdir()):
        for event in tensorboard_events(path):
            if event.HasField("session_log"):  # hides what was said of this step and later ones
                shown = {key: value for key, value in shown.items() if key[0] < event.step}
            for value in event.summary.value:
                shown[event.step, value.tag] = value.simple_value
    return {
        "tables": [[{k: r[k] for k in r if k not in timings} for r in table] for table in tables],
        "board": {k: v for k, v in shown.items() if not k[1].startswith(timings)},
    }


def tensorboard_events(path: Path) -> list[Any]:
    """The events of a file of TensorBoard."""
    from tensorboardX.proto.event_pb2 import Event

    content, events = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


@each_cut
@pytest.mark.parametrize("is_last", [True, False], ids=["last checkpoint", "the one before"])
def test_logs_of_a_resumed_run_are_those_of_the_whole_one(
    tmp_path: Path, cut: tuple[str, int], is_last: bool
) -> None:
    pytest.importorskip("tensorboardX")

    def logs(folder: Path) -> list[Callback]:
        files = [CSVLogger(folder / "log.csv"), JSONLogger(folder / "log.json")]
        return [*files, JSONLogger(folder / "log.jsonl"), TensorBoard(folder / "board")]

    whole, resumed, path = tmp_path / "whole", tmp_path / "resumed", tmp_path / "run.ckpt"
    whole.mkdir()
    resumed.mkdir()
    fit(new_vae(), callbacks=logs(whole))
    interrupt(new_vae(), *cut, logs(resumed), checkpoint=path)
    left = path if is_last else checkpoints.previous_of(path)
    if left.exists():
        fit(new_vae(), callbacks=logs(resumed), resume=left)
        assert figures_in(resumed) == figures_in(whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [0.0, 0.3, 4])
def test_a_constant_schedule_of_beta_is_the_number(dtype: Any, beta: float) -> None:
    number = fit(new_vae(dtype=dtype), beta=beta)
    assert number.beta == beta
    assert_same_run(fit(new_vae(dtype=dtype), beta=Constant(beta)), number)
    assert_same_run(fit(new_vae(dtype=dtype), beta=lambda step, total: beta), number)
    assert_same_run(fit(new_vae(dtype=dtype, beta=beta)), number)


def test_beta_by_epochs_is_that_of_fits_with_beta_set_by_hand() -> None:
    betas = [0.1, 1.5, 0.0, 0.7]
    expected = new_vae()
    for epoch, beta in enumerate(betas, start=1):
        expected.beta = beta
        fit(expected, epochs=epoch, resume=epoch > 1)
    vae = fit(new_vae(), beta=lambda step, total: betas[step // STEPS])
    assert_same_run(vae, expected)
    assert vae.beta == 0.7


@each_cut
@pytest.mark.parametrize(
    "beta", [LinearWarmup(0.8, steps=30), Cyclical(n_cycles=3)], ids=["warm-up", "cycles"]
)
def test_a_run_resumed_within_a_warm_up(tmp_path: Path, cut: tuple[str, int], beta: Any) -> None:
    path, total = tmp_path / "run.ckpt", 4 * STEPS
    expected = fit(new_vae(), beta=beta)
    assert expected.beta == beta(total - 1, total)
    vae = interrupt(new_vae(), *cut, beta=beta, checkpoint=path)
    done = vae.updates
    assert vae.beta == (beta(done - 1, total) if done else 1.0)
    assert_same_run(fit(vae, beta=beta, resume=True), expected)
    assert_same_run(fit(new_vae(), beta=beta, resume=path), expected)
    with pytest.raises(ValueError, match="beta was .*, which gives other values"):
        fit(new_vae(), beta=LinearWarmup(0.8, steps=31), resume=path)


@pytest.mark.parametrize("n", [1, 3, 5, 14, 22, 44])
def test_ctrl_c_within_a_run_of_updates(tmp_path: Path, n: int) -> None:
    """After update n; beta is what that one went by."""
    path, vae = tmp_path / "run.ckpt", new_vae()
    train = vae.network.train

    def train_in_part(X: Any, order: Any, run: Any, **others: Any) -> None:
        for i in range(run.n_steps):
            train(X, order, run.step(i), **others)
            if vae.updates == n:
                raise KeyboardInterrupt

    vae.network.train = train_in_part  # type: ignore[method-assign]
    beta = LinearWarmup(0.8, steps=30)
    expected = fit(new_vae(), beta=beta, callbacks=[plateau()])
    with pytest.raises(KeyboardInterrupt):
        fit(vae, beta=beta, callbacks=[plateau()], checkpoint=path)
    assert (vae.updates, vae.beta) == (n, beta(n - 1, 4 * STEPS))
    assert vae.last_run is not None
    assert vae.last_run.counts.seconds > 0
    other = fit(new_vae(), beta=beta, callbacks=[plateau()], resume=path)
    vae.network.train = train  # type: ignore[method-assign]
    assert_same_run(fit(vae, beta=beta, callbacks=[plateau()], resume=True), expected)
    assert_same_run(other, expected)
