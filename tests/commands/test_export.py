"""``fastvae export``: the ONNX file of a model, and what is printed of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fastvae import VAE
from fastvae.commands.cli import main
from fastvae.commands.parser import build_parser
from fastvae.files.onnx_format import PARTS

onnx = pytest.importorskip("onnx")


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    VAE.from_sizes(16, (8,), 2, seed=1, dtype="float64").save("model")


ROWS = {
    "x": "input   x        float64 (batch, 16)   rows of the data",
    "z": "input   z        float64 (batch, 2)    latents",
    "x_mean": "output  x_mean   float64 (batch, 16)   means of x given the latent",
    "mean": "output  mean     float64 (batch, 2)    means of the latents' posterior",
    "log_var": "output  log_var  float64 (batch, 2)    "
    "logarithms of the variances of the latents' posterior",
}


@pytest.mark.parametrize(
    ("part", "ports"),
    [
        ("encoder", ["x", "mean", "log_var"]),
        ("decoder", ["z", "x_mean"]),
        ("reconstruct", ["x", "x_mean"]),
    ],
)
def test_a_part_is_written(capsys: Any, part: str, ports: list[str]) -> None:
    assert main(["export", "model", "--onnx", "part.onnx", "--part", part]) == 0
    found = capsys.readouterr()
    lines = [f"{part} of model, written to part.onnx", *(ROWS[name] for name in ports)]
    assert (found.out.splitlines(), found.err) == (lines, "")
    graph = onnx.load("part.onnx").graph
    assert [port.name for port in (*graph.input, *graph.output)] == ports


def test_the_whole_model_is_written_unless_a_part_is_named(capsys: Any) -> None:
    assert main(["export", "model", "--onnx", "whole"]) == 0
    assert onnx.load("whole").graph.name == "reconstruct"


def test_the_parts_are_those_that_there_are() -> None:
    parser: Any = build_parser()
    export = parser._subparsers._group_actions[0].choices["export"]
    (part,) = (action for action in export._actions if action.dest == "part")
    assert part.choices == PARTS


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model"], 2, "the following arguments are required: --onnx"),
        (["model", "--onnx"], 2, "argument --onnx: expected one argument"),
        (["model", "--onnx", "a", "--part", "all"], 2, "encoder, decoder, reconstruct; got 'all'"),
        (["model", "--onnx", "."], 1, ". is a folder; name a file in it"),
        (["no model", "--onnx", "."], 1, ". is a folder; name a file in it"),
        (["no model", "--onnx", "a"], 1, "'no model' is not a model file"),
        (["model", "--onnx", "model"], 1, "--onnx model is the model itself"),
        (["./model", "--onnx", "link"], 1, "--onnx link is the model itself"),
    ],
)
def test_what_is_refused(capsys: Any, arguments: list[str], code: int, message: str) -> None:
    Path("link").symlink_to("model")
    before = Path("model").read_bytes()
    assert main(["export", *arguments]) == code
    found = capsys.readouterr()
    (line,) = found.err.splitlines()
    assert line.startswith("fastvae: error: ")
    assert message in line
    assert found.out == ""
    assert Path("model").read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {"link", "model"}


def test_without_the_package(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "model", "--onnx", "a"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "fastvae: error: ONNX files need the package onnx: pip install 'fastvae-cpu[onnx]'"
    )
    assert not Path("a").exists()
