"""Writing that must not end a training: what fails is warned of and tried again.

A disk that is full at three in the morning may have room at four, and the weights of a week are
worth more than the picture that could not be written.
"""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastvae.files.writing import check_parent
from fastvae.training.callbacks import Callback
from fastvae.training.history import History


class Course:
    """The course of one training: whether an exception is ending it."""

    def __init__(self) -> None:
        self._outer: BaseException | None = None

    def begin(self) -> None:
        """Take note of the exception in whose `except` clause `fit` may have been called."""
        self._outer = sys.exc_info()[1]

    @property
    def is_failing(self) -> bool:
        """Whether an exception, raised since `begin`, is on its way through the callers.

        In an `except` or `finally` clause, an `__exit__`, or what they call; in the same thread.
        """
        return sys.exc_info()[1] not in (None, self._outer)


class PatientWriter:
    """Writes again and again; the first failure is a warning, the last one an error.

    `begin` and `finish` are called where the training begins and ends, in its thread; `write` may
    be called in any thread, by one at a time.
    """

    def __init__(self) -> None:
        self.course = Course()
        self._error: OSError | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt has failed."""
        return self._error is not None

    def begin(self) -> None:
        """Forget what failed in an earlier training."""
        self._error = None
        self.course.begin()

    def write(self, path: str | os.PathLike[str], write: Callable[[], object]) -> bool:
        """Try to write; return whether it went well.

        Parameters
        ----------
        path : path
            What is written, for the warning.
        write : callable
            Writes it, whole or not at all.

        Warns
        -----
        RuntimeWarning
            If there was an OSError; file and reason are named.
        """
        try:
            write()
        except OSError as error:
            self._error = error
            warnings.warn(
                f"{os.fspath(path)} could not be written and will be tried again, the training "
                f"goes on: {error.strerror or error}",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            self._error = None
        return not self.has_failed

    def finish(self) -> None:
        """Raise the OSError of the last attempt, unless another exception is on its way already.

        Raises
        ------
        OSError
            If the last attempt has failed.
        """
        error, self._error = self._error, None
        if error is not None and not self.course.is_failing:
            raise error


class WritingCallback(Callback):
    """A callback that writes files through its `writer`, and raises at the end what failed last."""

    def __init__(self) -> None:
        self.writer = PatientWriter()

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Begin to write."""
        self.writer.begin()

    def on_train_end(self, vae: Any, history: History) -> None:
        """Raise the OSError of the last attempt to write, if it failed."""
        self.writer.finish()


def checked_folder(path: str | os.PathLike[str]) -> Path:
    """Return the path of a folder that can be written in or, where there is none, be made.

    Raises
    ------
    ValueError
        If it is empty.
    OSError
        If it can be neither.
    """
    if not os.fspath(path):
        raise ValueError("the name of a folder must not be empty; got ''")
    checked = Path(path)
    if not checked.exists():
        check_parent(checked)
    else:
        check_parent(checked / "file")
    return checked
