"""Animated GIFs: walks through the latent space, and samples as training goes on."""

import io
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from fastvae import kernels
from fastvae.checks import as_array, as_floats, as_labels
from fastvae.files.writing import write_file
from fastvae.model.vae import VAE
from fastvae.plots.drawing import (
    check_picture,
    check_size,
    enlargement,
    shape_of_image,
    tile_images,
)
from fastvae.plots.latents import interpolate
from fastvae.training.callbacks import Callback
from fastvae.training.history import Figures, History

__all__ = ["TrainingFilm", "latent_walk", "prior_walk", "save_gif"]


def save_gif(
    frames: Iterable[np.ndarray], path: str | Path, *, frames_per_second: float = 15
) -> Path:
    """Write grey frames as a GIF that repeats for ever.

    Parameters
    ----------
    frames : arrays of shape (height, width)
        uint8, or floats with 0 as black and 1 as white; what lies outside is clipped. Small
        frames are enlarged by a whole number, to about 600 screen pixels.
    path : str or Path
        Ends in ``.gif``.
    frames_per_second : float

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If there is no frame, or the suffix is another one.
    OSError
        If the file cannot be written; an old one stays.
    """
    path = check_picture(path, (".gif",))
    images = [_to_image(frame) for frame in frames]
    if not images:
        raise ValueError("frames must hold at least one frame; got none")
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / frames_per_second),
        loop=0,
    )
    write_file(path, content.getvalue())
    return path


def latent_walk(
    vae: VAE,
    stops: ArrayLike,
    path: str | Path,
    *,
    labels: ArrayLike | None = None,
    n_steps: int = 20,
    spherical: bool = True,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
) -> Path:
    """Animate the decoded way from each latent to the next, and back to the first.

    Parameters
    ----------
    vae : VAE
    stops : array of shape (n_stops, n_latent) or (n_stops, n_walks, n_latent)
        The latents to pass; several walks run side by side in one picture.
    path : str or Path
        Ends in ``.gif``.
    labels : integer array of shape (n_stops,) or (n_stops, n_walks), optional
        Of a conditional model the classes of the stops: the first half of a way has that of its
        beginning, the second that of its end.
    n_steps : int
        Frames from a stop to the next.
    spherical : bool
        See `fastvae.plots.interpolate`.
    n_columns, image_shape
        See `fastvae.plots.tile_images`.

    Returns
    -------
    Path
        The file written.
    """
    path = check_picture(path, (".gif",))
    stops = as_array(stops, "stops")
    if stops.ndim == 2:
        stops = stops[:, np.newaxis]
    if stops.ndim != 3 or len(stops) < 2:
        raise ValueError(
            "stops must have shape (n_stops, n_latent) or (n_stops, n_walks, n_latent) with at "
            f"least 2 stops; got {stops.shape}"
        )
    shape = shape_of_image(vae.n_features, image_shape)
    check_size(stops.shape[1], n_columns, shape, n_frames=len(stops) * n_steps)
    legs = [
        interpolate(start, end, n_steps + 1, spherical=spherical)[:-1]
        for start, end in zip(stops, np.roll(stops, -1, axis=0), strict=True)
    ]
    of_frames = None if labels is None else _halves(labels, stops.shape[:2], n_steps)
    frames = _decode(vae, np.concatenate(legs), of_frames, n_columns, image_shape)
    return save_gif(frames, path)


def prior_walk(
    vae: VAE,
    path: str | Path,
    *,
    n: int = 100,
    n_frames: int = 60,
    seed: int = 0,
    label: int | str | None = None,
    n_columns: int | None = None,
    image_shape: tuple[int, int] | None = None,
) -> Path:
    """Animate samples from the prior that change smoothly and come back to where they began.

    Frame t shows the latents a cos t + b sin t with a and b from N(0, I): each frame by itself is
    a sample of the prior.

    Parameters
    ----------
    vae : VAE
    path : str or Path
        Ends in ``.gif``.
    n : int
        Samples in the picture.
    n_frames : int
        Frames of the round trip.
    seed : int
    label : int or str, optional
        Of a conditional model the class of all samples, a number or a name; all in turn if missing.
    n_columns, image_shape
        See `latent_walk`.

    Returns
    -------
    Path
        The file written.
    """
    path = check_picture(path, (".gif",))
    check_size(n, n_columns, shape_of_image(vae.n_features, image_shape), n_frames=n_frames)
    ends = np.empty((2, n, vae.n_latent), dtype=np.float32)
    kernels.normal(ends, seed, kernels.STREAM_PRIOR, 0)
    t = np.linspace(0.0, 2 * math.pi, n_frames, endpoint=False, dtype=np.float32)[:, None, None]
    latents = ends[0] * np.cos(t) + ends[1] * np.sin(t)
    labels = None
    if label is not None:
        labels = np.full((n_frames, n), vae.class_number(label))
    elif vae.n_classes:
        labels = np.tile(np.arange(n) % vae.n_classes, (n_frames, 1))
    rows = vae.decode_draws(
        latents.reshape(-1, vae.n_latent), None if labels is None else labels.ravel()
    ).reshape(n_frames, n, -1)
    return save_gif([tile_images(frame, n_columns, image_shape) for frame in rows], path)


class TrainingFilm(Callback):
    """Callback of ``fit`` that animates what becomes of the same latents as training goes on.

    The GIF is written when the training ends, also when it is interrupted, unless that is before
    the first epoch is over.

    Parameters
    ----------
    path : str or Path
        Ends in ``.gif``.
    n : int
        Samples in the picture.
    seed : int
        Of their latents.
    n_columns, image_shape
        See `latent_walk`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        n: int = 100,
        seed: int = 0,
        n_columns: int | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        self.path = check_picture(path, (".gif",))
        self.n = n
        self.seed = seed
        self.n_columns = n_columns
        self.image_shape = image_shape
        self.frames: list[np.ndarray] = []

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        """Take the frame before the first update, where all frames of the training have room."""
        shape = shape_of_image(vae.n_features, self.image_shape)
        check_size(self.n, self.n_columns, shape, n_frames=n_epochs + 1)
        self._take(vae)

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        """Take the epoch's frame."""
        self._take(vae)

    def on_train_end(self, vae: VAE, history: History) -> None:
        """Write the GIF."""
        if len(self.frames) > 1:
            save_gif(self.frames, self.path, frames_per_second=4)

    def _take(self, vae: VAE) -> None:
        rows = vae.sample(self.n, seed=self.seed)
        self.frames.append(tile_images(rows, self.n_columns, self.image_shape))


def _decode(
    vae: VAE,
    latents: np.ndarray,
    labels: np.ndarray | None,
    n_columns: int | None,
    image_shape: tuple[int, int] | None,
) -> list[np.ndarray]:
    """Frames (each one tiled image) of latents of shape (n_frames, n_walks, n_latent)."""
    n_frames, n_walks, n_latent = latents.shape
    flat = None if labels is None else labels.ravel()
    decoded = vae.decode(latents.reshape(-1, n_latent), labels=flat)
    return [
        tile_images(rows, n_columns, image_shape) for rows in decoded.reshape(n_frames, n_walks, -1)
    ]


def _halves(labels: ArrayLike, shape: tuple[int, ...], n_steps: int) -> np.ndarray:
    """The labels of all frames of ways between stops, shape (n_frames, n_walks)."""
    of_stops = as_labels(labels, "labels")
    if of_stops.shape not in (shape, shape[:1]):
        raise ValueError(f"labels must have shape {shape[:1]} or {shape}; got {of_stops.shape}")
    starts = np.broadcast_to(of_stops.reshape(shape[0], -1), shape)
    is_first = (np.arange(n_steps) < (n_steps + 1) // 2)[None, :, None]
    halves = np.where(is_first, starts[:, None], np.roll(starts, -1, axis=0)[:, None])
    return halves.reshape(-1, shape[1])


def _to_image(frame: np.ndarray) -> Image.Image:
    grey = np.rint(np.clip(as_floats(as_array(frame, "frames")), 0, 1) * 255).astype(np.uint8)
    scale = enlargement(*grey.shape)
    return Image.fromarray(np.kron(grey, np.ones((scale, scale), dtype=np.uint8)))
