"""Every option and argument that is a path: what it cannot be is refused before any work."""

from __future__ import annotations

from argparse import Action
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_checks import pixel_rows

from fastvae import VAE
from fastvae.commands import parser, pictures, train
from fastvae.commands.arguments import path_name
from fastvae.commands.cli import main

LONG = "x" * 300
SMALL = ["--dataset", "rows.npy", "--hidden", "4", "--latent", "2", "--epochs", "1"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    Path("file").write_bytes(b"mine")
    np.save("rows.npy", pixel_rows(20, 36))
    VAE.from_sizes(36, hidden=(4,), n_latent=2).save("model.safetensors")


@pytest.fixture
def no_work(monkeypatch):
    """Let everything fail that loads data or a model."""
    monkeypatch.setattr(train, "load_training_data", None)
    monkeypatch.setattr(pictures, "load_model", None)
    monkeypatch.setattr(pictures, "load_model_and_data", None)


def refused(capsys, code: int, *arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main(arguments) == code
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert sorted(Path().rglob("*")) == before
    assert Path("file").read_bytes() == b"mine"
    return line.removeprefix("fastvae: error: ")


def options() -> list[tuple[str, Action]]:
    """Each option and argument of each command that takes a text of the user's own."""
    made: Any = parser.build_parser()
    commands = made._subparsers._group_actions[0].choices
    return [
        (command, action)
        for command in commands
        for action in commands[command]._actions
        if action.type in (None, str, path_name) and action.nargs != 0 and not action.choices
    ]


def test_each_text_of_the_user_s_own_is_checked():
    found = {(command, action.dest) for command, action in options()}
    train_options = ("resume", "dataset", "data_dir", "csv", "json", "tensorboard", "output")
    assert {("train", name) for name in train_options} <= found
    for command in ("sample", "reconstruct", "interpolate", "manifold", "latent"):
        assert {(command, "output"), (command, "model")} <= found
    assert all(action.type is path_name for _, action in options())


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("text", ["", " ", "\t\n", "a\0b", "\0"])
def test_what_is_no_name_is_wrong_usage(capsys, text):
    for command, action in options():
        given = [*action.option_strings[:1], text]
        message = refused(capsys, 2, command, *given)
        assert f"must be a name, not empty; got {text!r}" in message


FILES = {
    ".": ". is a folder; name a file in it",
    "/": "/ is a folder; name a file in it",
    "folder": "folder is a folder; name a file in it",
    "new/": "new/ is a folder; name a file in it",
    "no/file": "cannot write no/file: there is no folder no",
    "file/new": "cannot write file/new: there is no folder file",
    LONG: f"{LONG}: File name too long",
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("option", ["--csv", "--json"])
@pytest.mark.parametrize("path", FILES)
def test_logs(capsys, option, path):
    assert refused(capsys, 1, "train", *SMALL, option, path) == FILES[path]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("command", ["sample", "reconstruct", "interpolate", "manifold", "latent"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "--output must end in .png or .pdf"),
        ("/", "--output must end in .png or .pdf"),
        ("folder.png", "folder.png is a folder; name a file in it"),
        ("new.png/", "new.png/ is a folder; name a file in it"),
        ("no/a.png", "cannot write no/a.png: there is no folder no"),
        ("file/a.png", "cannot write file/a.png: there is no folder file"),
        (f"{LONG}.png", f"{LONG}.png: File name too long"),
        (f"{LONG}/a.png", "File name too long"),
    ],
)
def test_pictures(capsys, command, path, message):
    assert message in refused(capsys, 1, command, "model.safetensors", "--output", path)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "output folder '.' must be a folder of its own"),
        ("folder/..", "output folder 'folder/..' must be a folder of its own"),
        ("/", "output folder '/' must be a folder of its own"),
        ("file", "output folder file cannot be written: Not a directory"),
        ("file/run", "output folder file/run cannot be written: Not a directory"),
        (LONG, f"output folder {LONG} cannot be written: File name too long"),
    ],
)
def test_run_folders(capsys, path, message):
    assert refused(capsys, 1, "train", *SMALL, "--output", path).startswith(message)


@pytest.mark.usefixtures("no_work")
def test_the_folder_of_all_runs(capsys):
    Path("runs").touch()
    message = refused(capsys, 1, "train", *SMALL)
    assert message == "output folder runs cannot be written: Not a directory"


def test_a_name_that_is_too_long_in_a_new_folder_leaves_nothing(capsys):
    message = refused(capsys, 1, "train", *SMALL, "--output", f"new/folder/{LONG}")
    assert message.endswith("cannot be written: File name too long")


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("path", ["file", "no/folder", "file/folder", LONG])
def test_other_folders(capsys, path):
    pytest.importorskip("tensorboardX")
    assert path in refused(capsys, 1, "train", *SMALL, "--tensorboard", path)
    assert path in refused(capsys, 1, "train", "--resume", path)


@pytest.mark.parametrize("path", ["file", "no/folder", "file/folder", LONG])
def test_data_folders(capsys, path):
    for command in (["train"], ["data"], ["evaluate", "model.safetensors", "--dataset", "mnist"]):
        assert path in refused(capsys, 1, *command, "--data-dir", path)


def test_logs_in_the_folder_of_the_run_are_written(capsys):
    logs = ["--csv", "new/log.csv", "--json", str(Path("new/log.json").absolute())]
    assert main(["train", *SMALL, "--no-pictures", "--output", "./new", *logs]) == 0
    assert {"log.csv", "log.json"} <= {path.name for path in Path("new").iterdir()}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--csv", "rows.npy"], "--csv must be a file of its own; got rows.npy, as --dataset is"),
        (["--json", "folder/../rows.npy"], "--json must be a file of its own"),
        (["--csv", "a", "--json", "folder/../a"], "--json must be a file of its own"),
        (["--output", "new", "--csv", "new/settings.json"], "as settings.json is"),
        (["--output", "new", "--json", "new/checkpoint.previous.safetensors"], "as checkpoint."),
    ],
)
def test_logs_are_files_of_their_own(capsys, options, message):
    assert message in refused(capsys, 1, "train", *SMALL, *options)


@pytest.mark.usefixtures("no_work")
def test_a_log_takes_the_place_of_no_other_file(capsys):
    options = [*SMALL, "--csv", "model.safetensors"]
    message = "--csv must not take the place of model.safetensors: it is a safetensors file"
    assert message in refused(capsys, 1, "train", *options)


def test_a_log_takes_the_place_of_a_log():
    for content in ("epoch,loss\n1,2\n", '{"epoch": 1}\n', ""):
        Path("log").write_text(content)
        assert main(["train", *SMALL, "--no-pictures", "--csv", "log"]) == 0
        assert Path("log").read_text().startswith("epoch,loss,elbo")


def test_names_act_on_no_terminal(monkeypatch, capsys):
    """Whatever is printed: names of folders, data, models and pictures, and what to type next."""
    name = "a\x1b[31m\u202e\nb"
    np.save(f"{name}.npy", pixel_rows(20, 36))
    data, here = ["--dataset", f"{name}.npy"], ["--output", f"{name}.png"]
    Path(f"{name}.d").mkdir()
    lines: list[Any] = [
        (0, "train", *data, *SMALL[2:]),
        (0, "train", *data, *SMALL[2:], "--output", name),
        (0, "train", "--resume", name),
        (1, "train", *data, *SMALL[2:], "--output", name),
        (0, "info", name),
        (0, "evaluate", name, *data),
        (0, "evaluate", *data),
        (0, "sample", *here),
        (0, "reconstruct", "-n", "2", *data, *here),
        (0, "interpolate", "-n", "2", *data, "--output", f"{name}.gif"),
        (0, "manifold", "-n", "2", *here),
        (0, "latent", *data, *here),
        (0, "data", "--data-dir", f"{name}.d"),
        (1, "data", "--data-dir", name + name),
        (2, "info", name, name),
        (2, name),
    ]
    for code, *arguments in lines:
        assert main(arguments) == code
        captured = capsys.readouterr()
        text = (captured.out + captured.err).replace("\n", "")
        assert text.isprintable()
        assert r"\x1b" in text
        assert captured.err.count("\n") == (code > 0)
