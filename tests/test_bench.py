"""The benchmarks: all contestants compute the same, and the report says what was measured."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import contestants, machine, suite_report
from bench.claims import CLAIMS
from bench.job import read_images
from bench.measure import measure_process
from bench.peak import CHAINS, fma_chains, fma_flops, run_fma
from bench.ratios import Measurement
from bench.report import END, START, insert, results_text, write_report
from bench.results import Measured, Results, RowResult, read, write
from bench.rows import FIXED, PEAK, all_rows, row_named
from bench.worker import Worker, WorkerError
from bench.workload import (
    LEARNING_RATE,
    Array,
    Sizes,
    dense_rows,
    initial_parameters,
    join_heads,
    mnist_like_rows,
    split_heads,
)
from fastvae import VAE
from fastvae.commands.parser import build_parser
from fastvae.kernels import get_num_threads, isa

SIZES = Sizes(37, (19, 11), 5)
N_ROWS = 24
EPOCHS = 20
# A gradient passes the products forward and backward: chains of as many terms as there are
# inputs (37, 19, 11, 5, 11, 19), outputs on the way back, and rows. A sum of n terms is off by
# n eps of its largest partial sum, so gradients by all these lengths times eps of the largest.
CHAIN_LENGTH = sum(n_in + n_out for n_in, n_out in SIZES.dense_shapes) + N_ROWS
RTOL = CHAIN_LENGTH * float(np.finfo(np.float32).eps)

NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "torch-compiled" else name
    for name in contestants.ENTRIES
]


@pytest.fixture(scope="module")
def rows() -> Array:
    return mnist_like_rows(N_ROWS, SIZES.n_features, seed=1)


@pytest.fixture(scope="module")
def noise() -> Array:
    generator = np.random.Generator(np.random.Philox(2))
    return generator.standard_normal((N_ROWS, SIZES.n_latent), np.float32)


@pytest.fixture(scope="module")
def parameters(rows: Array) -> contestants.Parameters:
    return initial_parameters(SIZES, rows, seed=3)


@pytest.fixture(scope="module")
def noiseless(parameters: contestants.Parameters) -> contestants.Parameters:
    """Parameters with a posterior so narrow that the noise is lost in rounding."""
    narrow = dict(parameters)
    narrow["sampler.log_var.weight"] = np.zeros_like(parameters["sampler.log_var.weight"])
    narrow["sampler.log_var.bias"] = np.full(SIZES.n_latent, -28, np.float32)  # std 8e-7
    return narrow


def built(name: str, **variant: Any) -> contestants.Contestant:
    reason = contestants.why_not(name)
    if reason is not None:
        pytest.skip(reason)
    return contestants.build(name, SIZES, **variant)


def exact(parameters: contestants.Parameters) -> VAE:
    """Our own VAE in float64, whose gradients are checked against finite differences elsewhere."""
    vae = VAE.from_sizes(SIZES.n_features, SIZES.hidden, SIZES.n_latent, dtype=np.float64)
    for name, layer in vae.named_layers().items():
        layer.weight, layer.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return vae


# The contestants -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_computes_the_same_gradients(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    losses, gradients = exact(parameters).gradients(rows, noise)
    built(name)
    for variant in contestants.load(name).training_variants:
        model = built(name, **variant)
        model.set_parameters(parameters)
        reconstruction, kl, theirs = model.gradients(rows, noise)
        assert reconstruction == pytest.approx(losses.reconstruction, rel=RTOL)
        assert kl == pytest.approx(losses.kl, rel=RTOL)
        assert list(theirs) == list(parameters)
        for key, gradient in gradients.items():
            atol = RTOL * np.abs(gradient).max()
            np.testing.assert_allclose(theirs[key], gradient, rtol=0, atol=atol, err_msg=key)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_first_update(
    name: str, rows: Array, noise: Array, parameters: contestants.Parameters
) -> None:
    """Adam's first update is lr g / (|g| + eps): an error d of g changes it by 2 lr d / |g|."""
    _, gradients = exact(parameters).gradients(rows, noise)
    model = built(name)
    model.set_parameters(parameters)
    model.step(rows, noise)
    moved = model.get_parameters()
    for key, gradient in gradients.items():
        before = parameters[key].astype(np.float64)
        expected = before - LEARNING_RATE * gradient / (np.abs(gradient) + 1e-8)
        error = RTOL * np.abs(gradient).max()
        bound = LEARNING_RATE * np.minimum(2, 2 * error / (np.abs(gradient) + 1e-8))
        rounding = 4 * np.finfo(np.float32).eps * (np.abs(before) + LEARNING_RATE)
        assert np.all(np.abs(moved[key] - expected) <= bound + rounding), key


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_training_goes_the_same_way(
    name: str, rows: Array, noiseless: contestants.Parameters
) -> None:
    """Updates with moments: the way is the same within RTOL, up to a factor for small gradients.

    Adam divides each gradient by its own size, so those near rounding error (RTOL of the
    largest) move by up to the learning rate either way; 1e-3 of the way leaves room for them.
    """
    vae = exact(noiseless)
    history = vae.fit(rows, epochs=EPOCHS, batch_size=N_ROWS, verbose=False)
    expected = {
        f"{name}.{what}": getattr(layer, what)
        for name, layer in vae.named_layers().items()
        for what in ("weight", "bias")
    }
    model = built(name)
    for _ in range(2):  # the second time from the same weights, with fresh moments
        model.set_parameters(noiseless)
        losses = model.fit(model.prepare(rows), EPOCHS, N_ROWS)
        assert losses == pytest.approx(history["loss"], rel=RTOL)
        moved = model.get_parameters()
        way = np.concatenate([(expected[k] - noiseless[k]).ravel() for k in noiseless])
        theirs = np.concatenate([(moved[k] - noiseless[k]).ravel() for k in noiseless])
        assert np.linalg.norm(theirs - way) < 1e-3 * np.linalg.norm(way)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_small_batches_train_every_row(
    name: str, rows: Array, parameters: contestants.Parameters
) -> None:
    """24 rows in batches of 10: were the last four left out, the mean loss would be 17 % less."""
    model = built(name)
    model.set_parameters(parameters)
    losses = model.fit(model.prepare(rows), 2, 10)
    assert len(losses) == 2
    reconstruction, kl, _ = model.gradients(rows, np.zeros((N_ROWS, SIZES.n_latent), np.float32))
    assert losses[-1] == pytest.approx(reconstruction + kl, rel=0.08)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_passes_without_training(
    name: str,
    rows: Array,
    noise: Array,
    noiseless: contestants.Parameters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.numpy_vae.ROWS_AT_ONCE", 10)
    vae = exact(noiseless)
    mean, log_var = vae.encode(rows)
    means = vae.decode(noise)
    elbo = vae.elbo(rows)
    built(name)
    for variant in contestants.load(name).pass_variants:
        chunk = {"chunk": 8} if variant.get("chunk") else {}
        model = built(name, **variant | chunk)
        model.set_parameters(noiseless)
        data = model.prepare(rows)
        theirs = [np.asarray(part) for part in model.encode(data)]
        np.testing.assert_allclose(theirs[0], mean, rtol=0, atol=RTOL * np.abs(mean).max())
        np.testing.assert_allclose(theirs[1], log_var, rtol=RTOL)
        np.testing.assert_allclose(np.asarray(model.decode(noise)), means, rtol=0, atol=RTOL)
        assert np.asarray(model.sample(7)).shape == (7, SIZES.n_features)
        reconstruction, kl = model.evaluate(data)
        assert reconstruction == pytest.approx(elbo.reconstruction, rel=1e-4)
        assert kl == pytest.approx(elbo.kl, rel=RTOL)
    model.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size > 4 * sum(
        array.size for array in noiseless.values()
    )


def test_why_not_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = contestants.ENTRIES["jax"]._replace(requires="no_such_package")
    monkeypatch.setitem(contestants.ENTRIES, "jax", entry)
    assert contestants.why_not("jax") == "no_such_package is not installed"
    assert contestants.why_not("numpy") is None


def test_work_of_the_seed_model() -> None:
    sizes = Sizes()
    assert sizes.title == "784-256-32-256-784"
    # 425,984 weights; each is used forward, in the weight gradient and, but for the first
    # layer's 200,704, in the input gradient: 2 (3 * 425,984 - 200,704).
    assert sizes.training_flops == 2_154_496
    assert sizes.encoding_flops == 2 * (784 * 256 + 256 * 64)
    assert sizes.decoding_flops == 2 * (32 * 256 + 256 * 784)
    parameters = initial_parameters(sizes, mnist_like_rows(10))
    assert sum(array.size for array in parameters.values()) == 427_344


def test_heads_split_and_join(parameters: contestants.Parameters) -> None:
    again = split_heads(join_heads(parameters, SIZES), SIZES)
    assert list(again) == list(parameters)
    for key, array in parameters.items():
        np.testing.assert_array_equal(again[key], array)


def test_rows_are_as_dense_as_said() -> None:
    assert dense_rows(50, 40).min() == 1
    share = np.mean(mnist_like_rows(200, 784) == 0)
    assert share == pytest.approx(0.81, abs=5 * np.sqrt(0.81 * 0.19 / (200 * 784)))


def test_start_and_job_read_the_same_bytes(tmp_path: Path) -> None:
    content = bytes(16) + bytes(range(256)) * 49  # 16 images
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b.gz").write_bytes(gzip.compress(content))
    for name in ("a", "b"):
        images = read_images(tmp_path, name)
        assert images.shape == (16, 784)
        np.testing.assert_array_equal(images.ravel(), np.arange(256 * 49) % 256)


# The measurement -----------------------------------------------------------------------------


def test_peak_keeps_every_chain() -> None:
    """A compiler that sees through a chain drops it, and the peak would come out too high."""
    import numba

    @numba.njit
    def chains(count: Any, start: Any, factor: Any) -> Any:
        return fma_chains(count, start, factor)

    assert np.isfinite(chains(np.int64(3), np.float32(0.1), np.float32(0.9)))
    (assembly,) = chains.inspect_asm().values()
    if isa() in ("avx512", "avx2"):
        blocks = assembly.split("\n.LBB")
        registers = [
            {line.split()[-1] for line in block.splitlines() if "vfmadd" in line}
            for block in blocks
        ]
        assert max(map(len, registers)) == CHAINS
    run_fma(1)
    assert fma_flops(2) == 2 * fma_flops(1) > 0


def test_a_worker_works_when_told(tmp_path: Path) -> None:
    data = tmp_path / "rows.npy"
    np.save(data, mnist_like_rows(300))
    worker = Worker("numpy", row_named("train-b128"), data, get_num_threads(), False)
    assert worker.facts == {"amount": 300, "variant": {}}
    assert worker.run() > 0
    worker.close()
    with pytest.raises(WorkerError, match="no_such"):
        Worker("numpy", row_named("encode"), tmp_path / "no_such.npy", 1, False)


def test_rounds_alternate_in_worker_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = mnist_like_rows(300)
    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", rows, rows))
    monkeypatch.setitem(
        contestants.ENTRIES, "jax", contestants.ENTRIES["jax"]._replace(requires="no_such_package")
    )
    row = replace(row_named("train-b128"), n_rows=300, contestants=("fastvae", "jax", PEAK))
    result = Measurement(2, 1, False, None, tmp_path).measure(row)
    assert result.skipped == {"jax": "no_such_package is not installed"}
    assert list(result.measured) == ["fastvae", PEAK]
    assert all(len(figures.seconds) == 2 for figures in result.measured.values())
    assert result.measured["fastvae"].amount == 300
    share = result.share_of_peak("fastvae")
    assert share is not None
    assert share > 0
    assert 0 <= result.busy <= 1


def test_cold_and_warm_processes_share_a_new_cache_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
        calls.append((command, environment["NUMBA_CACHE_DIR"]))
        return {"seconds": 10.0 / len(calls), "memory_mb": 1.0}

    rows = mnist_like_rows(30)
    monkeypatch.setattr("bench.ratios.training_rows", lambda _: ("mnist", rows, rows))
    monkeypatch.setattr("bench.ratios.measure_process", measured)
    result = Measurement(1, 2, False, None, tmp_path).measure(row_named("start-cold"))
    assert result.measured["fastvae-cold"].seconds == [10.0, pytest.approx(10 / 3)]
    assert result.measured["fastvae-warm"].seconds == [5.0, 2.5]
    caches = [cache for _, cache in calls]
    assert caches[0] == caches[1] != caches[2] == caches[3]
    outputs = {command[command.index("--output") + 1] for command, _ in calls}
    assert len(outputs) == 4
    for command, _ in calls:
        build_parser().parse_args(command[3:])


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_a_rest_sees_what_others_do() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert max(machine.rest(0.3) for _ in range(5)) > 0.3 / machine.cpus()
        finally:
            other.kill()


def test_processes_are_measured_by_their_ready_line() -> None:
    program = "import time; x = bytearray(60_000_000); print('ready', flush=True); time.sleep(0.2)"
    figures = measure_process([sys.executable, "-c", program], {})
    assert 0 < figures["ready_seconds"] < figures["seconds"] - 0.2
    assert figures["memory_mb"] > 60
    with pytest.raises(RuntimeError, match="gone wrong"):
        measure_process([sys.executable, "-c", "raise SystemExit('gone wrong')"], {})


def test_rows_have_unique_names_and_known_contestants() -> None:
    rows = all_rows(6)
    assert len({row.name for row in rows}) == len(rows)
    assert [row.name for row in rows if row.n_threads] == [
        "threads-1",
        "threads-2",
        "threads-6",
    ]
    for row in rows:
        assert row_named(row.name) == row
    assert {claim.row for claim in CLAIMS} <= {row.name for row in FIXED}
    with pytest.raises(ValueError, match=r"unknown row 'threads-x'; known: train-b1, "):
        row_named("threads-x")


# The report ------------------------------------------------------------------------------------


@pytest.fixture
def results() -> Results:
    """Two rounds of made-up figures: fastvae trains 1,000 rows in 1 s, then 2 s, and so on."""
    machine = {
        "cpu": "Some CPU",
        "cpus": 4,
        "threads": 2,
        "instruction_set": "avx2",
        "threading_layer": "tbb",
        "system": "Linux x86_64",
        "blas": "openblas 1.2",
        "versions": {"fastvae": "0.1", "numpy": "2.4"},
    }
    train = {
        "fastvae": Measured([1.0, 2.0], 1000),
        "numpy": Measured([5.0, 10.0], 1000),
        "torch": Measured([4.0, 4.0], 1000),
        "jax": Measured([2.0, 3.0], 1000, {"unroll": 4}),
        PEAK: Measured([1.0, 2.0], 4e9),
    }
    job = {"fastvae": Measured([3.0, 5.0], 1, memory_mb=[250.0, 260.0])}
    cold = {"fastvae-cold": Measured([12.0, 14.0], 1), "fastvae-warm": Measured([1.0, 2.0], 1)}
    one = {"fastvae": Measured([4.0, 4.0], 1000)}
    two = {"fastvae": Measured([2.0, 2.0], 1000)}
    rows = {
        "train-b128": RowResult(row_named("train-b128"), train, {"torch-compiled": "no compiler"}),
        "train-b20": RowResult(row_named("train-b20"), two),
        "job": RowResult(row_named("job"), job),
        "start-cold": RowResult(row_named("start-cold"), cold),
        "threads-1": RowResult(row_named("threads-1"), one, busy=0.5),
        "threads-2": RowResult(row_named("threads-2"), two),
    }
    return Results(machine, "mnist", 2, False, rows)


def test_ratios_are_medians_of_the_rounds(results: Results) -> None:
    row = results.rows["train-b128"]
    assert row.fastest_peer() == "jax"
    assert row.ratio("fastvae", "jax") == pytest.approx((2 / 1 + 3 / 2) / 2)
    assert row.ratio("fastvae", "torch-compiled") is None
    assert row.share_of_peak("fastvae") == pytest.approx(1000 * 2_154_496 / 4e9)
    assert results.peak == pytest.approx(4e9 / 1.5)
    assert results.rows["job"].fastest_peer() is None


def test_claims_say_what_is_kept_and_what_is_missed(results: Results) -> None:
    verdicts = {}
    for claim in CLAIMS:
        figure = claim.figure(results)
        if figure is not None:
            verdicts[claim.title] = claim.show(figure), claim.verdict(figure)
    peers = "against the fastest of PyTorch and JAX"
    assert verdicts == {
        f"training throughput, batch 128, {peers}": ("1.75 x", "kept"),
        "training throughput, batch 128, against NumPy": ("5.00 x", "kept"),
        "time of an epoch of 60,000 images, batch 128, over the dense limit": (
            "1.86 x",
            "**missed by 61 %**",
        ),
        "first-ever compile of everything that `fastvae train` needs": ("11.50 s", "kept"),
        "peak memory of that process": ("255 MB", "better than hoped"),
    }


def test_results_survive_their_file(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path / "sub" / "ratios.json")
    assert read(tmp_path / "sub" / "ratios.json") == results


def test_report_holds_the_tables(results: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    write(results, tmp_path / "ratios.json")
    write_report(tmp_path / "ratios.json", None, tmp_path, readme)
    text = (tmp_path / "RESULTS.md").read_text()
    row = "| 128 | 667 | 133 | 250 |  | 400 | 54 % | 1.75 (JAX) |"
    for expected in (
        "Some CPU, 4 CPUs, 2 threads, avx2, 3 GFLOP/s FMA peak (float32); threading layer tbb",
        row,
        "| 20 | 500 |  |  |  |  | 40 % |  |",
        "| PyTorch compiled | no compiler |  |  |  |  |",
        "| JAX | 2.500 | 2.000 to 3.000 | 400 |  | unroll 4 |",
        "**Others used the machine during 1 of 6 rows: these figures are in doubt.**",
        "1 thread\n\n**Others kept the CPUs 50 % busy: the figures are in doubt.**\n\n| ",
        "| FMA peak | 1.500 | 1.000 to 2.000 |  |  |  |",
        "![Training throughput against batch size](figures/throughput.png)",
        "![Training throughput against the number of threads](figures/threads.png)",
    ):
        assert expected in text
    assert "no measurement" not in text
    assert (tmp_path / "figures" / "throughput.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "threads.png").stat().st_size > 5000
    new = readme.read_text()
    assert new.startswith(f"before\n{START}\n")
    assert new.endswith(f"{END}\nafter\n")
    assert row in new
    assert "old" not in new


def test_a_trial_run_says_so(results: Results) -> None:
    results.quick = True
    assert "no measurement" in results_text(results, "", [])


def test_a_readme_without_markers_is_left_alone(results: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{END} {START}")
    write(results, tmp_path / "ratios.json")
    with pytest.raises(ValueError, match="must hold <!-- bench:start --> and then"):
        write_report(tmp_path / "ratios.json", None, tmp_path, readme)
    assert readme.read_text() == f"{END} {START}"
    with pytest.raises(ValueError, match="once each"):
        insert(f"{START}{START}{END}", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["rows"].update({"train-b64": c["rows"]["job"]}), "unknown row 'train-b64'"),
        (
            lambda c: c["rows"]["job"]["measured"].update(
                {"theano": c["rows"]["job"]["measured"]["fastvae"]}
            ),
            "unknown contestant 'theano'",
        ),
        (
            lambda c: c["rows"]["job"]["measured"].update(
                {"numpy": c["rows"]["job"]["measured"]["fastvae"]}
            ),
            "row 'job' has no contestant 'numpy'",
        ),
        (
            lambda c: c["rows"]["job"]["measured"]["fastvae"].update(seconds=[]),
            "row 'job': 'fastvae' has no measured round",
        ),
        (lambda c: c.update(format=0), "no result file of format 1"),
    ],
    ids=["row", "contestant", "row's contestant", "rounds", "format"],
)
def test_what_is_not_recognised_raises(
    results: Results, tmp_path: Path, change: Any, message: str
) -> None:
    path = tmp_path / "ratios.json"
    write(results, path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read(path)


def benchmark_entry(contestant: str, median: float, **more: Any) -> dict[str, Any]:
    info = {"operation": "dense_forward", "batch_size": 128, "contestant": contestant, **more}
    return {"name": f"test[{contestant}]", "extra_info": info, "stats": {"median": median}}


def test_suite_tables(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    entries = [
        benchmark_entry("numpy", 6e-4, gflops=86.0, percent_of_peak=36.6),
        benchmark_entry("fastvae", 2.5e-4, gflops=205.0, percent_of_peak=87.7),
    ]
    path.write_text(json.dumps({"benchmarks": entries}))
    text = suite_report.tables(path)
    assert "### dense_forward\n\n| batch | fastvae | NumPy | times NumPy |\n" in text
    assert "| 128 | 250 (88 %) | 600 (37 %) | 2.4 |" in text


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "test_new", "extra_info": {}}, "unrecognised benchmark 'test_new'"),
        (benchmark_entry("theano", 1.0), "unknown contestant 'theano'"),
    ],
    ids=["benchmark", "contestant"],
)
def test_suite_entries_that_are_not_recognised_raise(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"benchmarks": [entry]}))
    with pytest.raises(ValueError, match=message):
        suite_report.tables(path)
