"""Callbacks of `VAE.fit`: the base class, and the two that show progress."""

import sys
from collections.abc import Callable
from typing import Any

from fastvae.training.history import Figures, History


class Callback:
    """What `fit` calls while it trains; override what you need.

    `vae` is the `fastvae.VAE` itself. A plain function is taken as `on_epoch_end`. An exception
    raised in a callback ends the training and leaves consistent weights.
    """

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Before the first update."""

    def on_batch(self, vae: Any, epoch: int, n_done: int) -> None:
        """After each run of updates (well under a second): rows of this epoch done so far."""

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """After each epoch, counted from 1; `figures` has the keys of the history."""

    def on_train_end(self, vae: Any, history: History) -> None:
        """After the last epoch, or when an exception ends the training."""


class EpochFunction(Callback):
    """A callback that calls `function(vae, epoch, figures)` after each epoch."""

    def __init__(self, function: Callable[[Any, int, Figures], object]) -> None:
        self.function = function

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Call the function."""
        self.function(vae, epoch, figures)


class PrintEpochs(Callback):
    """Prints a line per epoch."""

    n_epochs = 0

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Remember how many epochs there will be."""
        self.n_epochs = n_epochs

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Print the epoch's line."""
        self.write(epoch_line(epoch, self.n_epochs, vae.n_latent, figures))

    def write(self, line: str) -> None:
        """Write one line to standard output."""
        print(line, flush=True)


class ProgressBar(PrintEpochs):
    """A live bar for the running epoch above which the epochs' lines stay."""

    bar: Any = None

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Open the bar."""
        from tqdm import tqdm

        super().on_train_begin(vae, n_epochs, n_rows)
        self.bar = tqdm(total=n_rows, unit=" samples", unit_scale=True, leave=False)

    def on_batch(self, vae: Any, epoch: int, n_done: int) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}/{self.n_epochs}", refresh=False)
            self.bar.update(n_done - self.bar.n)

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Print the epoch's line and start the bar anew."""
        super().on_epoch_end(vae, epoch, figures)
        if self.bar is not None:
            self.bar.reset()

    def on_train_end(self, vae: Any, history: History) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def write(self, line: str) -> None:
        """Write one line above the bar."""
        from tqdm import tqdm

        tqdm.write(line)


def epoch_line(epoch: int, n_epochs: int, n_latent: int, figures: Figures) -> str:
    """The line that reports one epoch, losses in nats per sample."""
    line = (
        f"epoch {epoch:>{len(str(n_epochs))}}/{n_epochs}  ELBO {figures['elbo']:.2f}  "
        f"reconstruction {figures['reconstruction']:.2f}  KL {figures['kl']:.2f}  "
        f"active units {figures['active_units']:.0f}/{n_latent}  "
        f"{figures['samples_per_second']:,.0f} samples/s"
    )
    if "val_elbo" in figures:
        line += f"  validation ELBO {figures['val_elbo']:.2f}"
    return line


def resolve(callbacks: object, verbose: bool) -> list[Callback]:
    """Return the callbacks as objects, the progress display after them if `verbose`.

    Raises
    ------
    TypeError
        If one of them is neither a Callback nor a function.
    """
    if isinstance(callbacks, Callback) or not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list or tuple of callbacks; got {callbacks!r}")
    resolved: list[Callback] = []
    for callback in callbacks:
        if isinstance(callback, Callback):
            resolved.append(callback)
        elif callable(callback) and not isinstance(callback, type):
            resolved.append(EpochFunction(callback))
        else:
            raise TypeError(
                "callbacks must be Callback objects or functions of (vae, epoch, figures); "
                f"got {callback!r}"
            )
    if verbose:
        resolved.append(ProgressBar() if sys.stderr.isatty() else PrintEpochs())
    return resolved
