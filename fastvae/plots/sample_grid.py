"""The callback that draws samples as the training goes on."""

import os
from typing import Any

from fastvae import checks
from fastvae.training.history import Figures, History
from fastvae.training.patience import WritingCallback, checked_folder


class SampleGrid(WritingCallback):
    """Draws samples of the same latents every few epochs, and after the last one.

    The pictures are ``samples-0010.png``, ``samples-0020.png`` and so on, by the epoch. A write
    that fails is a RuntimeWarning, and the next epoch is drawn instead; only if the last one has
    failed, too, the training ends with its OSError.

    Parameters
    ----------
    folder : path
        Is made when the training begins, if it does not exist.
    every : int
        Epochs from a picture to the next.
    n : int
        Samples in a picture.
    seed : int
        Of their latents.
    n_columns, image_shape
        See `fastvae.plots.tile_images`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it must be.
    OSError
        If the folder that it is to be made in does not exist, or something cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int,
        *,
        n: int = 100,
        seed: int = 0,
        n_columns: int | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.folder = checked_folder(folder)
        self.every = checks.integer(every, "every")
        self.n = checks.integer(n, "n")
        self.seed = checks.seed(seed)
        self.n_columns = n_columns
        self.image_shape = image_shape
        self._last = self._drawn = 0

    def __repr__(self) -> str:
        return f"SampleGrid({os.fspath(self.folder)!r}, every={self.every})"

    def on_train_begin(self, vae: Any, n_epochs: int, n_rows: int) -> None:
        """Make the folder, where the pictures are not too large."""
        from fastvae.plots.cells import check_cells
        from fastvae.plots.shapes import shape_of_rows

        check_cells(self.n, self.n_columns, shape_of_rows(vae, self.image_shape))
        super().on_train_begin(vae, n_epochs, n_rows)
        self.folder.mkdir(exist_ok=True)
        self._last = self._drawn = 0

    def on_epoch_end(self, vae: Any, epoch: int, figures: Figures) -> None:
        """Draw, where it is time to."""
        self._last = epoch
        if epoch % self.every == 0 or self.writer.has_failed:
            self._draw(vae)

    def on_train_end(self, vae: Any, history: History) -> None:
        """Draw what the last epoch has made of the model, unless an exception ends the training."""
        if self._drawn < self._last and not self.writer.course.is_failing:
            self._draw(vae)
        super().on_train_end(vae, history)

    def _draw(self, vae: Any) -> None:
        from fastvae.plots.drawing import save_figure
        from fastvae.plots.pictures import samples

        drawn = samples(
            vae,
            self.n,
            seed=self.seed,
            n_columns=self.n_columns,
            image_shape=self.image_shape,
        )
        path = self.folder / f"samples-{self._last:04d}.png"
        if self.writer.write(path, lambda: save_figure(drawn, path)):
            self._drawn = self._last
