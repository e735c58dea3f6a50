"""What the README shows runs: its Python from top to bottom, and its commands are understood.

The lines that install and train are run by `.ci/run`, each in a new environment.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastvae.commands.parser import build_parser

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
# A test needs no good model: one epoch shows as well that the call is right.
SHORTER = {"epochs=10": "epochs=1"}
WITHOUT_MNIST = {'Dataset("mnist")': 'Dataset("synthetic_digits")'}


def fenced(language: str) -> list[str]:
    """The README's lines, all of them empty that stand in no code block of this language."""
    lines, inside = [], ""
    for line in README.splitlines():
        if line.startswith("```"):
            inside = "" if inside else line.removeprefix("```") or "text"
            line = ""
        lines.append(line if inside == language else "")
    return lines


def commands() -> list[str]:
    """The `fastvae` commands of shell blocks, and those that the first column of a table lists."""
    shell = [part for line in fenced("bash") for part in line.split("&&")]
    listed = re.findall(r"^\| `(fastvae [^`]+)`", README, re.MULTILINE)
    words = [line.split("#")[0].replace("[", "").replace("]", "") for line in [*shell, *listed]]
    return [line for line in words if re.match(r"\s*(\S*/)?fastvae\s", line)]


@pytest.mark.slow
def test_the_python_runs_from_top_to_bottom(tmp_path: Path, mnist_if_there: Path | None) -> None:
    program = "\n".join(fenced("python"))
    assert program.strip()
    for old, new in (SHORTER if mnist_if_there else SHORTER | WITHOUT_MNIST).items():
        assert old in program
        program = program.replace(old, new)
    path = tmp_path / "README.py"  # its lines have the README's numbers
    path.write_text(program, encoding="utf-8")
    data = str(mnist_if_there or tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "FASTVAE_DATA": data},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_commands_are_found() -> None:
    assert "fastvae train" in [line.strip().removeprefix(".venv/bin/") for line in commands()]
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command: str) -> None:
    name, *arguments = shlex.split(command)
    assert Path(name).name == "fastvae"
    build_parser().parse_args(arguments)
