"""Callbacks of `fit`: their order, what interrupting leaves, and what is shown."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from model_checks import Recorder, assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import callbacks, kernels

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
        self.after, self.parameters = after, None

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
    snapshots = {}
    watch = SimpleWatch(snapshots)
    straight.fit(X, epochs=3, batch_size=10, callbacks=[watch], verbose=False)
    assert_same_parameters(vae, snapshots[4])
    vae.fit(X, epochs=1, batch_size=10, verbose=False)
    assert all(np.isfinite(array).all() for array in parameters(vae).values())


class CtrlC(callbacks.Callback):
    """Sends the signal of Ctrl-C from another thread, once the training runs."""

    def __init__(self):
        self.timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])

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


def test_lines_report_each_epoch(capsys):
    small_vae().fit(X, epochs=2, validation=X[:3])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"epoch {number}/2  ELBO -")
        for word in ("reconstruction", "KL", "active units", "/5", "samples/s", "validation ELBO"):
            assert word in line


def test_quiet_fit_prints_nothing(capsys):
    small_vae().fit(X, epochs=1, verbose=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    small_vae().fit(X, epochs=2)
    captured = capsys.readouterr()
    assert [line[:9] for line in captured.out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "23.0/23.0" in captured.err or "0.00/23.0" in captured.err


def test_fit_says_that_it_compiles(capsys, monkeypatch):
    warmed = []
    monkeypatch.setattr(kernels, "is_compiled", lambda: False)
    monkeypatch.setattr(kernels, "warmup", warmed.append)
    small_vae(dtype=np.float64).fit(X, epochs=1)
    assert capsys.readouterr().out.startswith("compiling the kernels")
    assert warmed == [(np.dtype(np.float64),)]
