"""What the benchmarks' results say: ratios, promises, tables, and files that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import suite_report
from bench.claims import CLAIMS
from bench.report import END, START, insert, results_text, write_report
from bench.results import Measured, Results, RowResult, read, write
from bench.rows import PEAK, row_named


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


def test_a_promise_that_is_nearly_kept_is_not_missed_by_nothing() -> None:
    claim = next(claim for claim in CLAIMS if claim.bound == 1.35)
    assert claim.verdict(1.349) == "**missed by less than 1 %**"
    assert claim.verdict(1.35) == "kept"


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
