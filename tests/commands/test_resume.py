"""``fastvae train --resume``, and the options that watch a training."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from failing_writes import Failure

import fastvae
from fastvae import VAE
from fastvae.commands.cli import main
from fastvae.files import checkpoints
from fastvae.model.network import Network

SMALL = ["--hidden", "8", "--latent", "2", "--batch-size", "32", "--no-pictures"]
RUN = Path("runs/images-1")
TIMINGS = ("seconds", "samples_per_second")


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVAE_EPOCHS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(fastvae.__file__).parents[1]))
    return tmp_path


@pytest.fixture(autouse=True)
def images(working_folder):
    """A .npz file of 150 training and 40 test images of 4 x 4 pixels."""
    rows = np.random.default_rng(0).integers(0, 256, (190, 16), np.uint8)
    np.savez("images.npz", train=rows[:150], test=rows[150:])


def train(*options: str, code: int = 0) -> None:
    assert main(["train", "--dataset", "images.npz", *SMALL, *options]) == code


def resume(*options: str, code: int = 0, run: Path = RUN) -> None:
    assert main(["train", "--resume", str(run), "--no-pictures", *options]) == code


def failure(capsys) -> str:
    """The one line on stderr, without its start."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("fastvae: error: ")
    return lines[0].removeprefix("fastvae: error: ")


def rows_of(path: Path) -> list[dict[str, str]]:
    """A history without its timings."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in TIMINGS} for row in rows]


def results(run: Path) -> tuple[object, ...]:
    """All of a run that is the same whenever it was stopped."""
    return (
        (run / "model.safetensors").read_bytes(),
        rows_of(run / "history.csv"),
        (run / "test.json").read_bytes(),
        (run / "settings.json").read_bytes(),
    )


@pytest.fixture
def stop_after(monkeypatch):
    """Let Ctrl-C come after some epochs of the next training."""
    from fastvae.commands.runs import Run

    original = Run.on_epoch_end

    def stop(n_epochs: int | None) -> None:
        def on_epoch_end(run, vae, epoch, figures):
            original(run, vae, epoch, figures)
            if epoch == n_epochs:
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "on_epoch_end", on_epoch_end)

    return stop


# --- going on --------------------------------------------------------------------------------


def test_a_run_that_was_stopped_ends_as_one_that_was_not(capsys, stop_after):
    options = [
        "--epochs", "7", "--validation", "30", "--schedule", "cosine", "--beta-warmup", "4",
        "--reduce-on-plateau", "1", "--early-stopping", "5", "--save-best", "--clip-norm", "1",
        "--csv", "log.csv", "--json", "log.jsonl", "--sample-grid", "2",
    ]  # fmt: skip
    train(*options, "--output", "whole")
    logs = [rows_of(Path("log.csv")), (Path("log.jsonl")).read_text().count("\n")]
    for epoch in (2, 5):
        stop_after(epoch)
        if epoch == 2:
            train(*options, code=130)
        else:
            resume("--threads", "1", code=130)
        stopped = f"fastvae: stopped in epoch {epoch} of 7: go on with  fastvae train --resume "
        assert capsys.readouterr().err == f"{stopped}{RUN}\n"
    stop_after(None)
    resume()
    assert "resume  in epoch 5 of 7" in capsys.readouterr().out
    assert results(RUN) == results(Path("whole"))
    assert [rows_of(Path("log.csv")), (Path("log.jsonl")).read_text().count("\n")] == logs
    for name in ("best.safetensors", *(f"samples/samples-000{n}.png" for n in (2, 4, 6, 7))):
        assert (RUN / name).read_bytes() == (Path("whole") / name).read_bytes()


def test_a_raised_number_of_epochs_makes_the_longer_run(capsys):
    train("--epochs", "5", "--output", "whole")
    train("--epochs", "2")
    resume("--epochs", "5")
    assert "resume  in epoch 3 of 5" in capsys.readouterr().out
    assert results(RUN) == results(Path("whole"))


def test_ctrl_c_after_the_last_update_of_an_epoch(monkeypatch):
    train("--epochs", "3", "--output", "whole")
    original = Network.train

    def interrupted(*args, **named):
        original(*args, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Network, "train", interrupted)
    train("--epochs", "3", code=130)
    monkeypatch.setattr(Network, "train", original)
    resume()
    assert results(RUN) == results(Path("whole"))


def test_a_finished_run_has_nothing_to_do(capsys):
    train("--epochs", "2")
    paths = [RUN / name for name in ("model.safetensors", "test.json", "settings.json")]
    before = {path: path.stat().st_mtime_ns for path in paths}
    for options in ([], ["--epochs", "2"], ["--quiet"]):
        capsys.readouterr()
        resume(*options)
        assert (
            "finished: all 2 epochs are done, nothing to do; for more of them  "
            f"fastvae train --resume {RUN} --epochs 4\n"
        ) in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in paths} == before


def test_what_a_finished_run_lacks_is_made(capsys):
    train("--epochs", "2")
    before = results(RUN)
    for name in ("test.json", "model.safetensors", "history.csv"):
        (RUN / name).unlink()
    assert main(["train", "--resume", str(RUN)]) == 0
    assert results(RUN) == before
    assert (RUN / "loss.png").exists()


def test_a_run_without_a_checkpoint_yet_is_begun(capsys):
    train("--epochs", "2", "--output", "whole")
    Path("killed").mkdir()
    (Path("killed") / "settings.json").write_bytes(Path("whole/settings.json").read_bytes())
    capsys.readouterr()
    resume(run=Path("killed"))
    assert "resume  from the start" in capsys.readouterr().out
    assert results(Path("killed")) == results(Path("whole"))


def test_an_interrupt_before_a_run_goes_on_leaves_it(monkeypatch, capsys):
    train("--epochs", "2", "--output", "whole")
    Path("killed").mkdir()
    (Path("killed") / "settings.json").write_bytes(Path("whole/settings.json").read_bytes())
    capsys.readouterr()

    def fit(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(VAE, "fit", fit)
    for run in ("whole", "killed"):
        resume(run=Path(run), code=130)
        assert capsys.readouterr().err == (
            f"fastvae: stopped: go on with  fastvae train --resume {run}\n"
        )
    assert [path.name for path in Path("killed").iterdir()] == ["settings.json"]


def test_epochs_of_the_environment_are_for_new_runs(monkeypatch, capsys):
    train("--epochs", "2")
    monkeypatch.setenv("FASTVAE_EPOCHS", "3")
    resume()
    assert "all 2 epochs are done" in capsys.readouterr().out


def test_the_data_may_lie_elsewhere(mnist_dir, capsys):
    sizes = ["--train-size", "200", "--test-size", "50", "--epochs", "1", *SMALL]
    data = str(mnist_dir.parent)
    assert main(["train", "--dataset", "mnist", "--data-dir", data, *sizes]) == 0
    moved = Path("moved")
    moved.symlink_to(data)
    resume("--epochs", "2", "--data-dir", "moved", run=Path("runs/mnist-1"))
    assert len(rows_of(Path("runs/mnist-1/history.csv"))) == 2


def test_files_of_data_may_lie_elsewhere(capsys):
    data = "images.npz"
    train("--epochs", "1")
    Path("folder").mkdir()
    Path(data).rename("folder/moved.npz")
    capsys.readouterr()
    resume("--epochs", "2", code=1)
    line = failure(capsys)
    assert line.startswith(f"{data}: there is no such file or folder here (")
    assert "name data that have moved with --dataset" in line
    resume("--epochs", "2", "--dataset", "folder/moved.npz")
    assert len(rows_of(RUN / "history.csv")) == 2
    assert json.loads((RUN / "settings.json").read_text())["dataset"] == data
    np.savez("others.npz", train=np.full((150, 16), 200, np.uint8))
    resume("--epochs", "3", "--dataset", "others.npz", code=1)
    assert "the rows are others" in capsys.readouterr().err


# --- what cannot be gone on with -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # Its default value, too: the run may have another.
        (["--batch-size", "128"], "--batch-size belongs to the run that is gone on with: "),
        (["--seed", "0", "--output", "x"], "--seed, --output belong to the run"),
        (["--save-best"], "--save-best belongs to the run"),
        (
            ["--animation"],
            "only --epochs, --dataset, --data-dir, --threads, --quiet and --no-pictures may",
        ),
        (["--epochs", "1"], "--epochs is the total of the run, which may be raised above 2; got 1"),
    ],
)
def test_options_of_the_run_are_not_given_again(capsys, options, message):
    train("--epochs", "2")
    before = results(RUN)
    capsys.readouterr()
    resume(*options, code=1)
    assert message in failure(capsys)
    assert results(RUN) == before


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("latent", '"2"', "\"latent\" must be a whole number; got '2'"),
        ("latent", "2.0", '"latent" must be a whole number; got 2.0'),
        ("latent", "true", '"latent" must be a whole number; got True'),
        ("batch_size", "0", "\"batch_size\" must be a whole number of at least 1; got '0'"),
        ("epochs", "null", '"epochs" must be a whole number; got None'),
        ("dataset", "null", '"dataset" must be a text; got None'),
        ("hidden", "8", '"hidden" must be a list of at least one value; got 8'),
        ("hidden", "[]", '"hidden" must be a list of at least one value; got []'),
        ("hidden", "[8, 0]", '"hidden" must be a whole number of at least 1'),
        ("optimizer", '"adm"', "\"optimizer\" must be one of adam, rmsprop, sgd; got 'adm'"),
        ("learning_rate", '"x"', "\"learning_rate\" must be a number; got 'x'"),
        ("learning_rate", "NaN", "it holds NaN"),
        ("learning_rate", "-1", "rate must be a finite number of at least 0; got -1"),
        ("beta", "-1", "beta must be"),
        ("save_best", "1", '"save_best" must be true or false; got 1'),
        ("save_best", "true", "--save-best needs --validation"),
        ("validation", "150", "--validation must leave at least one of the 150 training rows"),
        ("numpy", "2", '"numpy" must be a text; got 2'),
        ("seed", None, 'it has no "seed"; it was edited, or written by another version'),
        ("colour", '"red"', '"colour" is no setting of a run'),
    ],
)
def test_settings_that_were_edited_are_named(capsys, key, value, message):
    train("--epochs", "2")
    path = RUN / "settings.json"
    settings = json.loads(path.read_text()) | {key: "EDITED"}
    if value is None:
        del settings[key]
    path.write_text(json.dumps(settings).replace('"EDITED"', str(value)))
    capsys.readouterr()
    resume(code=1)
    line = failure(capsys)
    assert line.startswith(f"{path} is not a valid settings file: ")
    assert message in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"epochs": 2}'])
def test_settings_that_are_damaged_are_named(capsys, content):
    train("--epochs", "2")
    (RUN / "settings.json").write_bytes(content)
    capsys.readouterr()
    resume(code=1)
    assert failure(capsys).startswith(f"{RUN}/settings.json is not a valid settings file: ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("latent", 3, "the model's layers"),
        ("seed", 1, "seed was 0 and is 1"),
        ("learning_rate", 0.5, "learning_rate was"),
        ("early_stopping", None, "the run has a callback EarlyStopping"),
        ("train_size", 100, "the number of rows was"),
    ],
)
def test_settings_that_are_others_are_refused(capsys, key, value, message):
    train("--epochs", "2", "--validation", "30", "--early-stopping", "4")
    path = RUN / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    before = results(RUN)
    capsys.readouterr()
    resume("--epochs", "3", code=1)
    line = failure(capsys)
    assert line.startswith(f"cannot go on with {RUN}/checkpoint.safetensors: ")
    assert message in line
    assert results(RUN) == before


def test_data_that_have_changed_are_refused(capsys):
    train("--epochs", "2")
    with np.load("images.npz") as arrays:
        changed = dict(arrays)
    changed["train"][7, 3] ^= 1
    np.savez("images.npz", **changed)
    capsys.readouterr()
    resume("--epochs", "3", code=1)
    assert "the rows are others" in failure(capsys)
    assert json.loads((RUN / "settings.json").read_text())["epochs"] == 2


def test_a_run_of_an_earlier_version_is_refused(capsys):
    train("--epochs", "3")
    for path in RUN.glob("checkpoint*"):
        path.unlink()
    capsys.readouterr()
    resume(code=1)
    assert failure(capsys) == (
        f"{RUN} has no checkpoint (checkpoint.safetensors) and cannot be gone on with: it was "
        "trained by an earlier version, or the file was taken away"
    )


def test_a_wrong_path_says_so(capsys):
    for run, message in (
        ("nowhere", "there is no run folder nowhere"),
        ("images.npz", "images.npz is a file; give its run folder, ."),
        (".", ". holds no run: there is no settings.json in it"),
    ):
        resume(code=1, run=Path(run))
        assert failure(capsys) == message


# --- watching --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--early-stopping", "3"], "--early-stopping needs --validation"),
        (["--reduce-on-plateau", "3"], "--reduce-on-plateau needs --validation"),
        (["--save-best"], "--save-best needs --validation"),
        (["--beta-warmup", "2", "--beta-cycles", "2"], "--beta-warmup and --beta-cycles are two"),
        (["--beta-warmup", "2", "--beta", "0"], "--beta-warmup leads to --beta, which must not"),
        (["--beta-cycles", "2", "--beta", "0"], "--beta-cycles leads to --beta, which must not"),
        (
            ["--csv", "log", "--json", "./log"],
            "--json must be a file of its own; got ./log, as --csv",
        ),
        (
            ["--csv", "images.npz"],
            "--csv must be a file of its own; got images.npz, as --dataset is",
        ),
        (
            ["--output", "out", "--json", "out/../out/model.safetensors"],
            "--json must be a file of its own; got out/../out/model.safetensors, as model.safeten",
        ),
        (["--csv", "no/log.csv"], "no/log.csv: there is no folder no"),
        (["--json", "no/log.json"], "no/log.json: there is no folder no"),
        (["--tensorboard", "no/logs"], "no/logs: there is no folder no"),
    ],
)
def test_what_cannot_be_watched_is_said_before_anything_is_made(capsys, options, message):
    train(*options, code=1)
    assert message in failure(capsys)
    assert list(Path().rglob("*/*")) == []


def test_a_missing_extra_is_said_before_training(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    train("--tensorboard", "logs", code=1)
    message = failure(capsys)
    assert message.startswith("--tensorboard cannot be used: ")
    assert "pip install" in message
    assert list(Path().rglob("*/*")) == []


def test_early_stopping_keeps_the_best_model_and_says_so(capsys):
    options = ["--validation", "30", "--early-stopping", "2", "--learning-rate", "0.3"]
    train(*options, "--epochs", "200", "--save-best")
    out = capsys.readouterr().out
    history = [float(row["val_elbo"]) for row in rows_of(RUN / "history.csv")]
    best = int(np.argmax(history))
    assert len(history) == best + 3 < 200
    assert f"stopped early, after epoch {best + 3} of 200\n" in out
    assert f"best    epoch {best + 1}, validation ELBO {history[best]:.2f}: the model has" in out
    kept, last = fastvae.load(RUN), fastvae.load(RUN / "best.safetensors")
    assert (kept.epochs, last.epochs) == (best + 3, best + 1)
    for name, layer in kept.named_layers().items():
        np.testing.assert_array_equal(layer.weight, last.named_layers()[name].weight)
    before = results(RUN)
    resume("--epochs", "300")
    assert "finished: nothing to do; more epochs would not go on" in capsys.readouterr().out
    assert results(RUN) == before


def test_options_arrive_in_the_training(monkeypatch):
    given = {}
    fit = VAE.fit

    def look(vae, rows, **arguments):
        given.update(arguments)
        return fit(vae, rows, **arguments)

    monkeypatch.setattr(VAE, "fit", look)
    train("--epochs", "2", "--validation", "30", "--beta", "0.5", "--beta-warmup", "3",
          "--reduce-on-plateau", "6", "--early-stopping", "7", "--tensorboard", "tb")  # fmt: skip
    assert given["beta"] == fastvae.schedules.LinearWarmup(0.5, steps=3 * 4)
    assert given["checkpoint_every"] == ("epoch", "30s")
    printed = [repr(callback) for callback in given["callbacks"]]
    assert printed[:2] == [
        "EarlyStopping('val_elbo', patience=7, min_delta=0.0, restore_best=True)",
        "ReduceOnPlateau('val_elbo', factor=0.1, patience=6, min_delta=0.0)",
    ]
    assert "TensorBoard('tb')" in printed
    assert list(Path("tb").iterdir())
    train("--epochs", "2", "--beta-cycles", "3")
    assert given["beta"] == fastvae.schedules.Cyclical(1.0, 3)
    settings = json.loads((RUN / "settings.json").read_text())
    assert (settings["beta_warmup"], settings["tensorboard"]) == (3, "tb")
    card = fastvae.load(RUN).card
    assert card["beta_warmup"] == 3
    assert not {"tensorboard", "csv", "data_dir", "sample_grid"} & set(card)


# --- a disk that is full ---------------------------------------------------------------------


@pytest.mark.parametrize("first", [1, 3])
@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_a_full_disk_is_a_warning_and_at_the_end_an_error(capsys, monkeypatch, first):
    """It says how to go on; when there is room again the run ends as if there always had been."""
    from fastvae.commands.runs import Run

    train("--epochs", "4", "--output", "whole")
    capsys.readouterr()
    original = Run.on_epoch_end
    full = Failure("write", errno.ENOSPC).injected(RUN)

    def on_epoch_end(run, vae, epoch, figures):
        original(run, vae, epoch, figures)
        if epoch == first:
            full.__enter__()

    monkeypatch.setattr(Run, "on_epoch_end", on_epoch_end)
    try:
        train("--epochs", "4", code=1)
    finally:
        full.__exit__(None, None, None)
    *warned, last = capsys.readouterr().err.splitlines()
    assert all(line.startswith("fastvae: warning: ") for line in warned)
    for name in ("model.safetensors", "history.csv", "checkpoint"):
        assert any(name in line and "No space left on device" in line for line in warned), name
    assert re.fullmatch(
        rf"fastvae: error: {RUN}/\w+\.\w+: No space left on device; when that is mended, go on "
        rf"with  fastvae train --resume {RUN}",
        last,
    )
    monkeypatch.setattr(Run, "on_epoch_end", original)
    resume()
    assert results(RUN) == results(Path("whole"))


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_ctrl_c_on_a_full_disk_leaves_what_it_says(capsys, stop_after):
    train("--epochs", "3", "--output", "whole")
    capsys.readouterr()
    stop_after(1)
    full = Failure("replace", errno.ENOSPC)
    settings = Path("whole/settings.json").read_bytes()
    Path("run").mkdir()
    with full.injected(Path("run")):
        train("--epochs", "3", "--output", "run", code=1)  # not even the settings
    assert list(Path("run").iterdir()) == []
    with full.injected(Path("run")):
        (Path("run") / "settings.json").write_bytes(settings)
        capsys.readouterr()
        resume(run=Path("run"), code=130)
    assert capsys.readouterr().err.endswith("go on with  fastvae train --resume run\n")
    stop_after(None)
    resume(run=Path("run"))
    assert results(Path("run")) == results(Path("whole"))


@pytest.mark.filterwarnings("default::RuntimeWarning")
@pytest.mark.parametrize("unwritable", [("model", "checkpoint"), ("checkpoint",)])
@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_said_of_going_on_is_true(capsys, monkeypatch, stop_after, unwritable, stopped):
    """A disk takes the history of many epochs, and what is larger, or only the checkpoint, not."""
    replace = os.replace

    def failing(source, target):
        if Path(target).name.startswith(unwritable):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        replace(source, target)

    stop_after(5 if stopped else None)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing)
        train("--epochs", "6", code=130 if stopped else 1)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "model.safetensors" not in os.listdir(RUN) or len(unwritable) == 1
    stop_after(None)
    can_go_on = len(unwritable) == 2
    resume(code=0 if can_go_on else 1)
    assert ("go on with  fastvae train --resume" in said) == can_go_on
    assert (f"it cannot be gone on with: {RUN} has no checkpoint" in said) != can_go_on


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_a_log_that_could_not_be_written_at_the_end_is_written_later(capsys, monkeypatch):
    from fastvae.commands.runs import Run

    Path("logs").mkdir()
    original = Run.on_epoch_end

    def on_epoch_end(run, vae, epoch, figures):
        original(run, vae, epoch, figures)
        if epoch == 3:
            Path("logs").rename("away")

    monkeypatch.setattr(Run, "on_epoch_end", on_epoch_end)
    train("--epochs", "3", "--csv", "logs/log.csv", code=1)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "logs/log.csv: there is no folder logs; when that is mended, go on with" in last
    Path("away").rename("logs")
    resume()
    assert rows_of(Path("logs/log.csv")) == rows_of(RUN / "history.csv")
    assert (RUN / "test.json").exists()


# --- signals, in processes -------------------------------------------------------------------


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastvae", "train", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def slow_images():
    """Rows whose epoch takes long enough to be stopped in its middle, a good half second."""
    rng = np.random.default_rng(0)
    np.savez("slow.npz", train=rng.random((20_000, 400), np.float32), test=rng.random((20, 400)))
    return ["--dataset", "slow.npz", "--hidden", "256", "--latent", "8", "--no-pictures"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -signal.SIGKILL)]
)
def test_a_run_that_is_stopped_in_mid_epoch_again_and_again(slow_images, name, code):
    """It ends, with any number of threads, as one that was never stopped."""
    options = [*slow_images, "--epochs", "20", "--validation", "200", "--early-stopping", "50"]
    assert main(["train", *options, "--output", "whole", "--quiet"]) == 0
    with open("whole/history.csv", newline="", encoding="utf-8") as file:
        seconds = sum(float(row["seconds"]) for row in csv.DictReader(file))
    words = [*options, "--output", "run"]
    rng = np.random.default_rng(7)
    for n_threads in (1, 2, 1, 2):
        with start(*words, "--threads", str(n_threads)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(("output", "resume")):
                    break
            time.sleep(rng.uniform(0.05, 0.2) * seconds)
            process.send_signal(getattr(signal, name))
            _, err = process.communicate(timeout=60)
        if process.returncode == 0 and words[0] == "--resume":
            break  # this machine became much faster meanwhile
        assert process.returncode == code
        words = ["--resume", "run", "--no-pictures"]
        if name != "SIGKILL":
            assert re.fullmatch(
                r"fastvae: stopped in epoch \d+ of 20: go on with  "
                r"fastvae train --resume run\n",
                err,
            )
            counts = checkpoints.read("run/checkpoint.safetensors").facts["counts"]
            assert counts["n_updates"] > 0
    assert main(["train", *words]) == 0
    assert results(Path("run")) == results(Path("whole"))
    assert not list(Path("run").glob(".*"))


SLOW_DISK = """
import sys, time
from pathlib import Path
from fastvae.commands.cli import main
from fastvae.files import checkpoints
from fastvae.model.network import Network

write_file = checkpoints.write_file

def write_slowly(path, content, **settings):
    if Path("slow").exists():
        path.with_name(".0123456789abcdef.tmp").write_bytes(content[:1000])
        time.sleep(60)
    write_file(path, content, **settings)

checkpoints.write_file = write_slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_disk_and_keeps_the_checkpoint_before(slow_images):
    options = ["train", *slow_images, "--epochs", "6"]
    assert main([*options, "--output", "whole", "--quiet"]) == 0
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_DISK, *options, "--output", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 2"):
                break
        Path("slow").touch()
        half = Path("run/.0123456789abcdef.tmp")
        while not half.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.fullmatch(r"fastvae: stopped in epoch \d of 6: go on with .*--resume run\n", err)
    assert half.exists()
    resume(run=Path("run"))
    assert results(Path("run")) == results(Path("whole"))
    assert not list(Path("run").glob(".*"))


@pytest.mark.slow
def test_a_run_that_goes_on_is_not_gone_on_with_twice(slow_images):
    with start(*slow_images, "--epochs", "1000", "--output", "run") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("output"):
                break
        done = subprocess.run(
            [sys.executable, "-m", "fastvae", "train", "--resume", "run"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        os.kill(process.pid, signal.SIGKILL)
    assert (done.returncode, done.stderr) == (1, "fastvae: error: another process trains in run\n")
