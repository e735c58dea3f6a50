"""Callbacks of `fit`: their order, what interrupting leaves, and what is shown."""

from __future__ import annotations

import copy
import re
import signal
import threading
from typing import Any

import numpy as np
import pytest
from model_checks import Recorder, assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import MLP, Dense, History, Sampler, callbacks, kernels
from fastvae.training.callbacks import epoch_line

X = pixel_rows(23, 37)


def test_callbacks_are_called_in_order(monkeypatch):
    recorder, seen = Recorder(), []
    vae = small_vae()
    monkeypatch.setattr(vae.network, "steps_per_call", lambda batch_size: 2)
    history = vae.fit(
        X,
        epochs=2,
        batch_size=10,
        callbacks=[recorder, lambda *args: seen.append(args)],
        verbose=False,
    )
    assert recorder.calls == [
        ("begin", 2, 23),
        *(("batch", 1, 20), ("batch", 1, 23), ("epoch", 1, 1)),
        *(("batch", 2, 20), ("batch", 2, 23), ("epoch", 2, 2)),
        ("end", 2),
    ]
    assert [(model is vae, epoch) for model, epoch, _ in seen] == [(True, 1), (True, 2)]
    assert [figures["loss"] for _, _, figures in seen] == history["loss"]


def test_steps_of_a_call_change_nothing(monkeypatch):
    expected = small_vae()
    expected.fit(X, epochs=2, batch_size=3, verbose=False)
    vae = small_vae()
    monkeypatch.setattr(vae.network, "steps_per_call", lambda batch_size: 1)
    vae.fit(X, epochs=2, batch_size=3, verbose=False)
    assert_same_parameters(vae, parameters(expected))


class Interrupt(callbacks.Callback):
    def __init__(self, after):
        self.after = after
        self.parameters: Any = None

    def on_batch(self, vae, epoch, n_done):
        if vae.updates >= self.after and self.parameters is None:
            self.parameters = parameters(vae)
            raise KeyboardInterrupt


def test_interrupted_fit_leaves_consistent_weights(monkeypatch):
    vae, recorder = small_vae(), Recorder()
    monkeypatch.setattr(vae.network, "steps_per_call", lambda batch_size: 1)
    interrupt = Interrupt(after=4)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X, epochs=3, batch_size=10, callbacks=[interrupt, recorder], verbose=False)
    assert recorder.calls[-1] == ("end", 1)
    assert (vae.epochs, vae.updates) == (1, 4)
    assert_same_parameters(vae, interrupt.parameters)

    straight = small_vae()
    monkeypatch.setattr(straight.network, "steps_per_call", lambda batch_size: 1)
    snapshots: dict[int, Any] = {}
    watch = SimpleWatch(snapshots)
    straight.fit(X, epochs=3, batch_size=10, callbacks=[watch], verbose=False)
    assert_same_parameters(vae, snapshots[4])
    vae.fit(X, epochs=1, batch_size=10, verbose=False)
    assert all(np.isfinite(array).all() for array in parameters(vae).values())


class CtrlC(callbacks.Callback):
    """Sends the signal of Ctrl-C from another thread, once the training runs."""

    def __init__(self, delay=0.1):
        self.timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])

    def on_train_begin(self, vae, n_epochs, n_rows):
        self.timer.start()


def test_ctrl_c_ends_a_fit_with_finite_weights():
    vae = small_vae()
    vae.fit(X, epochs=1, verbose=False)  # compiled, so that the signal meets the training
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X, epochs=10**9, batch_size=10, callbacks=[CtrlC()], verbose=False)
    assert vae.updates > 1
    assert all(np.isfinite(array).all() for array in parameters(vae).values())
    assert len(vae.fit(X, epochs=1, verbose=False)["loss"]) == 1


class SimpleWatch(callbacks.Callback):
    def __init__(self, snapshots):
        self.snapshots = snapshots

    def on_batch(self, vae, epoch, n_done):
        self.snapshots[vae.updates] = parameters(vae)


@pytest.mark.parametrize("given", [callbacks.ProgressBar, callbacks.PrintEpochs])
def test_a_display_that_is_given_is_the_only_one(capsys, given):
    small_vae().fit(X, epochs=2, callbacks=[given()])
    assert capsys.readouterr().out.count("epoch") == 2


def test_lines_report_each_epoch(capsys):
    small_vae().fit(X, epochs=2, validation=X[:3])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines, start=1):
        assert re.fullmatch(
            rf"epoch {number}/2  ELBO -\S+  val -\S+  KL \S+  active [0-5]/5  \d\.\d\d s", line
        )


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        (
            {"elbo": -1234.561, "val_elbo": -1240.004, "kl": 134.5, "seconds": 12.34},
            "epoch 100/100  ELBO -1234.56  val -1240.00  KL 134.50  active 128/128  12.3 s",
        ),
        (
            {"elbo": -99.6, "kl": 25.0, "seconds": 0.512},
            "epoch 100/100  ELBO -99.60  KL 25.00  active 128/128  0.51 s",
        ),
        (
            {"elbo": -9999.99, "val_elbo": -9999.99, "kl": 999.99, "seconds": 123456.0},
            "epoch 100/100  ELBO -9999.99  val -9999.99  KL 999.99  active 128/128  123456 s",
        ),
    ],
)
def test_the_line_of_an_epoch_fits_80_columns(figures, line):
    found = epoch_line(100, 100, 128, {"active_units": 128} | figures)
    assert found == line
    assert len(found) <= 80


def bar_at(vae, calls, capsys, n_epochs=4, n_rows=100):
    """What the bar shows ten seconds after its begin.

    A number among the calls is one of `on_epoch_begin`, a pair one of `on_batch`.
    """
    bar = callbacks.ProgressBar()
    bar.on_train_begin(vae, n_epochs, n_rows)
    for call in calls:
        if isinstance(call, int):
            bar.on_epoch_begin(vae, call)
        else:
            bar.on_batch(vae, *call)
    bar.bar._time = lambda now=bar.bar.start_t + 10.0: now
    bar.bar.refresh()
    shown = capsys.readouterr().err.rpartition("\r")[2]
    bar.on_train_end(vae, vae.history)
    return shown


def test_the_bar_counts_the_rows_of_the_whole_run(capsys):
    vae = small_vae()
    vae.history = History()
    shown = bar_at(vae, [1, (1, 50), (1, 100), 2, (2, 30)], capsys)
    assert shown.startswith("epoch 2/4:  32%")
    assert "130/400 [00:10<00:20, 13.0 samples/s]" in shown


def test_the_bar_of_a_resumed_run_starts_where_it_is(capsys):
    """Speed and time left are of what is done since."""
    vae = small_vae()
    vae.history = History({"loss": [1.0, 0.5]})
    assert "200/400 [00:10<?, ? samples/s]" in bar_at(vae, [], capsys)
    between = bar_at(vae, [3, (3, 50)], capsys)
    assert "250/400 [00:10<00:30, 5.00 samples/s]" in between
    within = bar_at(vae, [(3, 60), (3, 80)], capsys)
    assert "280/400 [00:10<01:00, 2.00 samples/s]" in within


def test_quiet_fit_prints_nothing(capsys):
    small_vae().fit(X, epochs=1, verbose=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    small_vae().fit(X, epochs=2)
    captured = capsys.readouterr()
    assert [line[:9] for line in captured.out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "/46.0 [" in captured.err


def test_fit_says_that_it_compiles(capsys, monkeypatch):
    warmed: list[Any] = []
    monkeypatch.setattr(kernels, "is_compiled", lambda dtypes: np.float64 not in dtypes)
    monkeypatch.setattr(kernels, "warmup", warmed.append)
    small_vae().fit(X, epochs=1)
    assert "compiling" not in capsys.readouterr().out
    small_vae(dtype=np.float64).fit(X, epochs=1)
    assert capsys.readouterr().out.startswith("compiling the kernels")
    assert warmed == [(np.dtype(np.float64),)]


class At(callbacks.Callback):
    """Does something once, at one of the places where callbacks are called."""

    def __init__(self, place, act):
        self.place, self.act, self.done = place, act, False

    def _meet(self, place, vae):
        if place == self.place and not self.done:
            self.done = True
            self.act(vae)

    def on_train_begin(self, vae, n_epochs, n_rows):
        self._meet("begin", vae)

    def on_batch(self, vae, epoch, n_done):
        self._meet("batch", vae)

    def on_epoch_end(self, vae, epoch, figures):
        self._meet("epoch", vae)

    def on_train_end(self, vae, history):
        self._meet("end", vae)


each_place = pytest.mark.parametrize("place", ["begin", "batch", "epoch", "end"])


def fit_with(vae, *listeners, **settings):
    settings = {"epochs": 3, "batch_size": 10, "verbose": False} | settings
    return vae.fit(X, callbacks=list(listeners), **settings)


@each_place
def test_stop_training_ends_the_fit(place, monkeypatch):
    vae = small_vae()
    monkeypatch.setattr(vae.network, "steps_per_call", lambda _: 1)
    vae.stop_training = True  # is reset when fit begins
    history = fit_with(vae, At(place, lambda vae: setattr(vae, "stop_training", True)))
    epochs, updates = {"begin": (0, 0), "batch": (0, 1), "epoch": (1, 3), "end": (3, 9)}[place]
    assert (vae.epochs, vae.updates) == (epochs, updates)
    assert history is vae.history
    assert history is not None
    assert len(history.get("loss", [])) == epochs
    fit_with(vae)
    assert vae.updates == updates + 9


def test_stop_training_after_an_epochs_last_updates_keeps_the_epoch():
    """With one run of updates an epoch, `on_batch` comes when the epoch is over."""
    vae = small_vae()
    history = fit_with(vae, At("batch", lambda vae: setattr(vae, "stop_training", True)))
    assert (vae.epochs, len(history["loss"])) == (1, 1)


@each_place
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FloatingPointError])
def test_an_exception_in_a_callback_leaves_history_and_weights(place, error):
    vae, straight = small_vae(), small_vae()

    def fail(vae):
        raise error("mine")

    recorder = Recorder()
    with pytest.raises(error, match="mine"):
        fit_with(vae, At(place, fail), recorder)
    epochs = {"begin": 0, "batch": 0, "epoch": 1, "end": 3}[place]
    assert vae.epochs == epochs
    assert vae.history is not None
    assert len(vae.history.get("loss", [])) == epochs
    assert recorder.calls[-1][0] == "end"
    trained = {"begin": 0, "batch": 1, "epoch": 1, "end": 3}[place]
    assert vae.updates == 3 * trained
    fit_with(straight, epochs=max(trained, 1), learning_rate=1e-3 if trained else 0.0)
    assert_same_parameters(vae, parameters(straight))
    fit_with(vae)


def double(vae):
    for layer in vae.named_layers().values():
        layer.weight = 2 * layer.weight


@each_place
def test_weights_set_in_a_callback_are_trained_on(place):
    vae, seen = small_vae(), []

    def double_and_look(vae):
        double(vae)
        seen.append(parameters(vae))

    act = At(place, double_and_look)
    fit_with(vae, act, epochs=1, learning_rate=0.0)
    assert_same_parameters(vae, seen[0])


@each_place
@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda vae: fit_with(vae), RuntimeError, "is being trained"),
        (lambda vae: vae.load("synthetic_digits"), RuntimeError, "is being trained"),
        (lambda vae: setattr(vae, "encoder", vae.encoder), AttributeError, "encoder"),
        (lambda vae: setattr(vae, "network", vae.network), AttributeError, "network"),
        (lambda vae: setattr(vae.sampler, "mean", vae.sampler.mean), AttributeError, "mean"),
        (lambda vae: vae.encoder.add_layer(Dense(19, 4)), ValueError, "layers of a VAE are fixed"),
        (lambda vae: setattr(vae, "beta", -1), ValueError, "beta must be"),
        (lambda vae: setattr(vae, "updates", -1), ValueError, "updates must be"),
        (
            lambda vae: setattr(vae.encoder.layers[0], "weight", np.full((19, 37), np.nan)),
            ValueError,
            "weight must be finite",
        ),
    ],
    ids=["fit", "load", "encoder", "network", "mean", "add_layer", "beta", "updates", "nan"],
)
def test_what_a_callback_may_not_do_is_an_error_at_once(place, act, error, message):
    vae, caught = small_vae(), []

    def attempt(vae):
        with pytest.raises(error, match=message):
            act(vae)
        caught.append(True)

    expected = small_vae()
    fit_with(expected)
    fit_with(vae, At(place, attempt))
    assert caught == [True]
    assert_same_parameters(vae, parameters(expected))


def test_parts_replaced_by_force_end_the_fit():
    def replace(vae):
        vae.__init__(MLP([Dense(37, 50)]), Sampler(50, 5), MLP([Dense(5, 37, "sigmoid")]))

    with pytest.raises(RuntimeError, match="was replaced while `fit` trained it"):
        fit_with(small_vae(), At("epoch", replace))


@each_place
@pytest.mark.parametrize(
    "act",
    [
        lambda vae: vae.elbo(X, seed=3),
        lambda vae: vae.gradients(X, noise=np.zeros((len(X), 5))),
        lambda vae: vae.sample(700, seed=1),
        lambda vae: copy.deepcopy(vae).fit(X, epochs=2, verbose=False),
        lambda vae: small_vae(hidden=(90, 20)).fit(X, epochs=1, n_threads=1, verbose=False),
        lambda vae: setattr(vae, "card", {"seen": True}),
    ],
    ids=["elbo", "gradients", "sample", "copy", "other", "card"],
)
def test_what_a_callback_may_do_changes_no_bit(place, act):
    vae, expected = small_vae(), small_vae()
    history, wanted = fit_with(vae, At(place, act)), fit_with(expected)
    assert_same_parameters(vae, parameters(expected))
    assert history["loss"] == wanted["loss"]


def test_a_schedule_with_state_is_asked_before_each_run_of_updates(monkeypatch):
    """A callback sets the learning rate through it."""
    rate = [0.0]
    vae = small_vae()
    monkeypatch.setattr(vae.network, "steps_per_call", lambda _: 1)
    seen = SimpleWatch({})
    fit_with(vae, epochs=1, learning_rate=0.0)
    before = parameters(vae)
    act = At("epoch", lambda vae: rate.__setitem__(0, 1e-2))
    fit_with(vae, act, seen, epochs=2, learning_rate=lambda step, total: rate[0])
    assert_same_parameters(vae, parameters(vae))
    first, last = seen.snapshots[min(seen.snapshots)], seen.snapshots[max(seen.snapshots)]
    assert all((first[name] == before[name]).all() for name in before)
    assert any((last[name] != before[name]).any() for name in before)


def test_numbers_set_in_a_callback_hold_from_the_next_update_on():
    vae, expected = small_vae(), small_vae()
    for model in (vae, expected):
        fit_with(model, epochs=1)

    def change(vae):
        vae.beta, vae.reconstruction_weight, vae.seed, vae.updates = 0.25, 2.0, 9, 77

    fit_with(vae, At("begin", change), epochs=1)
    change(expected)
    fit_with(expected, epochs=1)
    assert_same_parameters(vae, parameters(expected))
    assert vae.updates == 80


def test_every_callback_hears_of_the_end_though_one_fails():
    def fail(vae):
        raise ValueError("first")

    recorder = Recorder()
    with pytest.raises(ValueError, match="first"):
        fit_with(small_vae(), At("end", fail), recorder)
    assert recorder.calls[-1] == ("end", 3)


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_call", [1, 7, 1000])
def test_updates_are_right_wherever_ctrl_c_comes(steps_per_call, monkeypatch):
    """They count what was done to the weights, so that the next fit repeats no noise."""
    for delay in (0.02, 0.05, 0.09, 0.11):
        vae, straight = small_vae(), small_vae()
        monkeypatch.setattr(vae.network, "steps_per_call", lambda _: steps_per_call)
        with pytest.raises(KeyboardInterrupt):
            fit_with(vae, CtrlC(delay), epochs=10**9, batch_size=1)
        monkeypatch.setattr(straight.network, "steps_per_call", lambda _: 1)

        def stop(model, epoch, n_done, wanted=vae.updates):
            model.stop_training = model.updates == wanted

        watch: Any = callbacks.Callback()
        watch.on_batch = stop
        fit_with(straight, watch, epochs=10**9, batch_size=1)
        assert straight.updates == vae.updates
        assert_same_parameters(vae, parameters(straight))


def test_progress_and_readers_change_no_bit(monkeypatch, capsys):
    quiet, shown = small_vae(), small_vae()
    expected = fit_with(quiet)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    def read(vae, epoch, figures):
        vae.encode(X), vae.elbo(X), vae.sample(3), vae.feedforward(X)

    history = fit_with(shown, EveryBatch(read), Recorder(), verbose=True)
    assert "epoch 3/3" in capsys.readouterr().out
    assert_same_parameters(shown, parameters(quiet))
    assert history["loss"] == expected["loss"]


class EveryBatch(callbacks.Callback):
    """Calls a function wherever a callback is called."""

    def __init__(self, function):
        self.on_batch = self.on_epoch_end = function  # type: ignore[method-assign]
