"""Callbacks of `VAE.fit`: the base class, and the two that show progress."""

import sys
from collections.abc import Mapping
from typing import Any, cast

from fastvae.training.bars import is_terminal, open_bar
from fastvae.training.history import Figures, History
from fastvae.training.hooks import (
    HOOKS,
    CallbackLike,
    EpochHook,
    check_call,
    check_hooks,
    has_hooks,
    missing_hooks,
)


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
       A resumed run that goes on in the middle of an epoch does not begin that epoch again. A
       hook that an exception ended is called again, of all callbacks, with the states and the
       numbers (not the weights) from before it.
    4. `on_train_end`: after the last epoch, after `vae.stop_training`, and when an exception ends
       the training, whatever it is.

    `state_dict` is called after each of the hooks under 3, with checkpoints and without.

    What a callback may change, in every hook up to `on_epoch_end`; the next update goes by it:

    - `vae.stop_training`: True ends the training after the present run of updates; set in
      `on_train_begin`, nothing is trained.
    - `vae.learning_rate_factor`: every rate of the schedule is multiplied by it.
    - `vae.beta` (where `fit` was given no schedule of it), `vae.reconstruction_weight`, `vae.seed`,
      `vae.updates`, `vae.card`. Where the weight says what sigma is, change it between epochs: the
      nats of an epoch would be those of several sigmas.
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
            Flat: plain JSON values (finite numbers) and NumPy arrays by names of its own. Arrays
            are kept as they are, not copied: replace them, never change them in place.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, before `on_train_begin` of the resumed run."""


class EpochFunction(Callback):
    """A callback that calls `function(vae, epoch, figures)` after each epoch."""

    def __init__(self, function: EpochHook) -> None:
        self.function = function

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Call the function."""
        self.function(vae, epoch, figures)


class PrintEpochs(Callback):
    """Prints a line per epoch.

    Attributes
    ----------
    n_epochs : int
        How many epochs the run has.
    """

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
    """A live bar for the rows of the whole run, above which the epochs' lines stay.

    A resumed run starts where it is, and the time left is reckoned from what is done since then.

    Attributes
    ----------
    bar : tqdm or None
        The bar, while it is shown.
    n_epochs, n_rows : int
        How many epochs the run has, and rows an epoch.
    """

    bar: Any = None
    n_rows = 0
    _is_in_sight = False

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Open the bar, at the end of the last finished epoch."""
        super().on_train_begin(vae, n_epochs, n_rows)
        self.n_rows, self._is_in_sight = n_rows, False
        self.bar = open_bar(
            total=n_epochs * n_rows,
            initial=n_rows * (vae.history.n_epochs if vae.history is not None else 0),
            unit=" samples",
            unit_scale=True,
            leave=False,
            dynamic_ncols=True,
            smoothing=0,  # the mean speed: between epochs there are validation and callbacks
        )

    def on_epoch_begin(self, vae: Any, epoch: int) -> None:
        """Note that the epoch's rows are all done in sight of the bar."""
        self._is_in_sight = True

    def on_batch(self, vae: Any, epoch: int, n_done: int) -> None:
        """Move the bar."""
        if self.bar is None:
            return
        self.bar.set_description(f"epoch {epoch}/{self.n_epochs}", refresh=False)
        position = (epoch - 1) * self.n_rows + n_done
        if not self._is_in_sight:  # resumed within an epoch: its first rows took no time
            self.bar.initial = self.bar.n = position
            self._is_in_sight = True
        self.bar.update(position - self.bar.n)

    def on_train_end(self, vae: Any, history: History) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def write(self, line: str) -> None:
        """Write one line above the bar."""
        from tqdm import tqdm

        if sys.stdout is not None:
            tqdm.write(line)


def epoch_line(epoch: int, n_epochs: int, n_latent: int, figures: Figures) -> str:
    """The line that reports one epoch, losses in nats per sample, in at most 80 characters.

    The reconstruction is in the ELBO and the KL; the history has it, and the rest, by name. Where
    a bound of several latents was trained, it comes first, and the ELBO in place of the KL; the
    number of latents gives way to it.
    """
    name, title, beside, of, units = "elbo", "ELBO", "kl", "KL", f"/{n_latent}"
    if "bound" in figures:
        name, title, beside, of, units = "bound", "bound", "elbo", "ELBO", ""
    validation = f"  val {figures[f'val_{name}']:.2f}" if "val_elbo" in figures else ""
    seconds = figures["seconds"]
    decimals = (seconds < 10) + (seconds < 100)
    return (
        f"epoch {epoch:>{len(str(n_epochs))}}/{n_epochs}  {title} {figures[name]:.2f}{validation}  "
        f"{of} {figures[beside]:.2f}  active {figures['active_units']:.0f}{units}  "
        f"{seconds:.{decimals}f} s"
    )


def resolve(callbacks: object, verbose: bool) -> list[CallbackLike]:
    """Return the callbacks as objects, with `verbose` a progress display after or among them.

    Raises
    ------
    TypeError
        If one of them is neither a callback nor a function, cannot be called as it is going to be,
        or has a hook that is likely misspelt.
    """
    if isinstance(callbacks, Callback) or not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list or tuple of callbacks; got {callbacks!r}")
    resolved = [_resolved(callback) for callback in callbacks]
    if verbose and not any(isinstance(one, PrintEpochs) for one in resolved):
        resolved.append(ProgressBar() if is_terminal() else PrintEpochs())
    return resolved


def _resolved(callback: Any) -> CallbackLike:
    """A callback as an object that has all hooks; see `resolve`."""
    if not isinstance(callback, type):
        if isinstance(callback, Callback) or has_hooks(callback):
            check_hooks(callback)
            return cast(CallbackLike, callback)
        if callable(callback):
            check_call(callback, HOOKS["on_epoch_end"], "a function among callbacks")
            return EpochFunction(callback)
    advice = ""
    lacking = missing_hooks(callback)
    if isinstance(callback, type):
        advice = "; it is a class: give an object of it"
    elif lacking:
        advice = f", which has no {', '.join(lacking)}: derive its class from Callback"
    raise TypeError(
        "callbacks must be Callback objects or functions of (vae, epoch, figures); "
        f"got {callback!r}{advice}"
    )
