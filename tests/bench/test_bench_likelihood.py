"""The benchmark of log p(x): contestants estimate the same, and are refused where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench import contestants
from bench.ratios import Disagreement, Measurement, check_agreement, print_row
from bench.report import estimates_text
from bench.results import Measured, Results, RowResult, Run, read, write
from bench.rows import LIKELIHOOD, row_named
from bench.worker import TRAINED, Worker
from bench.workload import (
    Array,
    Estimate,
    Sizes,
    binarised,
    importance_estimate,
    initial_parameters,
    mnist_like_rows,
)
from fastvae import VAE
from fastvae.kernels import get_num_threads

SIZES = Sizes(48, (19, 11), 5)  # 48 = 16 * 3: logarithms are taken of products of 8 and 16
N_ROWS, N_SAMPLES = 12, 2_300  # no multiple of any block
EPS = float(np.finfo(np.float32).eps)
RTOL = EPS * (SIZES.n_features + sum(n_in for n_in, _ in SIZES.dense_shapes))
"""A sum of n terms is off by n eps: the chains of the products, and the sum over features."""

N_VARIANTS = {"fastvae": 1, "numpy": 1, "torch": 10, "torch-compiled": 14, "jax": 6}
"""Written out, as libraries are loaded by what uses them."""
VARIANTS = [
    pytest.param(
        name,
        number,
        id=f"{name}-{number}",
        marks=[pytest.mark.slow] if number or name == "torch-compiled" else [],
    )
    for name, n_variants in N_VARIANTS.items()
    for number in range(n_variants)
]


@pytest.fixture(scope="module")
def rows() -> Array:
    return binarised(mnist_like_rows(N_ROWS, SIZES.n_features, seed=1))


@pytest.fixture(scope="module")
def parameters(rows: Array) -> contestants.Parameters:
    """Of a posterior near the prior, and wider: weights without a heavy tail."""
    given = initial_parameters(SIZES, rows, seed=3)
    given["sampler.mean.weight"] *= np.float32(0.3)
    given["sampler.log_var.weight"] *= np.float32(0.1)
    given["sampler.log_var.bias"] += np.float32(0.3)
    return given


@pytest.fixture(scope="module")
def exact(rows: Array, parameters: contestants.Parameters) -> Estimate:
    """In float64, of many samples: its own error is a small part of theirs."""
    vae = VAE.from_sizes(SIZES.n_features, SIZES.hidden, SIZES.n_latent, dtype=np.float64)
    for name, layer in vae.named_layers().items():
        layer.weight, layer.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return Estimate(*vae.log_likelihood(rows, 50 * N_SAMPLES, per_sample=True))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", contestants.ENTRIES)
def test_every_variant_is_tested(name: str) -> None:
    reason = contestants.why_not(name)
    if reason is not None:
        pytest.skip(reason)
    assert len(contestants.load(name).likelihood_variants) <= N_VARIANTS[name]


def built(name: str, number: int) -> contestants.Contestant:
    reason = contestants.why_not(name)
    if reason is not None:
        pytest.skip(reason)
    variants = contestants.load(name).likelihood_variants
    if number >= len(variants):
        pytest.skip("this build of the library has fewer variants")
    return contestants.build(name, SIZES, **variants[number])


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("name", "number"), VARIANTS)
def test_every_variant_estimates_the_same(
    name: str, number: int, rows: Array, parameters: contestants.Parameters, exact: Estimate
) -> None:
    model = built(name, number)
    model.set_parameters(parameters)
    data = model.prepare(rows)
    first, second = (model.log_likelihood(data, N_SAMPLES) for _ in range(2))
    assert first.value.shape == (N_ROWS,)
    error = np.hypot(first.standard_error, exact.standard_error)
    assert np.all(np.abs(first.value - exact.value) < 5 * error + RTOL * np.abs(exact.value))
    # The expectation of k r - 1 does not depend on k, so that errors go by the root of k.
    expected = exact.standard_error * np.sqrt(50)
    np.testing.assert_allclose(first.standard_error, expected, rtol=0.5)
    np.testing.assert_allclose(first.ess / N_SAMPLES, exact.ess / N_SAMPLES / 50, rtol=0.5)
    if name != "fastvae":
        assert not np.array_equal(first.value, second.value)  # noise is drawn anew


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("name", "number"), VARIANTS)
def test_without_a_latent_it_is_exact(
    name: str, number: int, rows: Array, parameters: contestants.Parameters
) -> None:
    """The posterior is the prior, and the decoder ignores z: all weights are p(x)."""
    blind = {key: np.array(array) for key, array in parameters.items()}
    for key in ("sampler.mean.weight", "sampler.log_var.weight", "decoder.0.weight"):
        blind[key][...] = 0
    for key in ("sampler.mean.bias", "sampler.log_var.bias", "decoder.0.bias"):
        blind[key][...] = 0
    blind["decoder.2.bias"][...] = np.linspace(-30, 30, SIZES.n_features)
    model = built(name, number)
    model.set_parameters(blind)
    found = model.log_likelihood(model.prepare(rows), N_SAMPLES)
    logits, x = blind["decoder.2.bias"].astype(np.float64), rows / 255
    expected = (x * logits - np.logaddexp(0, logits)).sum(axis=1)
    size = np.abs(logits).sum()
    np.testing.assert_allclose(found.value, expected, rtol=0, atol=RTOL * size)
    np.testing.assert_allclose(found.standard_error, 0, atol=10 * RTOL * size)
    np.testing.assert_allclose(found.ess, N_SAMPLES, rtol=1e-3)


def test_sums_of_weights_make_the_estimate() -> None:
    weights = np.array([[1.0, 1, 1, 1], [3, 1, 0, 0]]) * np.exp(-5)
    found = importance_estimate(np.full(2, -5.0), np.array([4, 4]), np.array([4, 10]), 4)
    np.testing.assert_allclose(found.value, np.log(weights.mean(axis=1)))
    spread = weights.std(axis=1, ddof=1) / weights.mean(axis=1) / 2
    np.testing.assert_allclose(found.standard_error, spread)
    np.testing.assert_allclose(found.ess, [4, 1.6])
    assert found.means() == pytest.approx(
        {"value": found.value.mean(), "standard_error": spread[1] / 2, "ess": 2.8}
    )


def test_binarised_rows_have_their_means() -> None:
    grey = np.tile(np.array([0, 51, 204, 255], np.uint8), (20_000, 1))
    rows = binarised(grey)
    assert set(np.unique(rows)) == {0, 255}
    share = rows.mean(axis=0) / 255
    assert share[[0, 3]].tolist() == [0, 1]
    assert share[1:3] == pytest.approx([0.2, 0.8], abs=5 * np.sqrt(0.16 / 20_000))
    np.testing.assert_array_equal(rows, binarised(grey))


def test_contestants_that_disagree_are_refused() -> None:
    generator = np.random.Generator(np.random.Philox(5))
    truth = generator.normal(-90, 20, 200)

    def found(offset: float) -> list[float]:
        errors: Array = generator.normal(0, 0.2, 200)
        return list(truth + errors - errors.mean() + offset)

    check_agreement({})
    check_agreement({"fastvae": found(0)})
    error = np.sqrt(2 / 200) * 0.2  # of the mean difference
    check_agreement({"fastvae": found(0), "jax": found(4 * error), "torch": found(-4 * error)})
    for wrong in (7 * error, -7 * error, np.nan):
        with pytest.raises(Disagreement, match="log p.x. of JAX differs from that of fastvae by "):
            check_agreement({"fastvae": found(0), "torch": found(0), "jax": found(wrong)})


def test_the_row_is_measured_in_a_worker(tmp_path: Path) -> None:
    rows = binarised(mnist_like_rows(3))
    np.save(tmp_path / "rows.npy", rows)
    row = row_named(LIKELIHOOD)
    worker = Worker("fastvae", row, tmp_path / "rows.npy", get_num_threads(), True)
    try:
        facts = worker.facts
        assert worker.run() > 0
    finally:
        worker.close()
    model = contestants.build("fastvae", row.sizes)
    model.set_parameters(load_file(TRAINED))
    found = model.log_likelihood(rows, row.n_samples)
    assert facts == {
        "amount": 3,
        "variant": {},
        "estimate": found.means(),
        "values": found.value.tolist(),
    }


@pytest.mark.slow
def test_the_row_is_measured_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = mnist_like_rows(3)
    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", rows, rows))
    for name in ("torch", "torch-compiled", "jax"):
        entry = contestants.ENTRIES[name]
        monkeypatch.setitem(contestants.ENTRIES, name, entry._replace(requires="no_such_package"))
    result = Measurement(2, 1, True, None, tmp_path).measure(row_named(LIKELIHOOD))
    assert list(result.measured) == ["fastvae", "numpy", "peak"]
    (run,) = result.runs
    for name in ("fastvae", "numpy"):
        assert run.measured[name].amount == 3
        assert run.measured[name].estimate["value"] < 0
    assert min(result.shares_of_peak("fastvae")) > 0
    print_row(result)
    assert "10,000 rows, extrapolated: " in capsys.readouterr().out


def test_estimates_survive_their_file(tmp_path: Path) -> None:
    estimate = {"value": -90.0, "standard_error": 0.03, "ess": 100.0}
    run = Run({"fastvae": Measured([2.0, 3.0], 200, estimate=estimate)}, date="2026-01-02")
    result = RowResult(row_named(LIKELIHOOD), [run])
    results = Results({"versions": {}}, "mnist", False, {LIKELIHOOD: result})
    write(results, tmp_path / "r.json")
    assert read(tmp_path / "r.json") == results
    assert estimates_text(result) == "Mean log p(x) in nats: fastvae -90.000 ± 0.030."


def test_the_ratio_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {
        "fastvae": Measured(
            [1.0, 2.0, 3.0], 200, estimate={"value": -90.5, "standard_error": 0.01, "ess": 99.0}
        ),
        "torch": Measured([2.0, 3.0, 9.0], 200, {"block": 500}),
    }
    print_row(RowResult(row_named(LIKELIHOOD), [Run(measured)]))
    out = capsys.readouterr().out
    assert "log p(x) -90.5000 ± 0.0100, ess 99; 10,000 rows, extrapolated: 100.0 s" in out
    assert "fastvae is 2.00 (1.50 to 3.00) times as fast as the fastest peer" in out
