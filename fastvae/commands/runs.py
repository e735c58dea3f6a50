"""Run folders: what one training leaves on disk.

A run folder holds ``settings.json`` (how it is trained), ``checkpoint.safetensors`` (what `fit`
needs to go on; the one before as ``checkpoint.previous.safetensors``), ``model.safetensors`` and
``history.csv`` (both brought up to date after each epoch). When the training is over it gets
``test.json`` (the evaluation) and the pictures ``reconstructions.png``, ``samples.png`` and
``loss.png``.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fastvae.checks import plain
from fastvae.checks.quoting import printable
from fastvae.commands.settings import SETTINGS, read
from fastvae.files.checkpoints import previous_of
from fastvae.files.reading import open_file
from fastvae.files.storage import RUN_MODEL
from fastvae.files.writing import clear_folder, is_writable, lock, write_file
from fastvae.model.vae import VAE
from fastvae.training.callbacks import Callback

ROOT = Path("runs")
CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.csv"
TEST = "test.json"
PICTURES = ("reconstructions.png", "samples.png", "loss.png")
SAMPLES = "samples"
BEST = "best.safetensors"
FILM = "samples.gif"
_MARKS_OF_A_RUN = (RUN_MODEL, HISTORY, SETTINGS, CHECKPOINT)
FILES = (*_MARKS_OF_A_RUN, previous_of(CHECKPOINT).name, BEST, TEST, *PICTURES, FILM)
"""All files that a run may write."""

# The first checkpoint is on the disk before the second epoch ends, if not before the first.
_EPOCHS_WITHOUT_CHECKPOINT = 2


class Run(Callback):
    """A run folder, which no other process trains in meanwhile.

    As a callback of ``fit`` it takes away, when the model changes, what was said of the one before.

    Parameters
    ----------
    folder : Path
        An existing folder; see `create` and `open`.
    is_begun_here : bool
        Whether it held no run before.
    made : sequence of Path
        The folders that were made for this run, outer ones first.

    Attributes
    ----------
    folder : Path
    n_saved : int
        Epochs trained so far, by this process.
    """

    def __init__(self, folder: Path, *, is_begun_here: bool, made: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._is_kept, self._made = not is_begun_here, made
        self.n_saved = 0
        self._lock = _lock(folder)
        for place in (folder, folder / SAMPLES):
            clear_folder(place)

    @classmethod
    def create(cls, dataset_name: str, output: str | os.PathLike[str] | None = None) -> Run:
        """Make the folder of a new run, claim it, and make sure that it can be written.

        Of several processes that want the same folder one gets it, where files can be locked.

        Parameters
        ----------
        dataset_name : str
            Names the folder where `output` is not given: ``runs/<dataset_name>-<n>`` with the
            smallest free n, from 1 on.
        output : path, optional
            The folder; it may exist. What another start that came to nothing has left in it is
            replaced.

        Raises
        ------
        FileExistsError
            If `output` already holds a run.
        BlockingIOError
            If another process trains in it.
        ValueError, OSError
            If the folder cannot be made or written, see `check_output`.
        """
        if output is None:
            folder = _next_free(dataset_name)
            return cls(folder, is_begun_here=True, made=[folder])
        check_output(output)
        folder = Path(output)
        run = cls(folder, is_begun_here=True, made=_make(folder))
        try:
            check_output(folder)  # another process may have trained in it since
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Go on with a run.

        Raises
        ------
        FileNotFoundError, NotADirectoryError
            If there is no run.
        ValueError
            If it cannot be gone on with.
        OSError
            If the folder cannot be written, or another process trains in it.
        """
        folder = Path(folder)
        if not folder.exists():
            raise FileNotFoundError(f"there is no run folder {folder}")
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file; give its run folder, {folder.parent}")
        if not any((folder / name).exists() for name in _MARKS_OF_A_RUN):
            raise FileNotFoundError(f"{folder} holds no run: there is no {SETTINGS} in it")
        if not is_writable(folder):
            raise _unwritable(folder, PermissionError(os.strerror(errno.EACCES)))
        run = cls(folder, is_begun_here=False)
        if not run.can_be_gone_on_with:
            run.close()
            raise ValueError(
                f"{folder} has no checkpoint ({CHECKPOINT}) and cannot be gone on with: it was "
                "trained by an earlier version, or the file was taken away"
            )
        return run

    @property
    def model_path(self) -> Path:
        """Path of the model file."""
        return self.folder / RUN_MODEL

    @property
    def checkpoint_path(self) -> Path:
        """Path of the checkpoint."""
        return self.folder / CHECKPOINT

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.checkpoint_path.exists()

    @property
    def can_be_gone_on_with(self) -> bool:
        """Whether there is a checkpoint, or no more than a beginning, which is begun anew."""
        return self.has_checkpoint or not self._has_more_than_a_beginning()

    @property
    def command_to_go_on(self) -> str:
        """What to type to go on with the run."""
        return _command_to_go_on(self.folder)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Write ``settings.json``.

        Raises
        ------
        TypeError, ValueError
            If a value is not plain JSON data: see `plain.mapping`.
        """
        self._write_json(SETTINGS, settings)

    def write_test(self, figures: Mapping[str, Any]) -> None:
        """Write ``test.json``: what the evaluation on the test set gave, of which data.

        Raises
        ------
        ValueError
            If a figure is not finite; the error names it.
        """
        self._write_json(TEST, figures)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Mapping[str, float]) -> None:
        """Count the epoch; evaluation and pictures tell of another model now."""
        self.n_saved += 1
        for name in (TEST, *PICTURES):
            with suppress(OSError):  # what cannot be removed cannot be replaced, which is said
                (self.folder / name).unlink(missing_ok=True)

    def keep(self) -> None:
        """Let the folder stay, though nothing but its settings may have been saved."""
        self._is_kept = True

    def discard_if_empty(self, *, is_worthless: bool = False) -> None:
        """Where nothing was saved, take away what the run has written, and its new folders.

        Parameters
        ----------
        is_worthless : bool
            Whether a checkpoint is nothing to go on from: the training has diverged, or not begun.
        """
        if self._is_kept or self.model_path.exists():
            return
        if self.has_checkpoint and not is_worthless:
            return
        for path in (self.checkpoint_path, previous_of(self.checkpoint_path)):
            path.unlink(missing_ok=True)
        (self.folder / SETTINGS).unlink(missing_ok=True)
        for folder in (self.folder / SAMPLES, *reversed(self._made)):
            with suppress(OSError):  # it is not there, or not empty
                folder.rmdir()

    def close(self) -> None:
        """Let other processes train in the folder."""
        os.close(self._lock)

    def draw(
        self,
        vae: VAE,
        images: np.ndarray,
        history: Mapping[str, Sequence[float]],
        seed: int,
        labels: np.ndarray | None = None,
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
            Of the samples: all classes of a conditional model, in the same styles.
        labels : array of shape (n_images,), optional
            Of the originals, for a conditional model.
        """
        from fastvae import plots

        reconstructions, samples, losses = (self.folder / name for name in PICTURES)
        plots.save_figure(plots.reconstructions(vae, images, labels=labels), reconstructions)
        draw = plots.classes_by_styles if vae.n_classes else plots.samples
        plots.save_figure(draw(vae, seed=seed), samples)
        plots.save_figure(plots.losses(history), losses)

    def _has_more_than_a_beginning(self) -> bool:
        """Whether a model was trained so long that there must have been a checkpoint."""
        try:
            with open_file(self.folder / HISTORY) as file:
                n_epochs = sum(1 for _ in file) - 1
        except FileNotFoundError:
            n_epochs = 0
        is_over = (self.folder / TEST).exists()
        has_settings = (self.folder / SETTINGS).exists()
        is_long = n_epochs > _EPOCHS_WITHOUT_CHECKPOINT and self.model_path.exists()
        return is_over or not has_settings or is_long

    def _write_json(self, name: str, values: Mapping[str, Any]) -> None:
        text = json.dumps(plain.mapping(values, name), indent=2, allow_nan=False)
        write_file(self.folder / name, f"{text}\n".encode())


def check_output(output: str | os.PathLike[str] | None) -> None:
    """Make sure that a new run can be begun in a folder, or in ``runs/``; make nothing.

    Settings by themselves are those of a start that was killed before it trained an epoch.

    Raises
    ------
    FileExistsError
        If there is a run, or a file that a run would write.
    ValueError
        If it is the current folder or the root of the file system.
    OSError
        If it is no folder, or can be neither made nor written.
    """
    if output is None:
        _check_place(ROOT)
        return
    folder = Path(output)
    place = os.path.realpath(folder)
    if place in (os.path.realpath(os.curdir), os.path.realpath(os.sep)):
        raise ValueError(
            f"output folder {os.fspath(output)!r} must be a folder of its own, not the current "
            "folder or the root of the file system"
        )
    _check_place(folder)
    present = [name for name in FILES if (folder / name).exists()]
    if present == [SETTINGS]:
        with suppress(ValueError):
            read(folder)
            return
    if present:
        going_on = f", or go on with  {_command_to_go_on(folder)}" if SETTINGS in present else ""
        raise FileExistsError(
            f"output folder {folder} already holds a run ({', '.join(present)}); give a new folder"
            f"{going_on}"
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


def _make(folder: Path) -> list[Path]:
    """Make a folder and those that it is to stand in; return which were made, outer ones first."""
    made: list[Path] = []
    try:
        for place in reversed((folder, *folder.parents)):
            if place.is_dir():
                continue
            try:
                place.mkdir()
                made.append(place)
            except FileExistsError:
                if not place.is_dir():  # else another process was quicker
                    raise
    except OSError as error:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()
        raise _unwritable(folder, error) from error
    return made


def _check_place(folder: Path) -> None:
    """Raise an OSError unless there is a folder that can be written, or can be made."""
    try:
        place = next(place for place in (folder, *folder.parents) if _is_there(place))
        if not place.is_dir():
            raise NotADirectoryError(os.strerror(errno.ENOTDIR))
        if not is_writable(place):
            raise PermissionError(os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _is_there(path: Path) -> bool:
    """Whether there is something of that name; raises an OSError for a name that cannot be."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _command_to_go_on(folder: Path) -> str:
    return f"fastvae train --resume {printable(shlex.quote(str(folder)))}"


def _unwritable(folder: Path, error: OSError) -> OSError:
    return type(error)(f"output folder {folder} cannot be written: {error.strerror or error}")


def _lock(folder: Path) -> int:
    """A descriptor of the folder that no other process can get at the same time.

    The system lets go of it when the process ends, however it ends.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if _is_taken(descriptor, folder):
        os.close(descriptor)
        raise BlockingIOError(f"another process trains in {folder}")
    return descriptor


def _is_taken(descriptor: int, folder: Path) -> bool:
    """Lock a folder; return whether another process has it, or has taken it away since."""
    if not lock(descriptor):
        return True
    try:
        return not os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return True
