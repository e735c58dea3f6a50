"""Run folders: what one training leaves on disk.

A run folder holds ``settings.json`` (how it was trained), ``model.safetensors`` and
``history.csv`` (both brought up to date after each epoch, so that an interrupted run keeps what
it has), ``test.json`` (the final evaluation) and the pictures ``reconstructions.png``,
``samples.png`` and ``loss.png``.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastvae.checks import plain
from fastvae.files.storage import RUN_MODEL
from fastvae.files.writing import is_writable, write_file
from fastvae.model.vae import VAE
from fastvae.training.callbacks import Callback

ROOT = Path("runs")
HISTORY = "history.csv"
SETTINGS = "settings.json"
TEST = "test.json"
_MARKS_OF_A_RUN = (RUN_MODEL, HISTORY, SETTINGS)


class Run(Callback):
    """A run folder, and the callback of ``fit`` that keeps it up to date.

    Parameters
    ----------
    folder : Path
        An existing folder without a run in it; see `create`.
    is_new : bool
        Whether the folder was made for this run.

    Attributes
    ----------
    folder : Path
    n_saved : int
        Epochs saved so far.
    """

    def __init__(self, folder: Path, is_new: bool) -> None:
        self.folder = folder
        self._is_new = is_new
        self._history: list[Sequence[Any]] = []
        self.n_saved = 0

    @classmethod
    def create(cls, dataset_name: str, output: str | os.PathLike[str] | None = None) -> Run:
        """Make the folder of a new run, and make sure that it can be written.

        Parameters
        ----------
        dataset_name : str
            Names the folder where `output` is not given: ``runs/<dataset_name>-<n>`` with the
            smallest free n, from 1 on.
        output : path, optional
            The folder; it may exist.

        Raises
        ------
        FileExistsError
            If `output` already holds a run.
        OSError
            If the folder cannot be made or written.
        """
        if output is None:
            return cls(_next_free(dataset_name), is_new=True)
        folder = Path(output)
        check_free(folder)
        is_new = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not is_writable(folder):
                raise PermissionError(os.strerror(errno.EACCES))
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder, is_new)

    @property
    def model_path(self) -> Path:
        """Path of the model file."""
        return self.folder / RUN_MODEL

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Write ``settings.json``.

        Raises
        ------
        TypeError, ValueError
            If a value is not plain JSON data: see `plain.mapping`.
        """
        self._write_json(SETTINGS, settings)

    def write_test(self, figures: Mapping[str, float]) -> None:
        """Write ``test.json``: what the evaluation on the test set gave.

        Raises
        ------
        ValueError
            If a figure is not finite; the error names it.
        """
        self._write_json(TEST, figures)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None:
        """Save the model, and ``history.csv`` with the epoch's row."""
        vae.save(self.model_path)
        if not self._history:
            self._history.append(["epoch", *figures])
        self._history.append([epoch, *figures.values()])
        text = io.StringIO(newline="")
        csv.writer(text).writerows(self._history)
        write_file(self.folder / HISTORY, text.getvalue().encode())
        self.n_saved += 1

    def discard_if_empty(self) -> None:
        """Where no epoch was saved, take away what the run has written, and its new folder."""
        if self.n_saved == 0:
            (self.folder / SETTINGS).unlink(missing_ok=True)
            if self._is_new and self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def draw(
        self, vae: VAE, images: np.ndarray, history: Mapping[str, Sequence[float]], seed: int
    ) -> None:
        """Draw the three pictures.

        Parameters
        ----------
        vae : VAE
        images : array of shape (n_images, n_features)
            The originals of the reconstructions.
        history : mapping of lists
            As ``fit`` returned it.
        seed : int
            Of the samples.
        """
        from fastvae import plots

        plots.save_figure(plots.reconstructions(vae, images), self.folder / "reconstructions.png")
        plots.save_figure(plots.samples(vae, seed=seed), self.folder / "samples.png")
        plots.save_figure(plots.losses(history), self.folder / "loss.png")

    def _write_json(self, name: str, values: Mapping[str, Any]) -> None:
        text = json.dumps(plain.mapping(values, name), indent=2, allow_nan=False)
        write_file(self.folder / name, f"{text}\n".encode())


def check_free(folder: str | os.PathLike[str]) -> None:
    """Raise a FileExistsError if a folder holds a run."""
    present = [name for name in _MARKS_OF_A_RUN if (Path(folder) / name).exists()]
    if present:
        raise FileExistsError(
            f"output folder {folder} already holds a run ({', '.join(present)}); give a new folder"
        )


def latest_model() -> Path | None:
    """The model file in ``runs/`` that was written last, or None."""
    models = [path for path in ROOT.glob(f"*/{RUN_MODEL}") if path.is_file()]
    return max(models, key=lambda path: path.stat().st_mtime, default=None)


def _next_free(dataset_name: str) -> Path:
    """Make and return the first folder ``runs/<dataset_name>-<n>`` that does not exist."""
    n = 1
    while True:
        folder = ROOT / f"{dataset_name}-{n}"
        try:
            ROOT.mkdir(exist_ok=True)
            folder.mkdir()
        except FileExistsError as error:
            if not ROOT.is_dir():
                raise _unwritable(folder, error) from error
            n += 1
        except OSError as error:
            raise _unwritable(folder, error) from error
        else:
            return folder


def _unwritable(folder: Path, error: OSError) -> OSError:
    return type(error)(f"output folder {folder} cannot be written: {error.strerror or error}")
