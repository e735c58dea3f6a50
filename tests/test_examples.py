"""The examples run: the seed document's cells as they stand, and the notebook top to bottom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from fastvae import VAE

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PARAMETERS = "TOTAL PARAMETERS = 427344\n"  # what the seed document prints
N_PICTURES = 9


def run_notebook(monkeypatch: pytest.MonkeyPatch, data: str) -> nbformat.NotebookNode:
    """Execute the notebook with `FASTVAE_DATA` as it is given; any error fails the test."""
    monkeypatch.setenv("FASTVAE_DATA", data)
    notebook = nbformat.read(EXAMPLES / "vae_demo.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return notebook


def text_of(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def count_images(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_the_seed_demo_runs_as_it_stands(mnist_dir, tmp_path):
    environment = os.environ | {"FASTVAE_DATA": str(mnist_dir), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / "seed_demo.py")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # tests/model/test_summary.py compares this text with the seed document's.
    assert done.stdout.splitlines() == str(VAE.from_sizes()).splitlines()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_notebook_runs_on_mnist(mnist_dir, monkeypatch):
    notebook = run_notebook(monkeypatch, str(mnist_dir))
    assert "mnist: 60,000 training and 10,000 test images" in text_of(notebook)
    assert PARAMETERS in text_of(notebook)
    assert count_images(notebook) == N_PICTURES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_notebook_runs_without_mnist(monkeypatch):
    from fastvae.data import cache_folder

    if cache_folder("mnist").exists():
        pytest.skip("MNIST is in the user's cache")
    notebook = run_notebook(monkeypatch, "")
    assert "synthetic_digits: 60,000 training" in text_of(notebook)
    assert PARAMETERS in text_of(notebook)
    assert count_images(notebook) == N_PICTURES


def test_the_committed_notebook_is_that_of_a_real_run():
    path = EXAMPLES / "vae_demo.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert "mnist: 60,000 training and 10,000 test images" in text_of(notebook)
    assert PARAMETERS in text_of(notebook)
    assert count_images(notebook) == N_PICTURES
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # Run once, from top to bottom.
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert path.stat().st_size < 1.5e6


@pytest.mark.slow
def test_detectors_of_outliers_are_compared(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.standard_normal((190, 4)), 6 + rng.standard_normal((10, 4))])
    np.savez(tmp_path / "1_far.npz", X=rows, y=np.arange(200) >= 190)
    program = [sys.executable, str(EXAMPLES / "outliers.py"), str(tmp_path), "--seeds", "2"]
    for _ in range(2):  # the second time nothing is measured
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "outliers.json").read_text())["1_far"]
    assert {"fastvae", "IsolationForest"} <= runs.keys()
    assert [len(runs[name]) for name in ("fastvae", "IsolationForest")] == [2, 2]
    assert min(run["auc"] for run in runs["fastvae"]) > 0.95
    assert "| far |" in done.stdout
    assert "seed 0" not in done.stdout
    assert (tmp_path / "outliers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_samples_of_prior_and_posterior_are_compared(tmp_path):
    pytest.importorskip("sklearn")
    options = "--dataset synthetic_digits --train-size 600 -n 50 --epochs 1 --classifier-epochs 3"
    program = [sys.executable, str(EXAMPLES / "posterior_samples.py"), *options.split()]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[1] for line in lines[2:]] == ["the prior", "the posterior"] * 3
    assert (tmp_path / "posterior_samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_overview_is_wide_and_small(tmp_path):
    options = ["--dataset", "synthetic_digits", "--output", "overview.png"]
    program = [sys.executable, str(EXAMPLES / "overview_picture.py"), *options]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    committed = EXAMPLES.parent / "docs" / "overview.png"
    for path in (tmp_path / "overview.png", committed):
        assert path.stat().st_size < 250_000
        with Image.open(path) as image:
            assert image.width > 2 * image.height
            edge = np.asarray(image.convert("L"))[:8]
        assert (edge == 255).all()  # a margin, for pages that are dark
