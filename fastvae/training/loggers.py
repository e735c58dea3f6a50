"""Callbacks that keep the history on disk while the training goes on."""

import csv
import io
import json
import os
from abc import ABC, abstractmethod
from typing import Any

from fastvae.files.writing import check_file, write_file
from fastvae.training.history import Figures, History
from fastvae.training.patience import WritingCallback


class _HistoryFile(WritingCallback, ABC):
    """Writes the whole history after each epoch: a resumed run loses and doubles nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = check_file(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({os.fspath(self.path)!r})"

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Write what a resumed run has of the history: the file may lack an epoch or have more."""
        super().on_train_begin(vae, n_epochs, n_rows)
        if vae.history:
            self._write(vae.history)

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Write the history."""
        self._write(vae.history)

    def _write(self, history: History) -> None:
        content = self._text(history).encode()
        self.writer.write(self.path, lambda: write_file(self.path, content))

    @abstractmethod
    def _text(self, history: History) -> str:
        """What the file holds for a history."""


class CSVLogger(_HistoryFile):
    """Keeps the history in a CSV file: a row for each epoch, `epoch` and the history's keys.

    The file is written whole after each epoch, so that a reader sees all of an epoch or nothing,
    and a resumed run loses and doubles no row. A write that fails is a RuntimeWarning, and the next
    epoch tries again; only if the last one has failed, too, the training ends with its OSError.

    Parameters
    ----------
    path : path
        The file; one that is there is replaced.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written.
    """

    def _text(self, history: History) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["epoch", *history])
        writer.writeheader()
        writer.writerows(history.records())
        return text.getvalue()


class JSONLogger(_HistoryFile):
    """Keeps the history in a JSON file: a record for each epoch, `epoch` and the history's keys.

    It is a list of records, or a record a line where the name ends in ``.jsonl``. Otherwise as
    `CSVLogger`.

    Parameters
    ----------
    path : path
        The file; one that is there is replaced.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written.
    """

    def _text(self, history: History) -> str:
        lines = [json.dumps(record) for record in history.records()]
        if self.path.suffix.lower() == ".jsonl":
            return "".join(f"{line}\n" for line in lines)
        return "[\n" + ",\n".join(lines) + "\n]\n"
