"""What the benchmarks' results say: ratios, promises, tables, and files that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import figures, suite_report
from bench.claims import CLAIMS
from bench.ratios import RESULTS
from bench.report import (
    END,
    README,
    START,
    claims_table,
    insert,
    readme_text,
    results_text,
    runs_text,
    seconds_table,
    throughput_table,
    write_report,
)
from bench.results import Measured, Results, RowResult, Run, read, write
from bench.rows import PEAK, row_named

KERNEL = {
    "internal_api": "openblas",
    "version": "1.2.3",
    "architecture": "SkylakeX",
    "num_threads": 2,
}


def one_run(name: str, measured: dict[str, Measured], **more: Any) -> RowResult:
    return RowResult(row_named(name), [Run(measured, date="2026-01-02", fastvae="0.1", **more)])


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
        "versions": {"numpy": "2.4"},
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
    rows = [
        one_run("train-b128", train, skipped={"torch-compiled": "no compiler"}),
        one_run("train-b20", two),
        one_run("job", job),
        one_run("start-cold", cold),
        one_run("threads-1", one, busy=0.5),
        one_run("threads-2", two),
    ]
    return Results(machine, "mnist", False, {result.row.name: result for result in rows})


@pytest.fixture
def repeated(results: Results) -> Results:
    """The same with a second run of training, in which PyTorch is the fastest peer."""
    again = {
        "fastvae": Measured([2.0, 2.5, 4.0], 1000),
        "numpy": Measured([6.0, 7.0, 8.0], 1000),
        "torch": Measured([2.4, 3.0, 4.0], 1000, {"storage": "uint8"}),
        "jax": Measured([3.0, 3.5, 4.8], 1000, {"unroll": 1}),
        PEAK: Measured([1.0, 1.0, 1.0], 4e9),
    }
    result = results.rows["train-b128"]
    run = Run(again, {}, 0.2, [KERNEL], "2026-03-04T05:06+00:00", "0.2", "abc1234")
    results.rows["train-b128"] = RowResult(result.row, [*result.runs, run])
    return results


def test_ratios_are_medians_of_the_rounds(results: Results) -> None:
    row = results.rows["train-b128"]
    assert row.fastest_peers() == ["jax"]
    assert row.ratios("fastvae", "jax") == row.ratios_to_fastest_peer()
    assert row.ratios("fastvae", "jax") == pytest.approx([2 / 1, 3 / 2])
    assert row.ratios("fastvae", "torch-compiled") == []
    share = 1000 * 2_154_496 / 4e9
    assert row.shares_of_peak("fastvae") == pytest.approx([share, share])
    assert results.peak == pytest.approx((4e9 + 2e9) / 2)
    assert results.rows["job"].fastest_peers() == []


def test_a_further_run_adds_its_rounds(repeated: Results) -> None:
    row = repeated.rows["train-b128"]
    assert row.measured["fastvae"].seconds == [1.0, 2.0, 2.0, 2.5, 4.0]
    assert row.measured["fastvae"].time == 2.0
    assert row.variants("jax") == [{"unroll": 4}, {"unroll": 1}]
    assert row.fastest_peers() == ["jax", "torch"]
    # Against the fastest of its run: JAX, JAX, then PyTorch three times.
    assert row.ratios_to_fastest_peer() == pytest.approx([2, 1.5, 1.2, 1.2, 1])
    assert len(row.ratios("fastvae", "numpy")) == 5
    assert row.disturbed
    assert row.skipped == {"torch-compiled": "no compiler"}


def test_a_contestant_of_one_run_is_compared_there_only(repeated: Results) -> None:
    row = repeated.rows["train-b128"]
    del row.runs[0].measured["torch"]
    row.runs[1].skipped["jax"] = "broken"
    del row.runs[1].measured["jax"]
    assert row.ratios("fastvae", "torch") == pytest.approx([1.2, 1.2, 1])
    assert row.ratios("fastvae", "jax") == pytest.approx([2, 1.5])
    assert row.skipped == {"torch-compiled": "no compiler"}


def test_promises_are_judged_on_all_rounds_and_name_runs_that_say_otherwise(
    repeated: Results,
) -> None:
    judgements = {
        claim.title: (claim.show(claim.figure(repeated)), claim.judgement(repeated))
        for claim in CLAIMS
        if claim.row == "train-b128"
    }
    peers = "against the fastest of PyTorch and JAX"
    assert judgements == {
        f"training throughput, batch 128, {peers}": (
            "1.20 x",
            "**missed by 46 %**, kept in run 1",
        ),
        "training throughput, batch 128, against NumPy": (
            "3.00 x",
            "kept, **missed in run 2**",
        ),
        "time of an epoch of 60,000 images, batch 128, over the dense limit": (
            "3.71 x",
            "**missed by 254 %**",
        ),
    }


def test_a_run_that_missed_shows_where_the_median_keeps(repeated: Results) -> None:
    runs = repeated.rows["train-b128"].runs
    runs[1].measured["numpy"].seconds[:] = [6.0, 7.0, 12.4]
    (line,) = [
        line for line in claims_table(repeated).splitlines() if "batch 128, against NumPy" in line
    ]
    expected = "3.10 x (2.80 x to 5.00 x) | 5.00 x, 3.00 x | kept |"
    assert line.endswith(expected)
    runs[1].measured["numpy"].seconds[:] = [5.9, 7.0, 12.4]
    (line,) = [
        line for line in claims_table(repeated).splitlines() if "batch 128, against NumPy" in line
    ]
    assert line.endswith("3.10 x (2.80 x to 5.00 x) | 5.00 x, 2.95 x | kept, **missed in run 2** |")


def test_tables_show_all_runs(repeated: Results) -> None:
    row = repeated.rows["train-b128"]
    assert "| 128 | 2 | 500 (250 to 1,000) |" in throughput_table(repeated)
    assert "| 1.20 (1.00 to 2.00) JAX, PyTorch |" in throughput_table(repeated)
    text = seconds_table(row)
    assert "| fastvae | 2.000 (1.000 to 4.000) | 1.500, 2.500 | 500 |  |  |" in text
    assert "| JAX | 3.000 (2.000 to 4.800) | 2.500, 3.500 | 333 |  | unroll 4 or unroll 1 |" in text
    assert runs_text(row).splitlines() == [
        "- Run 1: 2026-01-02, fastvae 0.1, commit not recorded, 2 rounds; others kept the CPUs "
        "0.0 % busy; NumPy's BLAS kernel not recorded.",
        "- Run 2: 2026-03-04T05:06+00:00, fastvae 0.2, commit abc1234, 3 rounds; others kept the "
        "CPUs 20.0 % busy; NumPy's BLAS kernel SkylakeX (openblas 1.2.3, 2 threads): "
        "**the figures are in doubt.**",
    ]
    for expected in (
        "NumPy's BLAS openblas 1.2, its kernel not recorded in 1 of 2 runs, "
        "SkylakeX (openblas 1.2.3, 2 threads) in 1 of 2 runs;",
        "; fastvae 0.1, 0.2, numpy 2.4. Data: MNIST. Measured 2026-01-02 to 2026-03-04. ",
        "a run has 2 or 3 alternating rounds. More than one run: train-b128.",
    ):
        assert expected in readme_text(repeated)
        assert expected in results_text(repeated, [])


def test_runs_of_unlike_work_are_no_runs_of_one_row(results: Results) -> None:
    row = results.rows["train-b20"]
    other = Run({"fastvae": Measured([1.0], 999)})
    with pytest.raises(ValueError, match="'fastvae' did 999 in one run and 1000 in another"):
        RowResult(row.row, [*row.runs, other])
    with pytest.raises(ValueError, match="row 'train-b20' has no run"):
        RowResult(row.row, [])
    repeated = Run(row.measured, date="2026-01-02", repeats=100)
    with pytest.raises(ValueError, match="1 times, and a run of 2026-01-02 100 times; they are"):
        RowResult(row.row, [*row.runs, repeated])


def test_a_file_of_single_calls_is_refused(results: Results, tmp_path: Path) -> None:
    """Runs of before there were several calls a round name no number of them."""
    path = tmp_path / "ratios.json"
    write(results, path)
    content = json.loads(path.read_text())
    (run,) = content["rows"]["train-b20"]["runs"]
    del run["repeats"]
    path.write_text(json.dumps(content))
    assert read(path) == results
    content["rows"]["encode"] = {"runs": [run]}
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'encode' repeats its work 100 times, and a run of .* 1 "):
        read(path)


def test_the_readme_says_what_the_committed_results_say() -> None:
    committed = read(RESULTS)
    assert readme_text(committed) in README.read_text()
    for part in (claims_table(committed), throughput_table(committed)):
        assert part in readme_text(committed)
        assert part in RESULTS.parent.with_name("RESULTS.md").read_text()


def test_claims_say_what_is_kept_and_what_is_missed(results: Results) -> None:
    verdicts = {}
    for claim in CLAIMS:
        figure = claim.figure(results)
        if figure is not None:
            verdicts[claim.title] = claim.show(figure), claim.verdict(figure)
    peers = "against the fastest of PyTorch and JAX"
    assert verdicts == {
        f"training throughput, batch 128, {peers}": ("1.75 x", "kept"),
        "training throughput, batch 128, against NumPy": ("5.00 x", "better than hoped"),
        "time of an epoch of 60,000 images, batch 128, over the dense limit": (
            "1.86 x",
            "**missed by 77 %**",
        ),
        "first-ever compile of everything that `fastvae train` needs": (
            "11.50 s",
            "**missed by 5 %**",
        ),
        "peak memory of that process": ("255 MB", "better than hoped"),
    }


def test_a_promise_that_is_nearly_kept_is_not_missed_by_nothing() -> None:
    claim = next(claim for claim in CLAIMS if claim.bound == 1.45)
    assert claim.verdict(1.449) == "**missed by less than 1 %**"
    assert claim.verdict(1.45) == "kept"


def test_results_survive_their_file(repeated: Results, tmp_path: Path) -> None:
    write(repeated, tmp_path / "sub" / "ratios.json")
    assert read(tmp_path / "sub" / "ratios.json") == repeated


def test_report_holds_the_tables(results: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    write(results, tmp_path / "ratios.json")
    write_report(tmp_path / "ratios.json", None, tmp_path, readme)
    text = (tmp_path / "RESULTS.md").read_text()
    details = (tmp_path / "DETAILS.md").read_text()
    row = (
        "| 128 | 1 | 750 (500 to 1,000) | 150 (100 to 200) | 250 (250 to 250) |  | "
        "417 (333 to 500) | 54 % (54 % to 54 %) | 1.75 (1.50 to 2.00) JAX |"
    )
    for expected in (
        "Some CPU, 4 CPUs, 2 threads, avx2, 3 GFLOP/s FMA peak (float32); threading layer tbb",
        row,
        "| 20 | 1 | 500 (500 to 500) |  |  |  |  | 36 % (36 % to 36 %) |  |",
        "**Others used the machine during 1 of 6 rows: these figures are in doubt.**",
        "![Training throughput against batch size](figures/throughput.png)",
        "19 promises: 3 kept, 2 missed, 14 not measured.",
    ):
        assert expected in text
        assert expected not in details
    for expected in (
        "| PyTorch compiled | no compiler |  |  |  |  |",
        "| JAX | 2.500 (2.000 to 3.000) | 2.500 | 417 |  | unroll 4 |",
        "others kept the CPUs 50.0 % busy: **the figures are in doubt.**\n\n| ",
        "| FMA peak | 1.500 (1.000 to 2.000) | 1.500 |  |  |  |",
        "![Training throughput against the number of threads](figures/threads.png)",
    ):
        assert expected in details
        assert expected not in text
    assert "no measurement" not in text
    assert (tmp_path / "figures" / "throughput.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "threads.png").stat().st_size > 5000
    new = readme.read_text()
    assert new.startswith(f"before\n{START}\n")
    kept = "5.00 x (5.00 x to 5.00 x) | 5.00 x | better than hoped |"
    assert f"against NumPy | 3.00 x | 3.50 x | {kept}" in new
    assert "**missed by 77 %** |" in new
    assert new.endswith(f"{END}\nafter\n")
    assert row in new
    assert "old" not in new


def test_two_points_are_bars_and_more_a_line(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(figures, "save_figure", lambda axes, path: drawn.update({path.name: axes}))
    figures.draw(results, tmp_path)
    heights = {
        bars.get_label(): [bar.get_height() for bar in bars]
        for bars in drawn["throughput.png"].containers
    }
    assert heights["fastvae"] == pytest.approx([500, 750])  # batch sizes 20 and 128
    assert heights["NumPy"] == pytest.approx([150])
    assert "2.00 x" in {text.get_text() for text in drawn["threads.png"].texts}
    for axes in drawn.values():
        assert not axes.lines
    results.rows["threads-4"] = one_run("threads-4", {"fastvae": Measured([1.0], 1000)})
    figures.draw(results, tmp_path)
    assert not drawn["threads.png"].containers
    line, ideal = drawn["threads.png"].lines
    assert list(line.get_ydata()) == pytest.approx([1, 2, 4])
    assert list(ideal.get_ydata()) == [1, 2, 4]


def test_a_trial_run_says_so(results: Results) -> None:
    results.quick = True
    assert "no measurement" in results_text(results, [])


def test_a_readme_without_markers_is_left_alone(results: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{END} {START}")
    write(results, tmp_path / "ratios.json")
    with pytest.raises(ValueError, match="must hold <!-- bench:start --> and then"):
        write_report(tmp_path / "ratios.json", None, tmp_path, readme)
    assert readme.read_text() == f"{END} {START}"
    with pytest.raises(ValueError, match="once each"):
        insert(f"{START}{START}{END}", "")


def measured_job(content: dict[str, Any]) -> dict[str, Any]:
    measured: dict[str, Any] = content["rows"]["job"]["runs"][0]["measured"]
    return measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["rows"].update({"train-b64": c["rows"]["job"]}), "unknown row 'train-b64'"),
        (
            lambda c: measured_job(c).update(theano=measured_job(c)["fastvae"]),
            "unknown contestant 'theano'",
        ),
        (
            lambda c: measured_job(c).update(numpy=measured_job(c)["fastvae"]),
            "row 'job' has no contestant 'numpy'",
        ),
        (
            lambda c: measured_job(c)["fastvae"].update(seconds=[]),
            "row 'job': 'fastvae' has no measured round",
        ),
        (
            lambda c: measured_job(c).update(jax={"seconds": [1.0], "amount": 1}),
            "row 'job' has a run of unequal numbers of rounds: {'fastvae': 2, 'jax': 1}",
        ),
        (lambda c: c["rows"]["job"].update(runs=[]), "row 'job' has no run"),
        (lambda c: c.update(format=1), "no result file of format 2"),
    ],
    ids=["row", "contestant", "row's contestant", "rounds", "unequal", "runs", "format"],
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
    assert "NumPy's BLAS kernel: not recorded." in text
    path.write_text(json.dumps({"benchmarks": entries, "machine_info": {"blas_kernels": [KERNEL]}}))
    expected = "NumPy's BLAS kernel: SkylakeX (openblas 1.2.3, 2 threads)."
    assert expected in suite_report.tables(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "test_new", "extra_info": {}}, "unrecognised benchmark 'test_new'"),
        (benchmark_entry("torch", 1.0), "the suite has no contestant 'torch', but fastvae, numpy"),
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
