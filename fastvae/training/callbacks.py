"""Callbacks of `VAE.fit`: the base class, and the two that show progress."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from fastvae.training.history import Figures, History


class Callback:
    """What `fit` calls while it trains; override what you need.

    `vae` is the `fastvae.VAE` itself. A plain function is taken as `on_epoch_end`. Several
    callbacks are called in the order in which they were given. An exception raised in one ends the
    training and leaves consistent weights.

    Notes
    -----
    The order of the calls:

    1. `load_state_dict`, only where a run is resumed.
    2. `on_train_begin`.
    3. For each epoch `on_epoch_begin`, `on_batch` after each run of updates, and `on_epoch_end`.
       A resumed run that goes on in the middle of an epoch does not begin that epoch again.
    4. `on_train_end`: after the last epoch, after `vae.stop_training`, and when an exception ends
       the training, whatever it is.

    `state_dict` may be called between any two of these, whenever a checkpoint is written.

    What a callback may change, in every hook up to `on_epoch_end`; the next update goes by it:

    - `vae.stop_training`: True ends the training after the present run of updates; set in
      `on_train_begin`, nothing is trained.
    - `vae.learning_rate_factor`: every rate of the schedule is multiplied by it.
    - `vae.beta` (where `fit` was given no schedule of it), `vae.reconstruction_weight`, `vae.seed`,
      `vae.updates`, `vae.card`.
    - Weights and biases, by assigning those of a layer (`vae.named_layers()`).

    In `on_train_end` weights may be set, too: they are those that the model is left with.
    """

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Before the first update.

        Parameters
        ----------
        vae : VAE
            The model. Where a run is resumed, `vae.history` holds its finished epochs.
        n_epochs : int
            How many epochs the run has in all, those before it was resumed among them.
        n_rows : int
            Rows of an epoch.
        """

    def on_epoch_begin(self, vae: Any, epoch: int) -> None:
        """Before the first update of each epoch, counted from 1."""

    def on_batch(self, vae: Any, epoch: int, n_done: int) -> None:
        """After each run of updates (well under a second): rows of this epoch done so far."""

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """After each epoch; `figures` has the keys of the history, where they stand already."""

    def on_train_end(self, vae: Any, history: History) -> None:
        """After the last epoch, or when an exception ends the training."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback must know to go on in another process.

        Returns
        -------
        dict
            Flat: plain JSON values and NumPy arrays by names of its own. Arrays are kept as they
            are, not copied: replace them, never change them in place.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, before `on_train_begin` of the resumed run."""


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
