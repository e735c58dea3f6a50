"""The command line: what each command leaves and prints, and what becomes of wrong input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from PIL import Image

import fastvae
from fastvae import VAE, kernels
from fastvae.commands import arguments, inputs, parser, train_options
from fastvae.commands.cli import main
from fastvae.commands.interrupt import HungUp, Terminated, interruptible
from fastvae.data import NAMES, DataUnavailable
from fastvae.training import optimizers

OWN = ["--dataset", "images.npz"]
# A model and a training that take milliseconds.
SMALL = ["--hidden", "8", "--latent", "2", "--epochs", "2", "--batch-size", "32"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    # Processes started here, in another folder, import the package under test.
    monkeypatch.setenv("PYTHONPATH", str(Path(fastvae.__file__).parents[1]))
    return tmp_path


@pytest.fixture
def images(working_folder):
    """A .npz file of 150 training and 40 test images of 4 x 4 pixels, two classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(190) % 2
    rows = (rng.random((190, 16)) * (50 + 150 * labels[:, np.newaxis])).astype(np.uint8)
    np.savez(
        "images.npz",
        train=rows[:150],
        train_labels=labels[:150],
        test=rows[150:],
        test_labels=labels[150:],
    )
    return "images.npz"


@pytest.fixture
def model(images, capsys):
    """The run folder of a model trained on `images`."""
    assert main(["train", "--dataset", images, *SMALL, "--no-pictures"]) == 0
    capsys.readouterr()
    return "runs/images-1"


def failure(capsys) -> str:
    """The one line on stderr, without its start."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("fastvae: error: ")
    return lines[0].removeprefix("fastvae: error: ")


# --- train -----------------------------------------------------------------------------------


def test_train_leaves_a_run_folder(images, capsys):
    assert main(["train", "--dataset", images, *SMALL, "--validation", "30", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    folder = Path("runs/images-1")
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
        "history.csv",
        "settings.json",
        "test.json",
        "reconstructions.png",
        "samples.png",
        "loss.png",
    }
    assert "120 training, 30 held out, 40 test rows" in out
    assert "16-8-2-8-16" in out
    assert "epoch 2/2" in out
    assert f"in {folder}" in out

    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"elbo", "reconstruction", "kl", "active_units", "val_elbo"} <= set(rows[0])
    for row in rows:
        total = float(row["elbo"]) + float(row["reconstruction"]) + float(row["kl"])
        # Three float64 of magnitude 10, each rounded once.
        assert abs(total) < 1e-13 * abs(float(row["elbo"]))

    settings = json.loads((folder / "settings.json").read_text())
    assert settings["dataset"] == images
    assert settings["epochs"] == 2
    assert settings["hidden"] == [8]
    assert settings["validation"] == 30

    vae = fastvae.load(folder)
    test = json.loads((folder / "test.json").read_text())
    with np.load(images) as arrays:
        elbo = vae.elbo(arrays["test"], seed=5)
    assert f"ELBO {elbo.elbo:.2f}" in out
    assert elbo == (test["elbo"], test["reconstruction"], test["kl"])
    assert (vae.epochs, vae.seed) == (2, 5)


def test_two_runs_stand_side_by_side(images):
    for _ in range(2):
        assert main(["train", "--dataset", images, *SMALL, "--no-pictures", "--quiet"]) == 0
    contents = [Path(f"runs/images-{n}/model.safetensors").read_bytes() for n in (1, 2)]
    assert contents[0] == contents[1]


def test_quiet_prints_the_result_only(images, capsys):
    assert main(["train", "--dataset", images, *SMALL, "--no-pictures", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("test ")
    assert lines[1].startswith("saved ")


def test_no_pictures_means_none_and_animation_means_one(images):
    arguments = ["train", "--dataset", images, *SMALL, "--no-pictures", "--animation"]
    assert main([*arguments, "--output", "out"]) == 0
    assert not list(Path("out").glob("*.png"))
    with Image.open("out/samples.gif") as image:
        assert getattr(image, "n_frames", 1) == 3


def test_every_option_of_train_arrives_in_the_model(images):
    assert main(
        [
            "train", "--dataset", images, "--train-size", "100", "--test-size", "10",
            "--hidden", "9", "8", "--latent", "3", "--activation", "tanh",
            "--output-activation", "sigmoid", "--likelihood", "gaussian", "--beta", "0.5",
            "--reconstruction-weight", "4", "--epochs", "3", "--batch-size", "7",
            "--optimizer", "rmsprop", "--learning-rate", "0.002", "--schedule", "cosine",
            "--final-learning-rate", "0.0001", "--warmup-steps", "4", "--clip-norm", "1",
            "--threads", "1", "--seed", "9", "--output", "out", "--quiet", "--no-pictures",
        ]
    ) == 0  # fmt: skip
    expected = VAE.from_sizes(
        n_features=16,
        hidden=(9, 8),
        n_latent=3,
        activation="tanh",
        output_activation="sigmoid",
        likelihood="gaussian",
        beta=0.5,
        reconstruction_weight=4,
        seed=9,
    )
    with np.load(images) as arrays:
        expected.fit(
            arrays["train"][:100],
            epochs=3,
            batch_size=7,
            learning_rate=fastvae.schedules.Warmup(fastvae.schedules.Cosine(2e-3, 1e-4), 4),
            optimizer="rmsprop",
            clip_norm=1,
            verbose=False,
        )
    trained = fastvae.load("out")
    assert repr(trained) == repr(expected)
    for name, layer in expected.named_layers().items():
        np.testing.assert_array_equal(trained.named_layers()[name].weight, layer.weight)
        assert trained.named_layers()[name].activation == layer.activation
    assert json.loads(Path("out/test.json").read_text())["n_rows"] == 10


def test_epochs_default_to_the_environment_variable(images, monkeypatch, capsys):
    arguments = ["train", "--dataset", images, "--hidden", "8", "--no-pictures"]
    monkeypatch.setenv("FASTVAE_EPOCHS", "3")
    assert main(arguments) == 0
    assert "epoch 3/3" in capsys.readouterr().out
    assert main([*arguments, "--epochs", "1"]) == 0
    assert "epoch 1/1" in capsys.readouterr().out
    monkeypatch.setenv("FASTVAE_EPOCHS", "many")
    assert main(arguments) == 1
    assert "FASTVAE_EPOCHS must be a whole number of at least 1; got 'many'" in failure(capsys)


def test_data_without_test_rows_are_trained_but_not_evaluated(capsys):
    np.save("rows.npy", np.random.default_rng(0).random((50, 6), dtype=np.float32))
    assert main(["train", "--dataset", "rows.npy", *SMALL, "--output", "out"]) == 0
    assert "no test rows" in capsys.readouterr().out
    assert not Path("out/test.json").exists()
    assert Path("out/reconstructions.png").exists()
    assert main(["evaluate", "out", "--dataset", "rows.npy"]) == 0
    assert "50 training rows of rows.npy" in capsys.readouterr().out


@pytest.fixture
def no_mnist(monkeypatch):
    def fetch(*args, **kwargs):
        raise DataUnavailable("nowhere")

    monkeypatch.setattr(inputs, "fetch", fetch)
    monkeypatch.setattr("fastvae.data.dataset.fetch", fetch)


def test_without_mnist_training_falls_back_and_says_so(no_mnist, capsys):
    sizes = ["--train-size", "64", "--test-size", "16"]
    assert main(["train", *sizes, *SMALL, "--no-pictures"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert "training on synthetic_digits" in line
    assert "synthetic_digits: 64 training" in captured.out
    assert Path("runs/synthetic_digits-1/model.safetensors").exists()


def test_mnist_asked_for_by_name_is_an_error_where_there_is_none(no_mnist, capsys):
    assert main(["train", "--dataset", "mnist", *SMALL]) == 1
    assert "nowhere" in failure(capsys)
    assert not Path("runs").exists()


def test_real_mnist_is_found_and_trained_on(mnist_dir, capsys):
    sizes = ["--train-size", "500", "--test-size", "50", "--data-dir", str(mnist_dir)]
    assert main(["train", *sizes, *SMALL, "--no-pictures"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "mnist: 500 training, 50 test rows" in captured.out


# --- wrong input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "required: COMMAND (see fastvae --help)"),
        (["trian"], 2, "no command 'trian' (did you mean train?); the commands are train, eval"),
        (["Evaluate"], 2, "no command 'Evaluate' (did you mean evaluate?)"),
        (["xyz"], 2, "no command 'xyz'; the commands are"),
        (["--versoin"], 2, "no option --versoin (did you mean --version?)"),
        (
            ["train", "--epoch", "3"],
            2,
            "no option --epoch (did you mean --epochs?)",
        ),
        (["train", "--batch_size=3"], 2, "no option --batch_size (did you mean --batch-size?)"),
        (["train", "--x", "--bets", "1"], 2, "no option --x; there is no option --bets (did you"),
        (["train", "images.npz"], 2, "unexpected argument 'images.npz' (the data are named with"),
        (["sample", "--learning-rate", "1"], 2, "--learning-rate is an option of fastvae train ("),
        (["info", "a", "b"], 2, "unexpected argument 'b' (see"),
        (["sample", "a", "b"], 2, "unexpected argument 'b' (the data are named with --dataset)"),
        (["train", "--epochs", "0"], 2, "--epochs: must be a whole number of at least 1; got '0'"),
        (["train", "--batch-size", "x"], 2, "--batch-size: must be a whole number of at least 1"),
        (["train", "--hidden", "-4"], 2, "--hidden: must be a whole number of at least 1"),
        (["train", "--hidden", "0"], 2, "must be a whole number of at least 1, or none; got '0'"),
        (["train", "--hidden", "64,32"], 2, "got '64,32' (spaces stand between sizes: 64 32)"),
        (
            ["train", "--dataset", "images.npz", "--hidden", "9" * 99],
            1,
            "between 1 and 2147483647; got an integer of",
        ),
        (["sample", "--count", "3"], 2, "no option --count (see"),
        (["sample", "--n", "3"], 2, "no option --n (did you mean -n?)"),
        (["train", "--hidden", "8", "none"], 1, "--hidden takes sizes, or none alone; got 8 none"),
        (["train", "--activation", "sin"], 2, "softplus; got 'sin' (see"),
        (["train", "--activation", "reul"], 2, "got 'reul' (did you mean relu?)"),
        (["train", "--likelihood", "mixed"], 2, "mixed needs blocks of columns, which only VAE."),
        (["train", "--optimizer", "Adamm"], 2, "rmsprop, sgd; got 'Adamm' (did you mean adam?)"),
        (["train", "--beta", "much"], 2, "--beta: invalid float value: 'much'"),
        (["sample", "--image-shape", "4,4"], 2, "must be like 28x28 (height x width); got '4,4'"),
        (["interpolate", "--steps", "1"], 2, "--steps: must be a whole number of at least 2"),
        (["train", "--dataset", "minst"], 1, "or an array (did you mean 'mnist'?)"),
        (["train", "--dataset", "xyz"], 1, "unknown data set 'xyz'; known: "),
        (["train", "--dataset", "none.npy"], 1, "none.npy: No such file or directory"),
        (
            ["train", "--dataset", "images.npz", "--train-size", "151"],
            1,
            "--train-size must be at most 150",
        ),
        (["train", "--dataset", "images.npz", "--validation", "150"], 1, "--validation must leave"),
        (["train", "--dataset", "images.npz", "--beta", "-1"], 1, "--beta must be"),
        (["train", "--dataset", "images.npz", "--clip-norm", "0"], 1, "--clip-norm must be a fin"),
        (
            ["train", "--dataset", "images.npz", "--sigma", "1"],
            1,
            "--sigma belongs to --",
        ),
        (["train", "--seed", str(10**30)], 1, "--seed must be an integer between 0 and"),
        (
            ["train", "--dataset", "images.npz", "--learning-rate", "nan"],
            1,
            "--learning-rate must be a finite",
        ),
        (["train", "--dataset", "images.npz", "--final-learning-rate", "1"], 1, "cosine"),
        (["train", "--dataset", "images.npz", "--output-activation", "tanh"], 1, "needs --output-"),
        (
            ["train", "--dataset", "large.npy", *SMALL],
            1,
            "with --likelihood gaussian",
        ),
        (["train", "--dataset", "images.npz", "--output", "images.npz"], 1, "cannot be written"),
        (["train", "--dataset", "images.npz", "--threads", "100000"], 1, "threads must be"),
        (["evaluate", "nothing"], 1, "'nothing' is not a model file"),
        (["evaluate", "images.npz"], 1, "images.npz is not a valid model"),
        (["info", "nothing"], 1, "'nothing' is not a model file"),
        (["info", "mnist_two_dimensonal"], 1, "(did you mean 'mnist_two_dimensional'?)"),
        (["manifold", "mnist_variational_autoencoder"], 1, "fastvae manifold mnist_two_dimensiona"),
        (["data", "--data-dir", "nowhere"], 1, "--data-dir must be an existing folder"),
    ],
)
def test_wrong_input_is_one_line_and_an_exit_code(images, capsys, arguments, code, message):
    np.save("large.npy", np.full((4, 4), 7.0))
    before = sorted(Path().rglob("*"))
    assert main(arguments) == code
    assert message in failure(capsys)
    assert [path for path in sorted(Path().rglob("*")) if path.name != "runs"] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--dataset", "images.npz", "--output", "MODEL"], "already holds a run"),
        (["evaluate", "MODEL", "--dataset", "small.npy"], "features; those of small.npy have"),
        (["evaluate", "MODEL", "--dataset", "images.npz", "--test-size", "99"], "--test-size must"),
        (["reconstruct", "MODEL", "-n", "41", *OWN], "-n must be at most 40"),
        (
            ["interpolate", "MODEL", "--from", "7", *OWN],
            "--from must be one of the labels 0, 1; got 7",
        ),
        (["interpolate", "MODEL", "--to", "40", "--indices", *OWN], "--to must be below 40"),
        (["interpolate", "MODEL", "--from", "1", "--dataset", "x.npy"], "x.npy has no labels"),
        (
            ["sample", "MODEL", "--output", "a.jpg"],
            "--output must end in .png or .pdf or .gif",
        ),
        (["manifold", "MODEL", "--output", "a.gif"], "must end in .png or .pdf; got 'a.gif'"),
        (["sample", "MODEL", "--output", "no/a.png"], "there is no folder no"),
        (["sample", "MODEL", "--image-shape", "3x5"], "--image-shape must have 16 pixels, as"),
        (["sample", "MODEL", "--image-shape", "9x1"], "got 9 x 1 (4x4 would fit)"),
    ],
)
def test_wrong_input_to_a_model_s_commands(model, capsys, arguments, message):
    np.save("small.npy", np.zeros((4, 9), dtype=np.uint8))
    np.save("x.npy", np.zeros((4, 16), dtype=np.uint8))
    assert main([model if word == "MODEL" else word for word in arguments]) == 1
    assert message in failure(capsys)


def diverging(epochs):
    """A `fit` whose training diverges after some epochs."""
    fit = VAE.fit

    def fit_and_fail(vae, rows, **arguments):
        if epochs:
            fit(vae, rows, **(arguments | {"epochs": epochs}))
        raise FloatingPointError(f"epoch {epochs + 1}, step 7: the loss is nan")

    return fit_and_fail


@pytest.mark.parametrize("output", [None, "out"])
def test_a_training_that_diverges_at_once_leaves_nothing(images, capsys, monkeypatch, output):
    monkeypatch.setattr(VAE, "fit", diverging(0))
    arguments = ["train", "--dataset", images, *SMALL, "--quiet"]
    assert main(arguments + (["--output", output] if output else [])) == 1
    assert failure(capsys) == "epoch 1, step 7: the loss is nan"
    assert list(Path().rglob("*/*")) == []
    assert not Path("out").exists()


def test_a_training_that_diverges_later_keeps_the_last_good_model(images, capsys, monkeypatch):
    monkeypatch.setattr(VAE, "fit", diverging(2))
    assert main(["train", "--dataset", images, *SMALL, "--quiet"]) == 1
    expected = "epoch 3, step 7: the loss is nan; the model of the last good epoch is in runs/"
    assert failure(capsys) == f"{expected}images-1"
    assert fastvae.load("runs/images-1").epochs == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--learning-rate", "1e39"],
        ["--learning-rate", "1e39", "--animation", "--output", "out"],
        ["--learning-rate", "1e39", "--optimizer", "sgd"],
    ],
)
def test_an_only_update_that_diverges_is_an_error_and_no_run(images, capsys, options):
    """The loss, measured before the update, is finite."""
    one_update = ["--batch-size", "150", "--epochs", "1", "--hidden", "8"]
    arguments = ["train", "--dataset", images, *one_update, "--quiet", *options]
    assert main(arguments) == 1
    assert failure(capsys).startswith("the training has diverged: ")
    assert list(Path().rglob("*/*")) == []
    assert not Path("out").exists()


def test_an_update_too_large_at_the_end_is_one_line(images, capsys):
    """It leaves finite weights, by which only the evaluation on the test rows goes."""
    arguments = ["train", "--dataset", images, "--batch-size", "150", "--epochs", "1", "--quiet"]
    assert main([*arguments, "--learning-rate", "1e30", "--hidden", "8"]) == 1
    message = failure(capsys)
    assert message.startswith("the training has diverged: the loss of the test rows is ")
    assert "runs/images-1" in message


def test_test_figures_that_are_not_finite_are_not_written(images, capsys, monkeypatch):
    from fastvae.commands import train

    evaluate = train.evaluate
    monkeypatch.setattr(
        train, "evaluate", lambda *a, **k: replace(evaluate(*a, **k), kl=float("inf"))
    )
    assert main(["train", "--dataset", images, *SMALL, "--quiet"]) == 1
    assert failure(capsys).startswith("test.json['kl'] must be finite")
    assert {path.name for path in Path("runs/images-1").iterdir()} == {
        "model.safetensors",
        "checkpoint.safetensors",
        "checkpoint.previous.safetensors",
        "history.csv",
        "settings.json",
    }


def test_manifold_of_more_than_two_latents_is_refused(images, capsys):
    assert main(["train", "--dataset", images, *SMALL, "--latent", "3", "--no-pictures"]) == 0
    capsys.readouterr()
    assert main(["manifold", "runs/images-1"]) == 1
    assert "has 3 latents, and a manifold is drawn of 2: try 'fastvae manifold mnist_two_dim" in (
        failure(capsys)
    )


# --- the other commands ----------------------------------------------------------------------


def test_evaluate_reports_the_model_s_figures(model, images, capsys):
    assert main(["evaluate", model, *OWN, "--samples", "3", "--seed", "2"]) == 0
    out = capsys.readouterr().out
    with np.load(images) as arrays:
        elbo, reconstruction, kl = fastvae.load(model).elbo(arrays["test"], n_samples=3, seed=2)
    words = out.split()
    for value in (elbo, reconstruction, kl):
        assert f"{value:.3f}" in words
    assert "40 test rows of images.npz, 3 draws" in out


@pytest.mark.parametrize("name", ["images.npz", "/etc/passwd.npy", "\x1b[2J" * 99, 7, ["mnist"]])
@pytest.mark.parametrize("command", ["evaluate", "reconstruct", "interpolate", "latent"])
def test_a_card_does_not_say_which_file_is_opened(model, capsys, command, name):
    vae = fastvae.load(model)
    vae.card = {"dataset": name}
    vae.save("stranger.safetensors")
    assert main([command, "stranger.safetensors"]) == 1
    line = failure(capsys)
    assert "files that a card names are not opened; name the data with --dataset" in line
    assert len(line) < 300
    assert main([command, "stranger.safetensors", *OWN]) == 0


def test_what_a_stranger_named_acts_on_no_terminal(model, capsys):
    vae = fastvae.load(model)
    vae.card = {"\x1b[2J": "\x9b\u202e" * 100_000}
    vae.save("\x1b[31m.safetensors")
    assert main(["info", "\x1b[31m.safetensors"]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert len(out) < 30_000
    assert main(["info", "\x1b[31m"]) == 1
    assert failure(capsys).isprintable()


def test_without_a_model_the_last_run_is_taken(model, capsys):
    assert main(["evaluate", *OWN]) == 0
    assert capsys.readouterr().out.startswith(f"model: {model}/model.safetensors")


@pytest.mark.parametrize(
    ("command", "shipped"),
    [("sample", "mnist_variational_autoencoder"), ("manifold", "mnist_two_dimensional")],
)
def test_without_a_model_and_a_run_a_shipped_model_is_taken(capsys, command, shipped):
    assert main([command, "-n", "4", "--output", "a.png"]) == 0
    assert capsys.readouterr().out == f"model: {shipped}\nwrote a.png\n"
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["sample", "-n", "9", "--image-shape", "2x8"], "samples.png"),
        (["sample", "--output", "a.PDF"], "a.PDF"),
        (["sample", "-n", "4", "--output", "a.gif"], "a.gif"),
        (["reconstruct", "-n", "3", *OWN], "reconstructions.png"),
        (["interpolate", "--from", "0", "--to", "1", *OWN], "interpolation.png"),
        (["interpolate", "-n", "2", "--spherical", "--output", "a.pdf", *OWN], "a.pdf"),
        (["interpolate", "--steps", "5", "--output", "a.gif", *OWN], "a.gif"),
        (["manifold", "-n", "3"], "manifold.png"),
        (["latent", *OWN], "latent.png"),
        (["latent", "--activity", "--output", "activity.pdf", *OWN], "activity.pdf"),
    ],
)
def test_pictures_are_written(model, capsys, arguments, output):
    assert main([arguments[0], model, *arguments[1:]]) == 0
    assert capsys.readouterr().out == f"wrote {output}\n"
    start = Path(output).read_bytes()[:4]
    assert start == {".png": b"\x89PNG", ".pdf": b"%PDF", ".gif": b"GIF8"}[output[-4:].lower()]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            ["--from", "0", "--to", "1", "-n", "3"],
            (lambda rows, labels: [labels == 0, labels == 1]),
        ),
        (["--from", "7", "--to", "30", "--indices"], lambda rows, labels: [rows == 7, rows == 30]),
    ],
)
def test_interpolate_goes_between_what_was_asked_for(model, images, monkeypatch, options, wanted):
    ends = []

    def interpolation(vae, start, end, **kwargs):
        ends.extend([start, end])
        raise ValueError("seen")

    monkeypatch.setattr("fastvae.plots.interpolation", interpolation)
    assert main(["interpolate", model, *OWN, *options]) == 1
    with np.load(images) as arrays:
        test, labels = arrays["test"], arrays["test_labels"]
    for end, allowed in zip(ends, wanted(np.arange(len(test)), labels), strict=True):
        assert len(end) == (3 if "-n" in options else 1)
        for row in end:
            assert (test[allowed] == row).all(axis=1).any()


def test_a_number_is_no_misspelt_label(model, capsys):
    assert main(["interpolate", model, "--to", "12", *OWN]) == 1
    assert failure(capsys).endswith("--to must be one of the labels 0, 1; got 12")


@pytest.mark.parametrize(("given", "drawn"), [("--from", "--to"), ("--to", "--from")])
def test_an_end_that_nobody_chose_is_named(model, capsys, given, drawn):
    assert main(["interpolate", model, given, "1", *OWN]) == 0
    assert f"images without {drawn} are drawn from all 40, by --seed\n" in capsys.readouterr().out


@pytest.mark.filterwarnings("always")
def test_rows_in_the_order_of_their_labels_are_no_validation(images, capsys):
    with np.load(images) as arrays:
        rows, labels = arrays["train"], arrays["train_labels"]
    np.savez("sorted.npz", train=rows, train_labels=np.sort(labels))
    np.savez("one.npz", train=rows, train_labels=0 * labels)
    given = ["train", *SMALL, "--validation", "30", "--dataset"]
    assert main([*given, "sorted.npz"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastvae: warning: the training rows are in the order of their labels")
    assert "the last 30, which --validation holds out" in line
    for name in ("one.npz", images):
        assert main([*given, name]) == 0
        assert capsys.readouterr().err == ""


def test_fewer_images_than_are_usually_drawn(model, images, capsys):
    with np.load(images) as arrays:
        np.savez("few.npz", X=arrays["test"][:3])
    assert main(["reconstruct", model, "--dataset", "few.npz"]) == 0
    assert main(["reconstruct", model, "--dataset", "few.npz", "-n", "20"]) == 1
    assert "-n must be at most 3" in failure(capsys)


def test_classes_are_called_by_their_names(model, images, monkeypatch, capsys):
    with np.load(images) as arrays:
        rows = arrays["test"]
    names = np.array(["cat", "dog", "2"])[np.arange(len(rows)) % 3]
    np.savez("named.npz", X=rows, y=names)  # their numbers: 2 is 0, cat is 1, dog is 2
    own = ["--dataset", "named.npz"]
    seen = []

    def interpolation(vae, start, end, **kwargs):
        seen.extend([start, end])
        raise ValueError("seen")

    monkeypatch.setattr("fastvae.plots.interpolation", interpolation)
    for first, last in (("cat", "2"), ("1", "0")):
        assert main(["interpolate", model, *own, "--from", first, "--to", last]) == 1
        for row, name in zip(seen[-2:], ("cat", "2"), strict=True):
            assert (rows[names == name] == row).all(axis=1).any()
    capsys.readouterr()
    assert main(["interpolate", model, *own, "--to", "dgo"]) == 1
    assert "the labels 2, cat, dog; got 'dgo' (did you mean 'dog'?)" in failure(capsys)
    assert main(["interpolate", model, *own, "--to", "cat", "--indices"]) == 1
    assert "--to must be a row number of at least 0, with --indices" in failure(capsys)

    given = {}
    monkeypatch.setattr("fastvae.plots.latent_space", lambda *args, **kwargs: given.update(kwargs))
    monkeypatch.setattr("fastvae.plots.save_figure", lambda drawn, path: path)
    assert main(["latent", model, *own]) == 0
    assert given["label_names"] == {0: "2", 1: "cat", 2: "dog"}


def test_info_describes_the_installation(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in (fastvae.__version__, np.__version__, kernels.isa(), kernels.threading_layer()):
        assert word in out
    for name in ("python", "numba", "CPU", "threads", "compiled code"):
        assert f"\n{name} " in out


def test_info_describes_a_model(model, capsys):
    assert main(["info", model]) == 0
    out = capsys.readouterr().out
    assert out.startswith(str(fastvae.load(model)))
    assert "bernoulli" in out
    assert "2 epochs, 10 updates" in out
    assert '"dataset": "images.npz"' in out


def test_data_lists_where_each_data_set_is(mnist_dir, capsys):
    assert main(["data", "--data-dir", str(mnist_dir)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert str(mnist_dir) in lines["mnist"]
    assert lines["kmnist"].endswith("does not hold kmnist (" + f"{mnist_dir} holds files of mnist)")
    assert set(NAMES) < set(lines)


def test_warmup_says_where_the_code_is_kept(capsys):
    assert main(["warmup"]) == 0
    assert main(["warmup"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"already compiled, in {kernels.cache_folder()}"


# --- help and names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["train", "evaluate", "sample", "reconstruct", "interpolate", "manifold", "latent", "info",
     "data", "warmup"],
)  # fmt: skip
def test_help_states_every_option_with_its_default(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: fastvae {command}")
    made: Any = parser.build_parser()
    subparsers = made._subparsers._group_actions[0].choices
    for action in subparsers[command]._actions:
        if action.dest != "help":
            assert action.help, action
            assert "(default: " in action.help or action.nargs == 0, action


def test_names_in_the_help_are_those_that_exist():
    assert set(train_options.ACTIVATIONS) == set(kernels.ACTIVATIONS)
    assert set(train_options.LIKELIHOODS) == set(kernels.BLOCK_KINDS) - {"categorical"}
    assert set(train_options.OPTIMIZERS) == set(kernels.OPTIMIZERS)
    assert set(train_options.BINARIZATIONS) == set(kernels.BINARIZATIONS)
    assert set(arguments.DATASETS) == set(NAMES)
    for name in train_options.OPTIMIZERS:
        assert optimizers.resolve(name).name == name


def test_version_and_help_wait_for_nothing_heavy():
    code = (
        "import sys; from fastvae.commands.cli import main\n"
        "assert main(['--version']) == 0 and main(['train', '--help']) == 0\n"
        "heavy = {'numba', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_python_m_fastvae():
    done = subprocess.run(
        [sys.executable, "-m", "fastvae", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fastvae {fastvae.__version__}\n"


def test_matplotlib_waits_for_pictures(images):
    code = (
        "import sys; from fastvae.commands.cli import main\n"
        f"assert main({['train', '--dataset', images, *SMALL, '--no-pictures']!r}) == 0\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_closed_pipe_is_no_traceback(model):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fastvae", "info", model],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_kernels_that_cannot_be_compiled_are_one_line(model, monkeypatch, capsys):
    def sample(*arguments, **options):
        raise numba.core.errors.UnsupportedParforsError("a tuple\n\nis too long")

    monkeypatch.setattr(VAE, "sample", sample)
    assert main(["sample", model]) == 1
    assert failure(capsys) == "the kernels cannot be compiled: a tuple; is too long"


# --- Ctrl-C ----------------------------------------------------------------------------------


DEAF = """
import ctypes, os, signal, sys, time
from fastvae.commands.interrupt import interruptible

@ctypes.CFUNCTYPE(None)
def callback_from_c():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # here the interrupt is raised, and dropped by ctypes

with interruptible(lambda: "last words"):
    callback_from_c()
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_python_drops_ends_the_process_all_the_same(name, code):
    # Whoever starts the suite may ignore it, as nohup does.
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n{DEAF}"
    program = program.replace("os.getpid(), signal.SIGINT", f"os.getpid(), signal.{name}")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == code
    assert done.stderr == "fastvae: last words\n"


def trace() -> tuple[object, ...]:
    handlers = map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    return *handlers, signal.set_wakeup_fd(-1), sys.unraisablehook, threading.active_count()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, Terminated),
        (signal.SIGHUP, HungUp),
    ],
)
def test_interruptible_leaves_no_trace(number, kind):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    before = trace()
    with pytest.raises(kind), interruptible(lambda: "unused"):
        signal.raise_signal(number)
    assert trace() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_ignores_a_signal_goes_on_doing_so(number):
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        with interruptible(lambda: "unused"):
            signal.raise_signal(number)
    except (Terminated, HungUp):  # pytest would take it for Ctrl-C
        pytest.fail("the signal was not ignored")
    finally:
        signal.signal(number, previous)


def test_interrupt_before_the_first_epoch_leaves_nothing(images, monkeypatch, capsys):
    def fit(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(VAE, "fit", fit)
    assert main(["train", "--dataset", images, *SMALL, "--output", "out"]) == 130
    assert capsys.readouterr().err == (
        "fastvae: stopped before the first epoch was over: nothing saved\n"
    )
    assert not Path("out").exists()
