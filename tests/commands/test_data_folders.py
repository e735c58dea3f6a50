"""Folders with data sets that are named on the command line: read, or an error, never replaced."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fastvae.commands.cli import main
from fastvae.data.sources import FILES

SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "1", "--no-pictures", "--output", "out"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    monkeypatch.setattr("fastvae.data.download.download", None)


def put(folder: str, form: str = "{}") -> Path:
    """A data set of 64 training and 16 test images of 4 x 4 pixels."""
    made = Path(folder)
    made.mkdir(parents=True)
    for role, file in FILES.items():
        n = 64 if role.startswith("train") else 16
        shape = (n, 4, 4) if role.endswith("images") else (n,)
        header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
        values = np.arange(np.prod(shape)).astype(np.uint8).tobytes()
        name = form.format(file.replace("-idx", ".idx") if form.startswith(".") else file)
        content = header + values
        (made / name.lstrip(".")).write_bytes(
            gzip.compress(content) if name.endswith(".gz") else content
        )
    return made


def choose(how: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name a folder by the option or by the environment variable; return the options."""
    if how == "--data-dir":
        return ["--data-dir", folder]
    monkeypatch.setenv("FASTVAE_DATA", folder)
    return []


each_way = pytest.mark.parametrize("how", ["--data-dir", "FASTVAE_DATA"])


@each_way
@pytest.mark.parametrize("form", ["{}", "{}.gz", ".{}", ".{}.gz"])
@pytest.mark.parametrize("folder", ["data/MNIST/raw", "data/mnist", "data"])
def test_a_folder_in_any_known_layout_is_trained_on(monkeypatch, capsys, how, form, folder):
    put(folder, form)
    assert main(["train", *SMALL, *choose(how, "data", monkeypatch)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "data    mnist: 64 training, 16 test rows" in captured.out
    assert main(["data", *choose(how, "data", monkeypatch)]) == 0
    assert f"mnist             {folder}\n" in capsys.readouterr().out


@each_way
@pytest.mark.parametrize("named", [[], ["--dataset", "mnist"]])
@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "other files", "three of four"])
def test_a_folder_that_lacks_it_is_an_error(monkeypatch, capsys, how, named, kind):
    if kind == "a file":
        Path("data").touch()
    elif kind != "missing":
        put("data")
        for file in FILES.values():
            if kind == "other files":
                (Path("data") / file).rename(f"data/my-{file}")
            elif kind == "empty" or file == FILES["test_labels"]:
                (Path("data") / file).unlink()
    assert main(["train", *SMALL, *named, *choose(how, "data", monkeypatch)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    by = "--data-dir" if how == "--data-dir" else "$FASTVAE_DATA"
    assert line.removeprefix("fastvae: error: ").startswith(
        {
            "empty": f"data, which {by} names, does not hold mnist: ",
            "other files": f"data, which {by} names, does not hold mnist: ",
            "three of four": "data holds 3 of the four files of mnist; missing: t10k-labels",
        }.get(kind, f"{by} must be an existing folder; got 'data'")
    )
    assert not Path("out").exists()
