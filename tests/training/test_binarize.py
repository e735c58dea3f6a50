"""Grey rows that are made binary: what is trained on and evaluated, and that results name it."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_checks import THREADS
from model_checks import (
    InterruptAt,
    assert_same_parameters,
    assert_same_run,
    parameters,
    pixel_rows,
    small_vae,
)
from numpy.typing import NDArray
from run_checks import HELD_OUT, ROWS, STEPS, fit, new_vae

from fastvae import VAE, kernels
from fastvae.callbacks import Callback
from fastvae.data.variants import VARIANTS
from fastvae.evaluation import diagnose, evaluate
from fastvae.files import checkpoints
from fastvae.typing import Binarization

each_name = pytest.mark.parametrize("name", kernels.BINARIZATIONS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def made_binary(
    rows: NDArray[Any], name: str, seed: int = 0, dtype: Any = np.float32, first: int = 0
) -> NDArray[Any]:
    """Rows as the reference makes them binary, the first of them row `first` of its array."""
    out = np.empty(rows.shape, dtype)
    order = np.arange(len(rows))
    code = kernels.BINARIZATIONS[name]
    kernels.reference.gather_binary(out, rows, order, first + order, code, seed)
    return out


# --- training --------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("name", ["threshold", "fixed"])
@pytest.mark.parametrize("skips", [False, True])
def test_training_is_that_on_the_binary_rows(
    name: Binarization, dtype: str, skips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, history and validation, to the bit, from the output bias on."""
    monkeypatch.setattr("fastvae.model.network.Network.pays_to_skip", lambda *_: skips)
    found = fit(new_vae(dtype=dtype), binarize=name)
    binary = made_binary(ROWS, name, dtype=dtype)
    held_out = made_binary(HELD_OUT, name, dtype=dtype)
    assert_same_run(found, fit(new_vae(dtype=dtype), binary, validation=held_out))
    assert found.elbo(ROWS, binarize=name) == found.elbo(binary)


@each_name
def test_binary_rows_stay_as_they_are(name: Binarization) -> None:
    rows = (ROWS > 0).astype(np.float32)
    expected = fit(new_vae(), rows, validation=rows[:9])
    found = fit(new_vae(), rows, validation=rows[:9], binarize=name)
    assert_same_run(found, expected)
    assert found.elbo(rows, binarize=name, seed=5) == expected.elbo(rows, seed=5)
    assert expected.history is not None
    assert expected.history.variant == "binary"


@each_name
def test_rows_of_any_kind_are_the_same_rows(name: Binarization) -> None:
    expected = fit(new_vae(), binarize=name)
    floats = (ROWS / 255).astype(np.float32)
    for rows in (floats, np.asfortranarray(ROWS), floats[:, ::-1].copy()[:, ::-1]):
        assert_same_run(fit(new_vae(), rows, binarize=name), expected)
    assert expected.elbo(floats.tolist(), binarize=name) == expected.elbo(ROWS, binarize=name)


@each_name
def test_threads_do_not_show(name: Binarization) -> None:
    runs = [fit(new_vae(), binarize=name, n_threads=n) for n in THREADS]
    for run in runs[1:]:
        assert_same_run(run, runs[0])


def test_each_visit_is_a_new_draw_and_validation_is_always_the_same() -> None:
    """The weights do not move: what changes between epochs are noise and draws of the training."""

    class Frozen(Callback):
        def on_epoch_begin(self, vae: VAE, epoch: int) -> None:
            vae.learning_rate_factor = 0.0

    settings: dict[str, Any] = {"callbacks": [Frozen()], "epochs": 4}
    dynamic = fit(new_vae(), binarize="dynamic", **settings).history
    fixed = fit(new_vae(), binarize="fixed", **settings).history
    assert dynamic is not None
    assert fixed is not None
    assert len(set(dynamic["val_elbo"])) == len(set(fixed["val_elbo"])) == 1
    # With nothing learned the loss is hardly one of the latent, and of dynamic draws alone.
    assert np.std(dynamic["reconstruction"]) > 10 * np.std(fixed["reconstruction"])


def test_the_output_bias_starts_at_the_mean_of_what_is_trained_on() -> None:
    for name in kernels.BINARIZATIONS:
        vae = small_vae()
        rows = vae.check_rows(ROWS)
        vae.start_output_bias(rows, name)
        seen = ROWS / 255 if name == "dynamic" else made_binary(ROWS, name)
        mean = np.clip(seen.mean(axis=0, dtype=np.float64), 0.001, 0.999)
        np.testing.assert_allclose(
            vae.decoder.layers[-1].bias, np.log(mean / (1 - mean)), rtol=1e-5, atol=1e-6
        )


# --- going on --------------------------------------------------------------------------------


@each_name
@pytest.mark.parametrize("n", [1, STEPS // 3, STEPS + 1])
def test_a_run_goes_on_to_the_bit(name: Binarization, n: int, tmp_path: Path) -> None:
    expected = fit(new_vae(), binarize=name)
    path = tmp_path / "run.ckpt"
    for resume in (True, path):
        begun = new_vae()
        with pytest.raises(KeyboardInterrupt):
            fit(begun, binarize=name, checkpoint=path, callbacks=[InterruptAt("batch", n)])
        vae = begun if resume is True else new_vae()
        fit(vae, binarize=name, resume=resume)
        assert_same_run(vae, expected)
        assert vae.history is not None
        assert vae.history.variant == name


def test_another_binarization_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    vae = fit(new_vae(), binarize="dynamic", checkpoint=path)
    before = parameters(vae)
    for model, resume in ((new_vae(), path), (vae, True)):
        with pytest.raises(ValueError, match="binarize was dynamic and is fixed"):
            fit(model, binarize="fixed", resume=resume, epochs=5)
        with pytest.raises(ValueError, match="binarize was dynamic and is not given"):
            fit(model, resume=resume, epochs=5)
    assert_same_parameters(vae, before)


def test_a_checkpoint_that_says_nothing_of_it_goes_on_without(tmp_path: Path) -> None:
    """As those of earlier versions."""
    path = tmp_path / "run.ckpt"
    expected = fit(new_vae(), epochs=4)
    fit(new_vae(), checkpoint=path)
    saved = checkpoints.read(path)
    del saved.facts["run"]["facts"]["binarize"]
    checkpoints.write(path, saved)
    assert_same_run(fit(new_vae(), resume=path, epochs=4), expected)
    with pytest.raises(ValueError, match="binarize was not given and is dynamic"):
        fit(new_vae(), resume=path, epochs=5, binarize="dynamic")


# --- figures ---------------------------------------------------------------------------------


@each_dtype
@each_name
@pytest.mark.parametrize("n_rows", [1, 53, 600])
def test_the_bound_is_that_of_the_binary_rows(name: Binarization, dtype: str, n_rows: int) -> None:
    """Draws go by the seed and the number of the row, in blocks of rows and for each draw of z."""
    rows = pixel_rows(n_rows, 37)
    vae = fit(new_vae(dtype=dtype))
    binary = made_binary(rows, name, seed=7, dtype=dtype)
    settings: dict[str, Any]
    for settings in ({"n_samples": 3}, {"per_sample": True}, {"progress": True}):
        found = vae.elbo(rows, seed=7, binarize=name, **settings)
        np.testing.assert_array_equal(found, vae.elbo(binary, seed=7, **settings))
    np.testing.assert_array_equal(
        vae.elbo(rows[0], seed=7, binarize=name), vae.elbo(binary[0], seed=7)
    )
    result = evaluate(vae, rows, seed=7, binarize=name)
    expected = evaluate(vae, binary, seed=7)
    assert (result.variant, expected.variant) == (name, "binary")
    assert vars(result) | {"variant": "binary"} == vars(expected)


def test_dynamic_draws_of_a_row_are_those_of_its_number_and_the_seed() -> None:
    vae = fit(new_vae())
    rows = np.repeat(ROWS[:1], 50, axis=0)
    per_row = vae.elbo(rows, binarize="dynamic", per_sample=True).reconstruction
    assert len(np.unique(per_row)) == 50
    np.testing.assert_array_equal(
        vae.elbo(rows[:20], binarize="dynamic", per_sample=True).reconstruction, per_row[:20]
    )
    assert vae.elbo(ROWS, binarize="dynamic") != vae.elbo(ROWS, binarize="fixed")


def test_the_bound_of_drawn_rows_has_the_mean_of_grey_ones() -> None:
    """-log p(x | z) is linear in x, so its mean over draws is that of the grey row.

    A posterior that does not depend on x leaves nothing else; 4,000 draws, 5 standard errors.
    """
    vae = fit(new_vae())
    for layer in (vae.sampler.mean, vae.sampler.log_var):
        layer.weight = np.zeros_like(layer.weight)
    vae.sampler.log_var.bias = np.full(5, -30.0)
    rows = np.repeat(ROWS[:1], 4000, axis=0)
    grey = vae.elbo(rows[0]).reconstruction
    drawn = vae.elbo(rows, binarize="dynamic", per_sample=True).reconstruction
    assert drawn.std() > 0
    assert abs(drawn.mean() - grey) <= 5 * drawn.std() / np.sqrt(len(rows))


@pytest.mark.filterwarnings("ignore:.*effective sample size")
@each_dtype
@each_name
def test_log_p_is_that_of_the_binary_rows(name: Binarization, dtype: str) -> None:
    """A dynamic draw goes by what the row holds, whatever rows it stands among."""
    vae, order = fit(new_vae(dtype=dtype)), np.random.default_rng(1).permutation(53)
    settings: dict[str, Any] = {"n_samples": 100, "seed": 7, "per_sample": True}
    found = vae.log_likelihood(ROWS, binarize=name, **settings)
    if name == "dynamic":
        for rows in (order, order[:1], np.repeat(order[:4], 3)):
            part = vae.log_likelihood(ROWS[rows], binarize=name, **settings)
            np.testing.assert_array_equal(part.value, found.value[rows])
        other = vae.log_likelihood(ROWS, binarize=name, **settings | {"seed": 8})
        assert not np.isin(other.value, found.value).any()
        grey = vae.log_likelihood(ROWS, **settings)
        assert not np.isin(grey.value, found.value).any()
    else:
        binary = made_binary(ROWS, name, dtype=dtype)
        np.testing.assert_array_equal(found, vae.log_likelihood(binary, **settings))


def test_log_p_of_dynamic_draws_has_the_mean_of_all_binary_rows() -> None:
    """Of two grey pixels there are four; each comes with its probability, over 400 seeds."""
    row = np.array([[0.2, 0.7]])
    vae = VAE.from_sizes(2, (3,), 1, seed=1)
    four = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    chances = np.prod(np.where(four == 1, row, 1 - row), axis=1)
    values = vae.log_likelihood(four, n_samples=2000, per_sample=True).value
    drawn = [
        vae.log_likelihood(row, n_samples=2000, seed=seed, binarize="dynamic").value
        for seed in range(400)
    ]
    counts = [np.sum(np.argmin(np.abs(values[:, None] - drawn), axis=0) == i) for i in range(4)]
    np.testing.assert_allclose(counts, 400 * chances, atol=5 * 10)


@each_name
def test_a_diagnosis_is_that_of_the_binary_rows(name: Binarization) -> None:
    vae = fit(new_vae())
    found = diagnose(vae, ROWS, seed=7, binarize=name)
    expected = diagnose(vae, made_binary(ROWS, name, seed=7), seed=7)
    assert found.variant == name
    assert VARIANTS[name] in str(found)
    for key, value in vars(expected).items():
        if key != "variant":
            np.testing.assert_array_equal(getattr(found, key), value)


# --- names -----------------------------------------------------------------------------------


def variants() -> list[tuple[Any, str, str | None, str]]:
    """Rows, likelihood, binarize, and what they are called."""
    binary = (ROWS > 0).astype(np.uint8)
    almost = binary.astype(np.float32)
    almost[-1, -1] = 0.5
    return [
        (ROWS, "bernoulli", None, "grey"),
        (ROWS / 255, "bernoulli", None, "grey"),
        (binary * 255, "bernoulli", None, "binary"),
        (binary.astype(bool), "bernoulli", None, "binary"),
        (binary.astype(np.float32), "bernoulli", None, "binary"),
        (binary.tolist(), "bernoulli", None, "binary"),
        (np.tile(binary, (40, 1)) * 1.0, "bernoulli", None, "binary"),
        (almost, "bernoulli", None, "grey"),
        (ROWS, "gaussian", None, "values"),
        (binary.astype(bool), "gaussian", None, "values"),
        *((ROWS, "bernoulli", name, name) for name in kernels.BINARIZATIONS),
        (binary.astype(bool), "bernoulli", "dynamic", "dynamic"),
    ]


@pytest.mark.parametrize(("rows", "likelihood", "binarize", "variant"), variants())
def test_results_name_the_variant(
    rows: Any, likelihood: str, binarize: Binarization | None, variant: str
) -> None:
    vae = new_vae(likelihood=likelihood)
    history = vae.fit(rows, epochs=1, binarize=binarize, verbose=False)
    assert history.variant == variant
    assert str(history).splitlines()[-1] == f"data: {VARIANTS[variant]}"
    for copied in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert copied.variant == variant
    assert set(json.loads(json.dumps(history))) == set(history)
    assert evaluate(vae, rows, binarize=binarize).variant == variant
    assert diagnose(vae, rows, binarize=binarize).variant == variant


def test_bernoulli_columns_of_mixed_rows_count() -> None:
    """Grey ones make the whole row's nats no probability; what is missing is of no variant."""
    rng = np.random.default_rng(2)
    rows = np.hstack([rng.standard_normal((30, 2)), rng.integers(0, 2, (30, 3))])
    mixed: dict[str, Any] = {"likelihood": "mixed", "hidden": (4,), "n_latent": 2}
    mixed["blocks"] = [("gaussian", 2), ("bernoulli", 3)]
    settings: dict[str, Any] = {"epochs": 1, "verbose": False}
    assert VAE.from_sizes(5, **mixed).fit(rows, **settings).variant == "values"
    rows[7, 4] = np.nan
    ignoring = VAE.from_sizes(5, missing="ignore", **mixed)
    assert ignoring.fit(rows, **settings).variant == "values"
    rows[7, 4] = 0.5
    assert VAE.from_sizes(5, **mixed).fit(rows, **settings).variant == "grey"
    with pytest.raises(ValueError, match="this model's is 'mixed'"):
        ignoring.fit(rows, binarize="fixed", **settings)


@pytest.mark.parametrize("name", ["threshold", "fixed"])
def test_what_is_missing_stays_missing(name: Binarization) -> None:
    """Of what is left, training and bounds are those of the binary rows."""
    rows = ROWS / 255
    rows[::3, 4], rows[5] = np.nan, np.nan
    binary = made_binary(rows, name)
    assert np.isnan(binary).sum() == np.isnan(rows).sum()
    settings: dict[str, Any] = {"validation": rows, "binarize": name}
    found = fit(new_vae(missing="ignore"), rows, **settings)
    expected = fit(new_vae(missing="ignore"), binary, validation=binary)
    assert_same_run(found, expected)
    assert found.elbo(rows, binarize=name) == expected.elbo(binary)
    assert expected.history is not None
    assert expected.history.variant == "binary"
    assert np.isfinite(fit(new_vae(missing="ignore"), rows, binarize="dynamic").elbo(rows).elbo)


def test_grey_is_said_to_be_no_probability() -> None:
    assert [name for name, text in VARIANTS.items() if "no probability" in text] == ["grey"]
    assert set(kernels.BINARIZATIONS) < set(VARIANTS)


# --- refusals --------------------------------------------------------------------------------


@each_name
def test_other_likelihoods_are_refused(name: Binarization) -> None:
    vae = new_vae(likelihood="gaussian")
    before = parameters(vae)
    calls = (
        lambda: fit(vae, binarize=name),
        lambda: vae.elbo(ROWS, binarize=name),
        lambda: vae.log_likelihood(ROWS, binarize=name),
        lambda: evaluate(vae, ROWS, binarize=name),
        lambda: diagnose(vae, ROWS, binarize=name),
    )
    for call in calls:
        with pytest.raises(ValueError, match="is for the Bernoulli likelihood") as caught:
            call()
        assert "leave binarize out" in str(caught.value)
    assert_same_parameters(vae, before)
    assert vae.history is None


@pytest.mark.parametrize("bad", ["", "Dynamic", "dynamics", True, 1, ["dynamic"], b"dynamic"])
def test_other_names_are_refused(bad: Any) -> None:
    vae = fit(new_vae())
    calls = (
        lambda: fit(vae, binarize=bad),
        lambda: vae.elbo(ROWS, binarize=bad),
        lambda: evaluate(vae, ROWS, binarize=bad),
    )
    for call in calls:
        with pytest.raises(ValueError, match="binarize must be one of 'dynamic', 'threshold'"):
            call()


@each_name
@pytest.mark.parametrize("bad", [-0.25, 1.5, np.nan, np.inf])
def test_values_outside_of_the_unit_interval_are_refused(name: Binarization, bad: float) -> None:
    rows = ROWS / 255
    rows[3, 4] = bad
    with pytest.raises(ValueError, match="row 3"):
        fit(new_vae(), rows, binarize=name)
    with pytest.raises(ValueError, match="row 3"):
        new_vae().elbo(rows, binarize=name)
