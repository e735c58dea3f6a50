"""``settings.json`` from strangers: each entry is checked, and quoted without harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastvae.commands import settings
from fastvae.commands.cli import main
from fastvae.commands.parser import build_parser

NASTY = "\x1b[2J\x07\u202e\ud800"
VALUES: list[Any] = [
    2**64, -(2**64), 10**4000, 1.5, float("nan"), NASTY * 9000, [NASTY], {NASTY: 1}, {},
    json.loads("[" * 500 + "]" * 500),
]  # fmt: skip


@pytest.fixture
def recorded() -> dict[str, Any]:
    args = build_parser().parse_args(["train", "--dataset", "mnist", "--epochs", "3"])
    return settings.recorded(args, "mnist", "grey")


def write(folder: Path, text: str) -> None:
    (folder / settings.SETTINGS).write_text(text, "utf-8")


def test_what_is_recorded_is_read(tmp_path: Path, recorded: dict[str, Any]) -> None:
    write(tmp_path, json.dumps(recorded))
    assert settings.read(tmp_path) == recorded


@pytest.mark.parametrize(
    "name", ["epochs", "batch_size", "hidden", "seed", "save_best", "binarize", "variant"]
)
def test_values_that_cannot_be_are_refused(
    tmp_path: Path, recorded: dict[str, Any], name: str
) -> None:
    for value in VALUES:
        write(tmp_path, json.dumps(recorded | {name: value}))
        with pytest.raises(ValueError, match="json is not a valid settings file") as caught:
            settings.read(tmp_path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("[" * 10**5, "nested too deep"),
        ("[]", "it holds no JSON object"),
        ('{"epochs": 1, "epochs": 2}', "the entry 'epochs' more than once"),
        ('{"\x1b[2J": 1}', "control character"),
        (" " * (2 << 20), "too large for a file of settings"),
        ('{"epochs": 1' + "0" * 5000 + "}", "4300"),
    ],
    ids=["empty", "deep", "list", "twice", "control", "large", "long"],
)
def test_texts_that_are_no_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    write(tmp_path, text)
    assert main(["train", "--resume", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fastvae: error: {tmp_path}/settings.json is not a valid settings file")
    assert message in line
    assert len(line) < 1000


def test_a_run_folder_of_pipes_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recorded: dict[str, Any]
) -> None:
    os.mkfifo(tmp_path / "history.csv")
    write(tmp_path, json.dumps(recorded))
    assert main(["train", "--resume", str(tmp_path)]) == 1
    assert "history.csv is a pipe; expected an ordinary file" in capsys.readouterr().err
