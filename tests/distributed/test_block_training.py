"""Training on blocks in one process: the whole batch's gradient, and what users can ask for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rank_jobs
from model_checks import assert_same_parameters, parameters, pixel_rows, small_vae

from fastvae import SGD, VAE, kernels
from fastvae.distributed.blocks import Blocks
from fastvae.kernels import engine

ROWS = pixel_rows(53, 37)


def fitted(rows: Any = ROWS, **changes: Any) -> VAE:
    """A small model after a training."""
    vae = small_vae()
    vae.fit(rows, **({"epochs": 2, "batch_size": 20, "verbose": False} | changes))
    return vae


def test_one_block_is_the_training_without_blocks() -> None:
    plain = fitted()
    assert_same_parameters(fitted(n_blocks=1), parameters(plain))
    assert any(
        not np.array_equal(parameters(fitted(n_blocks=2))[name], value)
        for name, value in parameters(plain).items()
    )


@pytest.mark.parametrize("objective", ["elbo", "free bits", "iwae", "dreg"])
@pytest.mark.parametrize("n_blocks", [2, 8, 60])
def test_a_step_goes_by_the_gradient_of_the_whole_batch(objective: Any, n_blocks: int) -> None:
    """One step of SGD in float64 on all rows: their order and noise are known.

    The sums differ in their order only, by some roundings of each of 53 terms.
    """
    free_bits = 0.08 if objective == "free bits" else 0.0
    objective = "elbo" if free_bits else objective
    n, k = len(ROWS), 1 if objective == "elbo" else 3
    vae = small_vae(dtype=np.float64)
    vae.encoder.layers[0].bias = np.full(19, 0.1)
    vae.decoder.layers[-1].bias = np.full(37, -0.2)
    order = []
    for block in range(n_blocks):
        part = Blocks(n, n_blocks).part(block)
        own = np.empty(len(part), np.int64)
        kernels.permutation(own, vae.seed, kernels.STREAM_BLOCKS + block, 0)
        order += (own + part.start).tolist()
    noise = np.empty((n, k, vae.n_latent))
    kernels.normal(noise, vae.seed, kernels.STREAM_NOISE, 0)
    losses, slopes = vae.gradients(
        ROWS[order],
        noise if k > 1 else noise[:, 0],
        objective=objective,
        n_samples=k,
        free_bits=free_bits,
    )
    before = parameters(vae)
    optimizer = SGD(momentum=0.0)
    history = vae.fit(
        ROWS, epochs=1, batch_size=n, optimizer=optimizer, learning_rate=0.125, verbose=False,
        objective=objective, n_samples=k, n_blocks=n_blocks, free_bits=free_bits,
    )  # fmt: skip
    assert history["loss"][0] == pytest.approx(losses.loss, rel=1e-12)
    for name, value in parameters(vae).items():
        expected = before[name] - 0.125 * slopes[name]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_matter(n_threads: int) -> None:
    one = fitted(n_blocks=8, n_threads=1, clip_norm=0.5)
    assert_same_parameters(fitted(n_blocks=8, n_threads=n_threads, clip_norm=0.5), parameters(one))


def test_dynamic_draws_differ_from_block_to_block() -> None:
    """Equal rows at the same place of two blocks are drawn by numbers of their own."""
    vae = small_vae()
    for layer in vae.decoder.layers:  # what the decoder says is the same for all rows
        layer.weight, layer.bias = np.zeros(layer.weight.shape), np.arange(layer.n_out)
    vae.fit(
        np.full((16, 37), 128, np.uint8), epochs=1, batch_size=16, n_blocks=8, binarize="dynamic",
        optimizer="sgd", learning_rate=0.0, verbose=False,
    )  # fmt: skip
    assert vae.last_run is not None
    assert len(set(vae.last_run.totals[:, 1])) > 4


@pytest.mark.parametrize("batch_size", [3, 20, 100])
def test_a_run_goes_on_where_it_was_stopped(batch_size: int) -> None:
    settings: dict[str, Any] = {"n_blocks": 8, "batch_size": batch_size, "optimizer": "rmsprop"}
    straight = fitted(epochs=3, **settings)

    class Stop(rank_jobs.Callback):
        def on_batch(self, vae: VAE, epoch: int, n_done: int) -> None:
            vae.stop_training = epoch == 2

    vae = small_vae()
    vae.network.steps_per_call = lambda batch_size: 2  # type: ignore[method-assign]
    vae.fit(ROWS, epochs=3, verbose=False, callbacks=[Stop()], **settings)
    assert vae.updates < straight.updates
    vae.fit(ROWS, epochs=3, verbose=False, resume=True, **settings)
    assert_same_parameters(vae, parameters(straight))
    assert vae.history is not None
    assert straight.history is not None
    assert vae.history["elbo"] == straight.history["elbo"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", ["apply", "add_squares"])
def test_an_interrupted_step_is_done_or_not(
    monkeypatch: pytest.MonkeyPatch, place: str, when: str
) -> None:
    """Weights, counts and losses belong together, wherever Ctrl-C comes."""
    settings: dict[str, Any] = {"n_blocks": 8, "batch_size": 20, "clip_norm": 0.5}
    straight = fitted(**settings)
    done, calls = getattr(engine.Slice, place), []

    def interrupted(*arguments: Any) -> None:
        calls.append(place)
        if len(calls) == 2 and when == "before":
            raise KeyboardInterrupt
        done(*arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(engine.Slice, place, interrupted)
    vae = small_vae()
    with pytest.raises(KeyboardInterrupt):
        vae.fit(ROWS, epochs=2, verbose=False, **settings)
    assert vae.updates == (2 if (place, when) == ("apply", "after") else 1)
    vae.fit(ROWS, epochs=2, verbose=False, resume=True, **settings)
    assert rank_jobs.digest(vae) == rank_jobs.digest(straight)


def test_a_run_goes_on_with_its_blocks_only(tmp_path: Any) -> None:
    file = tmp_path / "run.safetensors"
    fitted(n_blocks=8, checkpoint=file, epochs=1)
    with pytest.raises(ValueError, match=r"n_blocks was 8 and is 4"):
        fitted(n_blocks=4, resume=file)
    with pytest.raises(ValueError, match=r"n_blocks was 8 and is not given"):
        fitted(resume=file)


def test_what_has_no_meaning_is_refused() -> None:
    for wrong, error, message in (
        ({"n_blocks": 0}, ValueError, "n_blocks must be"),
        ({"n_blocks": 2.0}, TypeError, "n_blocks must be"),
        ({"comm": True}, TypeError, "comm must be a communicator of mpi4py"),
        ({"shard": 3}, TypeError, "shard must be a pair"),
        ({"shard": (0, 54)}, ValueError, r"must have the 54 rows from row 0 on of 54"),
        ({"shard": (1, 53)}, ValueError, r"got 53 rows and shard=\(1, 53\)"),
    ):
        with pytest.raises(error, match=message):
            fitted(**wrong)
    assert_same_parameters(fitted(shard=(0, 53)), parameters(fitted()))


@pytest.mark.slow
def test_blocks_need_no_mpi() -> None:
    program = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "import numpy as np\n"
        "from fastvae import VAE\n"
        "vae = VAE.from_sizes(4, (3,), 2)\n"
        "vae.fit(np.eye(4, dtype=np.float32), epochs=1, n_blocks=2, verbose=False)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
