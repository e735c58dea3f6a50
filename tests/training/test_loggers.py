"""The history on disk."""

from __future__ import annotations

import csv
import json

import pytest
from model_checks import pixel_rows, small_vae

from fastvae import History
from fastvae.callbacks import CSVLogger, JSONLogger

ROWS = pixel_rows(23, 37)


def read(path):
    """The records of a file, with floats."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if path.suffix == ".json":
        return json.loads(text)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {k: int(v) if k in ("epoch", "active_units") else float(v) for k, v in row.items()}
        for row in rows
    ]


LOGGERS: dict[str, type[CSVLogger | JSONLogger]] = {
    "history.csv": CSVLogger,
    "history.json": JSONLogger,
    "history.jsonl": JSONLogger,
}
each_file = pytest.mark.parametrize("name", LOGGERS)


@each_file
@pytest.mark.parametrize("validation", [None, ROWS])
def test_after_each_epoch_the_file_holds_all_so_far(tmp_path, name, validation):
    path, seen = tmp_path / name, []

    def look(vae, epoch, figures):
        records = read(path)
        assert records == vae.history.records()
        assert [record["epoch"] for record in records] == list(range(1, epoch + 1))
        assert list(records[0]) == ["epoch", *vae.history]
        seen.append(epoch)

    path.write_text("an older file")
    history = small_vae().fit(
        ROWS, epochs=3, validation=validation, callbacks=[LOGGERS[name](path), look], verbose=False
    )
    assert seen == [1, 2, 3]
    assert [record["loss"] for record in read(path)] == history["loss"]


@each_file
def test_a_resumed_run_loses_and_doubles_no_row(tmp_path, name):
    """What counts is the history that the run goes on with."""
    path = tmp_path / name
    figures = [{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.5}]

    def log(vae, first):
        logger = LOGGERS[name](path)
        logger.on_train_begin(vae, 3, 23)
        for epoch in range(first, 4):
            vae.history.append(figures[epoch - 1])
            logger.on_epoch_end(vae, epoch, figures[epoch - 1])
        logger.on_train_end(vae, vae.history)

    vae = small_vae()
    vae.history = History()
    log(vae, 1)
    whole = path.read_bytes()
    for n_done in range(4):  # epochs in the checkpoint that is resumed from
        vae.history = History({"loss": [f["loss"] for f in figures[:n_done]]} if n_done else {})
        log(vae, n_done + 1)
        assert path.read_bytes() == whole
        path.write_bytes(whole[: 11 * n_done])  # of a run that was killed


def test_the_formats(tmp_path):
    vae = small_vae()
    vae.history = History({"loss": [0.1, 2.0], "active_units": [3, 4]})
    found = {}
    for name, logger in LOGGERS.items():
        logger(tmp_path / name).on_epoch_end(vae, 2, {})
        found[name] = (tmp_path / name).read_bytes().decode()
    assert found == {
        "history.csv": "epoch,loss,active_units\r\n1,0.1,3\r\n2,2.0,4\r\n",
        "history.json": (
            '[\n{"epoch": 1, "loss": 0.1, "active_units": 3},\n'
            '{"epoch": 2, "loss": 2.0, "active_units": 4}\n]\n'
        ),
        "history.jsonl": (
            '{"epoch": 1, "loss": 0.1, "active_units": 3}\n'
            '{"epoch": 2, "loss": 2.0, "active_units": 4}\n'
        ),
    }


@each_file
def test_what_is_wrong_with_a_path_shows_at_once(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        LOGGERS[name](tmp_path / "missing" / name)
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        LOGGERS[name](tmp_path)
    assert repr(LOGGERS[name](name)) == f"{LOGGERS[name].__name__}({name!r})"
