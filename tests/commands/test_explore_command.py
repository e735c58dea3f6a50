"""``fastvae explore``: which data go into the page, what is printed, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTVAE_DATA", str(tmp_path))  # there is nothing in it
    VAE.from_sizes(36, (8,), 2, seed=1).save("model.safetensors")
    np.save("rows.npy", pixel_rows(20, 36))


def run(capsys: Any, *arguments: str) -> list[str]:
    assert main(["explore", *arguments]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return list(found.out.splitlines())


def test_a_page_is_written_and_described(capsys: Any) -> None:
    first, *rest = run(capsys, "model.safetensors", "--data", "rows.npy", "--rows", "12")
    assert first.startswith("wrote explore.html, 0.")
    assert first.endswith(" MB; open it in a browser")
    assert rest[0] == "rows in it  12 of 20 training rows of rows.npy"
    assert rest[1] == "weights     float16"
    assert rest[2].startswith("precision   decoded means differ from Python's by ")
    assert "<h1>" in Path("explore.html").read_text("utf-8")


def test_the_heading_is_that_of_the_card_the_option_or_the_file(capsys: Any) -> None:
    Path("run").mkdir()
    for file, title in (("net.safetensors", "net"), ("run/model.safetensors", "run")):
        Path(file).write_bytes(Path("model.safetensors").read_bytes())
        run(capsys, file, "--out", "page.html")
        assert f"<title>{title}</title>" in Path("page.html").read_text("utf-8")
    run(capsys, "model.safetensors", "--out", "page.html", "--title", "A <b>")
    assert "<title>A &lt;b&gt;</title>" in Path("page.html").read_text("utf-8")
    vae = fastvae.load("model.safetensors")
    vae.card = {"name": "carded"}
    vae.save("model.safetensors")
    run(capsys, "model.safetensors", "--out", "page.html")
    assert "<title>carded</title>" in Path("page.html").read_text("utf-8")


def test_without_data_nothing_is_downloaded(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("fastvae.data.dataset.fetch", fail)
    lines = run(capsys, "mnist_two_dimensional", "--out", "page.html")
    assert lines[1].endswith(
        "drawn digits (synthetic_digits), as no data were named (--data names others)"
    )
    lines = run(capsys, "model.safetensors")
    assert lines[1].endswith(
        "rows that the model drew itself, as no data were named (--data names others)"
    )


def test_data_that_the_card_names_are_taken_where_they_are(capsys: Any) -> None:
    lines = run(capsys, "synthetic_digits", "--out", "page.html")
    assert lines[1] == "rows in it  300 of 10,000 test rows of synthetic_digits"


def test_files_that_a_card_names_are_not_opened(capsys: Any) -> None:
    vae = fastvae.load("model.safetensors")
    vae.card = {"dataset": "rows.npy"}
    vae.save("model.safetensors")
    lines = run(capsys, "model.safetensors")
    assert lines[1].endswith("as no data were named (--data names others)")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model.safetensors", "--out", "page"], 1, "--out must end in .html or .htm; got 'page'"),
        (["model.safetensors", "--out", "model.safetensors"], 1, "--out must end in .html"),
        (["model.safetensors", "--out", "none/page.html"], 1, "none"),
        (["model.safetensors", "--out", "folder.html"], 1, "folder.html is a folder"),
        (["model.safetensors", "--out", ""], 2, "must be a name"),
        (["no model"], 1, "'no model' is not a model file"),
        (["page.html", "--out", "page.html"], 1, "--out page.html is the model itself"),
        (["model.safetensors", "--data", "none.npy"], 1, "none.npy"),
        (["synthetic_digits", "--data", "rows.npy"], 1, "takes rows of 784 features"),
        (["model.safetensors", "--rows", "0"], 2, "--rows"),
        (
            ["model.safetensors", "--rows", "5000"],
            1,
            "--rows must be an integer between 1",
        ),
        (["model.safetensors", "--image-shape", "5x5"], 1, "must have 36 pixels"),
        (["classes.safetensors", "--data", "rows.npy"], 1, "rows.npy has none"),
    ],
)
def test_what_is_refused(capsys: Any, arguments: list[str], code: int, message: str) -> None:
    Path("folder.html").mkdir()
    Path("page.html").write_bytes(Path("model.safetensors").read_bytes())
    VAE.from_sizes(36, (8,), 2, n_classes=3).save("classes.safetensors")
    before = {path: path.is_file() and path.read_bytes() for path in Path().iterdir()}
    assert main(["explore", *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastvae: error: ")
    assert message in line
    assert {path: path.is_file() and path.read_bytes() for path in Path().iterdir()} == before
