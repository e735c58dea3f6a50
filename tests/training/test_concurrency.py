"""One model, many threads: any mixture of calls gives what the calls give one after another."""

from __future__ import annotations

import copy
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae
from numba.np.ufunc import parallel

from fastvae import MLP, VAE, Dense, Sampler, kernels
from fastvae.callbacks import Callback
from fastvae.model import guards
from fastvae.model.guards import DrawCounter, Exclusive, Gate

ROWS = pixel_rows(1500, 37)
SIZES = [1, 2, 700, 3, 1100, 5, 513, 64]
WAIT = 60
"""Seconds after which a thread that should have come to its end counts as stuck."""


def at_once(calls: Sequence[Callable[..., Any]], n_threads: int = 8) -> list[Any]:
    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.result(timeout=WAIT) for future in futures]


def mixture(vae: VAE) -> list[Callable[..., Any]]:
    """Calls of all kinds, of unequal size."""
    latents = np.random.default_rng(0).normal(size=(1200, 5))
    calls: list[Callable[..., Any]] = []
    for i, n in enumerate(SIZES * 3):
        x, z = ROWS[i : i + n], latents[:n]
        calls += [
            lambda x=x: vae.encode(x),
            lambda z=z: vae.decode(z),
            lambda x=x: vae.reconstruct(x),
            lambda x=x, i=i: vae.elbo(x, n_samples=2, seed=i, per_sample=True),
            lambda n=n, i=i: vae.sample(n, seed=i),
            lambda x=x, z=z: vae.gradients(x[:50], noise=z[: len(x[:50])])[1].values(),
        ]
    return calls


def as_bytes(result: Any) -> list[bytes]:
    arrays = [result] if isinstance(result, np.ndarray) else list(result)
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_mixture_of_calls_gives_the_serial_bits(dtype):
    vae = small_vae(dtype=dtype)
    expected = [as_bytes(call()) for call in mixture(vae)]
    for _ in range(3):
        assert [as_bytes(result) for result in at_once(mixture(vae))] == expected


def test_several_models_at_once():
    models = [small_vae(), small_vae(seed=1), small_vae(hidden=(11, 7)), small_vae(n_latent=2)]
    calls = [lambda vae=vae, n=n: vae.encode(ROWS[:n]) for n in SIZES for vae in models]
    expected = [as_bytes(call()) for call in calls]
    assert [as_bytes(result) for result in at_once(calls)] == expected


def test_models_are_trained_at_the_same_time():
    def train(seed: int) -> VAE:
        vae = small_vae(seed=seed)
        vae.fit(ROWS[:200], epochs=3, batch_size=20, validation=ROWS[200:300], verbose=False)
        return vae

    expected = [train(seed) for seed in range(4)]
    trained = at_once([lambda seed=seed: train(seed) for seed in range(4)])
    for one, other in zip(trained, expected, strict=True):
        assert_same_parameters(one, parameters(other))


def test_parts_may_be_shared_by_threads():
    mlp = MLP([Dense(37, 19, "tanh"), Dense(19, 5)])
    calls = [lambda x=ROWS[i : i + n]: mlp.feedforward(x) for i, n in enumerate(SIZES * 4)]
    expected = [as_bytes(call()) for call in calls]
    assert [as_bytes(result) for result in at_once(calls)] == expected


@pytest.mark.parametrize("kind", ["sample", "feedforward", "sampler"])
def test_unseeded_draws_take_each_number_once(kind):
    def draws(vae: VAE, sampler: Sampler) -> list[Callable[[], Any]]:
        x = np.ones((2, 4))
        call = {
            "sample": lambda: vae.sample(2),
            "feedforward": lambda: vae.feedforward(ROWS[:2]),
            "sampler": lambda: sampler.feedforward(x),
        }[kind]
        return [call] * 60

    expected = {as_bytes(call())[0] for call in draws(small_vae(), Sampler(4, 3))}
    found = {as_bytes(result)[0] for result in at_once(draws(small_vae(), Sampler(4, 3)))}
    assert len(expected) == 60
    assert found == expected


class Readers(Callback):
    """Threads that read the model all through a training, and keep what they see."""

    def __init__(self, vae: VAE) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.seen: list[set[bytes]] = [set() for _ in range(3)]
        self.snapshots: set[bytes] = set()
        self.threads = [threading.Thread(target=self._read, args=(vae, seen)) for seen in self.seen]

    def _read(self, vae: VAE, seen: set[bytes]) -> None:
        try:
            while not self.stop.is_set():
                seen.add(as_bytes(vae.encode(ROWS[:600]))[0])
                vae.elbo(ROWS[:5])
        except BaseException as error:
            self.errors.append(error)

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        self.on_batch(vae, 0, 0)
        for thread in self.threads:
            thread.start()

    def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
        self.snapshots.add(as_bytes(vae.encode(ROWS[:600]))[0])

    def on_train_end(self, vae: VAE, history: Any) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(WAIT)


def test_readers_of_a_model_in_training_see_it_between_runs_of_updates():
    vae, expected = small_vae(), small_vae()
    settings: dict[str, Any] = {"epochs": 30, "batch_size": 20, "verbose": False}
    expected.fit(ROWS[:1000], validation=ROWS[:300], **settings)
    readers = Readers(vae)
    readers.snapshots.add(as_bytes(vae.encode(ROWS[:600]))[0])
    vae.fit(ROWS[:1000], validation=ROWS[:300], callbacks=[readers], **settings)
    assert not readers.errors
    assert_same_parameters(vae, parameters(expected))
    assert all(readers.seen)
    assert set().union(*readers.seen) <= readers.snapshots


class Meanwhile(Callback):
    """Tries something in another thread during the first epoch, and keeps the error."""

    def __init__(self, call: Callable[[VAE], Any]) -> None:
        self.call = call
        self.error: Exception | None = None
        self.result: Any = None

    def _try(self, vae: VAE) -> None:
        try:
            self.result = self.call(vae)
        except Exception as error:
            self.error = error

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        thread = threading.Thread(target=self._try, args=(vae,))
        thread.start()
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "call",
    [
        lambda vae: vae.fit(ROWS[:10], epochs=1, verbose=False),
        lambda vae: vae.load("synthetic_digits"),
        copy.deepcopy,
    ],
    ids=["fit", "load", "deepcopy"],
)
def test_what_another_thread_may_not_do_meanwhile_is_an_error(call):
    vae, expected, other = small_vae(), small_vae(), Meanwhile(call)
    expected.fit(ROWS[:100], epochs=2, verbose=False)
    vae.fit(ROWS[:100], epochs=2, callbacks=[other], verbose=False)
    assert isinstance(other.error, RuntimeError)
    assert "is being trained" in str(other.error)
    assert_same_parameters(vae, parameters(expected))
    vae.fit(ROWS[:100], epochs=1, verbose=False)  # free again
    copy.deepcopy(vae)


def test_another_thread_may_save_a_model_in_training(tmp_path):
    path = tmp_path / "model.safetensors"
    vae, other = small_vae(), Meanwhile(lambda vae: vae.save(path))
    before = parameters(vae)
    vae.decoder.layers[-1].bias = np.ones(37)
    vae.fit(ROWS[:100], epochs=1, callbacks=[other], verbose=False)
    assert other.error is None
    saved = VAE()
    saved.load(path)
    before["decoder.1.bias"] = np.ones(37, np.float32)
    assert_same_parameters(saved, before)


def test_a_fit_after_one_that_failed_is_free():
    vae = small_vae()
    with pytest.raises(ValueError, match="learning_rate"):
        vae.fit(ROWS, epochs=1, learning_rate=lambda *_: -1, verbose=False)
    vae.fit(ROWS[:10], epochs=1, verbose=False)


def test_a_pass_keeps_its_data_alive_and_lets_go_of_it():
    vae = small_vae()
    kernels_workspace = vae.network.borrow(ROWS[:3].copy(), 37, False)
    assert kernels_workspace._data is not None
    vae.network.give_back(kernels_workspace)
    assert kernels_workspace._data is None
    with pytest.raises(RuntimeError, match="has none"):
        kernels_workspace.run(
            kernels_workspace.passes.encoding,
            vae.network.parameters,
            np.arange(3),
            kernels_workspace.matrices,
        )


def test_rows_of_another_width_are_refused_by_the_network():
    """As of a model that was replaced between the check of its rows and the pass."""
    network = small_vae().network
    for call in (network.encode, network.decode, network.reconstruct, network.column_means):
        with pytest.raises(ValueError, match=r"rows must have \d+ columns; got shape \(4, 36\)"):
            call(np.zeros((4, 36), np.float32))
    with pytest.raises(ValueError, match="rows must have"):
        network.evaluate(np.zeros((4, 36), np.float32), 1, 0)


def test_a_draw_counter_gives_each_number_once():
    counter = DrawCounter(5)
    numbers = at_once([lambda: [counter.take() for _ in range(2000)]] * 8)
    assert sorted(itertools.chain(*numbers)) == list(range(5, 5 + 16000))
    assert counter.taken == 16005


def test_an_exclusive_context_refuses_everybody_else_and_itself():
    alone = Exclusive("taken")
    assert not alone.is_taken
    with alone:
        assert alone.is_taken
        assert not alone.is_taken_elsewhere
        assert at_once([lambda: alone.is_taken_elsewhere]) == [True]
        with pytest.raises(RuntimeError, match="taken"), alone:
            pass
        assert alone.is_taken
    assert not alone.is_taken


def test_a_gate_lets_readers_in_together_and_writers_alone():
    gate, inside, log = Gate(), [], []
    both = threading.Barrier(2)

    def read() -> None:
        with gate.reading:
            both.wait(WAIT)  # passes only if both readers are inside
            inside.append("r")

    at_once([read, read])

    def write(name: str) -> None:
        with gate.writing:
            log.append(name)
            time.sleep(0.01)
            log.append(name)

    at_once([lambda i=i: write(f"w{i}") for i in range(5)])
    assert all(log[i] == log[i + 1] for i in range(0, 10, 2))


def test_a_gate_starves_nobody():
    """Readers without a pause do not keep a writer out, nor a writer without a pause a reader."""
    gate, stop = Gate(), threading.Event()
    counts = {"r0": 0, "r1": 0, "w": 0}

    def turn(name: str) -> None:
        context = gate.writing if name == "w" else gate.reading
        while not stop.is_set():
            with context:
                counts[name] += 1
                time.sleep(0.001)

    threads = [threading.Thread(target=turn, args=(name,)) for name in counts]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WAIT
    while min(counts.values()) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join(WAIT)
    assert min(counts.values()) >= 20


def test_an_interrupted_wait_leaves_the_gate_usable():
    gate = Gate()

    def interrupt(timeout: float) -> None:
        raise KeyboardInterrupt

    def wait(context: Any) -> None:
        with pytest.raises(KeyboardInterrupt), context:
            pass

    # What Ctrl-C does to a thread that waits.
    gate.changed.wait = interrupt  # type: ignore[method-assign, assignment]
    with gate.writing:
        at_once([lambda: wait(gate.reading), lambda: wait(gate.writing)])
    assert not any((gate.queue, gate.admitted, gate.waiting_writers, gate.readers, gate.writer))


@pytest.mark.parametrize("inner", ["reading", "writing"])
@pytest.mark.parametrize("outer", ["reading", "writing"])
def test_a_block_within_a_block_is_let_in_and_leaves_the_outer_one(outer, inner):
    """As of a signal's handler; another thread waits to write, or to read, meanwhile."""
    gate, entered = Gate(), []

    def use(name: str) -> None:
        with getattr(gate, name):
            entered.append(name)

    others = [threading.Thread(target=use, args=(n,), daemon=True) for n in ("reading", "writing")]
    with getattr(gate, outer):
        others[1].start()
        while not gate.waiting_writers:
            time.sleep(0.001)
        others[0].start()
        while not gate.queue:
            time.sleep(0.001)
        inside = threading.Event()
        threading.Timer(WAIT, lambda: inside.is_set() or os._exit(9)).start()
        use(inner)
        inside.set()
        time.sleep(0.3)
        others_in = entered[1:]
        assert others_in == [] or (outer == "reading" and others_in == ["reading"])
    for thread in others:
        thread.join(WAIT)
    assert sorted(entered) == sorted([inner, "reading", "writing"])
    assert not any((gate.queue, gate.admitted, gate.waiting_writers, gate.readers, gate.writer))


HANDLER = """
import signal, threading
import numpy as np
from fastvae import VAE

rows, busy, handled = np.eye(200, 40), [], []
vae = VAE.from_sizes(40, (4,), 2, seed=1)

def use(*_):
    if not busy:
        busy.append(1)
        vae.encode(rows[:3])
        vae.encoder.layers[0].bias = np.zeros(4)
        handled.append(busy.pop())

def fit():
    vae.fit(rows, epochs=100, batch_size=5, verbose=False)

fit(), use()
signal.signal(signal.SIGALRM, use)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
thread = threading.Thread(target=lambda: [vae.encode(rows) for _ in range(500)])
thread.start()
for _ in range(300):
    vae.encode(rows)
    vae.encoder.layers[0].bias = np.zeros(4)
while len(handled) < 20:
    fit()
signal.setitimer(signal.ITIMER_REAL, 0)
thread.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs an alarm")
def test_a_signals_handler_may_use_the_model_that_is_in_use():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HANDLER],
        capture_output=True, text=True, check=False, timeout=2 * WAIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def interrupted_at(function: str, event: str, call: Callable[[], Any]) -> None:
    """Run a call with a KeyboardInterrupt where a method of the guards begins or returns.

    There Python looks for signals, and a `with` block has not begun yet or is left already.
    """

    def trace(frame: Any, what: str, _: Any) -> Any:
        if frame.f_code.co_filename == guards.__file__ and frame.f_code.co_name == function:
            if what == event:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        sys.settrace(before)


INTERRUPTIONS = {
    "a pass": lambda vae: vae.encode(ROWS),
    "weights": lambda vae: setattr(vae.encoder.layers[0], "bias", np.zeros(19)),
    "fit": lambda vae: vae.fit(ROWS[:99], epochs=1, verbose=False),
}


@pytest.mark.parametrize("place", [("__enter__", "return"), ("__exit__", "call")])
@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_ctrl_c_on_the_way_into_or_out_of_a_guard_leaves_the_model_free(place, name):
    vae = small_vae()
    function, event = place
    interrupted_at(function, event, lambda: INTERRUPTIONS[name](vae))
    done = []

    def use() -> None:
        vae.encoder.layers[0].bias = np.ones(19)
        vae.fit(ROWS[:99], epochs=1, verbose=False)
        done.append(vae.encode(ROWS))

    for _ in range(2):
        thread = threading.Thread(target=use, daemon=True)  # on failure it waits for ever
        thread.start()
        thread.join(WAIT)
    assert len(done) == 2


def test_the_number_of_threads_is_known_without_numbas_lock(monkeypatch):
    """Forked processes share it; one that is killed while it holds it would stop the others."""
    before = kernels.get_num_threads()

    def locked() -> None:
        raise AssertionError("the lock was taken")

    monkeypatch.setattr(parallel, "_launch_threads", locked)
    kernels.set_num_threads(1)
    assert kernels.get_num_threads() == 1
    kernels.set_num_threads(before)
    assert kernels.get_num_threads() == before


FORK = """
import os, threading, time
from fastvae import VAE
from fastvae.model.guards import DrawCounter

vae, counter, inside, leave = VAE.from_sizes(5, (4,), 2), DrawCounter(3), [], threading.Event()

def hold():
    with vae.network.gate.writing, vae.in_fit, counter._lock:
        inside.append(True)
        leave.wait()

thread = threading.Thread(target=hold)
thread.start()
while not inside:
    time.sleep(0.01)
child = os.fork()
if child == 0:
    vae.encode([[0.0] * 5])
    assert counter.take() == 3
    with vae.in_fit, vae.network.gate.writing:
        os._exit(0)
deadline = time.monotonic() + 60
while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
    time.sleep(0.05)
leave.set()
if done == (0, 0):
    os.kill(child, 9)
raise SystemExit(done[1] if done[0] else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_finds_the_guards_free():
    """The threads that held them do not exist there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
