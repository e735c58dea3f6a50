"""The commands that the README shows and lists are understood.

What it runs is run with all pages by test_documentation.py; the lines that install and train by
`.ci/run`, each in a new environment.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fastvae.commands.parser import build_parser

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The `fastvae` commands of shell blocks, and those that the first column of a table lists."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    shell = [part for block in blocks for part in re.split(r"&&|\n", block)]
    listed = re.findall(r"^\| `(fastvae [^`]+)`", README, re.MULTILINE)
    words = [line.split("#")[0].replace("[", "").replace("]", "") for line in [*shell, *listed]]
    return [line for line in words if re.match(r"\s*(\S*/)?fastvae\s", line)]


def test_the_commands_are_found() -> None:
    assert "fastvae train" in [line.strip().removeprefix(".venv/bin/") for line in commands()]
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command: str) -> None:
    name, *arguments = shlex.split(command)
    assert Path(name).name == "fastvae"
    build_parser().parse_args(arguments)
