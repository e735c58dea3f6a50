"""Animated GIFs: walks through the latent space, and samples as training goes on."""

import io
import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from fastvae import kernels
from fastvae.checks import as_array, as_floats, as_labels
from fastvae.files.writing import write_file
from fastvae.model.vae import VAE
from fastvae.plots.cells import check_cells, columns_for
from fastvae.plots.drawing import check_picture, enlargement, grid_of, tile_images
from fastvae.plots.latents import interpolate
from fastvae.plots.profiles import PROFILE, profile_points
from fastvae.plots.shapes import is_profile, shape_of_rows
from fastvae.training.callbacks import Callback
from fastvae.training.history import Figures, History

__all__ = ["TrainingFilm", "latent_walk", "prior_walk", "save_gif"]

_HELD_MS = 1000
_MOST_BYTES = 2_000_000
# Shades, screen pixels of the longer side and which frames: the first that is small enough is kept.
_TRIES = (
    (256, 600, 1),
    (64, 600, 1),
    (32, 600, 1),
    (16, 600, 1),
    (16, 300, 1),
    (16, 300, 2),
    (16, 300, 4),
    (16, 300, 8),
)
_BETWEEN = 200  # the grey between profiles
_STRIP, _MARGIN, _LETTERS = 26, 6, 14  # of captions, in screen pixels


def save_gif(
    frames: Iterable[np.ndarray],
    path: str | Path,
    *,
    frames_per_second: float = 15,
    captions: Sequence[str] | None = None,
    held: Sequence[int] = (0, -1),
) -> Path:
    """Write grey frames as a GIF that repeats for ever.

    A file above 2 MB is made again with fewer shades of grey (64, then 32, then 16), then half as
    large, at last with half of the frames, a quarter and an eighth: the first of these that is
    small enough is written.

    Parameters
    ----------
    frames : arrays of shape (height, width)
        uint8, or floats with 0 as black and 1 as white; what lies outside is clipped. Small
        frames are enlarged by a whole number, to about 600 screen pixels.
    path : str or Path
        Ends in ``.gif``.
    frames_per_second : float
    captions : sequence of str, optional
        What to write below the frames, one text for each.
    held : sequence of int
        Which frames stay for a second: by default the first and the last one.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If there is no frame, there are not as many captions as frames, or the suffix is another
        one.
    OSError
        If the file cannot be written; an old one stays.
    """
    path = check_picture(path, (".gif",))
    greys = [_to_grey(frame) for frame in frames]
    if not greys:
        raise ValueError("frames must hold at least one frame; got none")
    texts = [""] * len(greys) if captions is None else list(captions)
    if len(texts) != len(greys):
        raise ValueError(f"captions must be {len(greys)}, one for each frame; got {len(texts)}")
    durations = np.full(len(greys), round(1000 / frames_per_second))
    durations[list(held)] = np.maximum(durations[list(held)], _HELD_MS)
    for n_shades, side, stride in _TRIES:
        content = _encoded(greys, texts, durations, n_shades, side, stride)
        if len(content) <= _MOST_BYTES:
            break
    write_file(path, content)
    return path


def _encoded(
    greys: Sequence[np.ndarray],
    texts: Sequence[str],
    durations: np.ndarray,
    n_shades: int,
    side: int,
    stride: int,
) -> bytes:
    """The GIF of every `stride`-th frame, and of those that stay longer than most."""
    longer = np.flatnonzero(durations > np.median(durations)).tolist()
    kept = sorted({*range(0, len(greys), stride), *longer, len(greys) - 1})
    # The time of those that are left out goes to the frames before them.
    shown = np.add.reduceat(durations, kept)
    shown = np.where(durations[kept] > np.median(durations), durations[kept], shown)
    images = [_to_image(greys[i], texts[i], n_shades, side) for i in kept]
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=shown.tolist() if len(kept) > 1 else int(shown[0]),
        loop=0,
    )
    return content.getvalue()


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

    The picture stays for a second at each stop; below it stands how much of the way is done.

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
    shape = shape_of_rows(vae, image_shape)
    check_cells(stops.shape[1], n_columns, shape, n_frames=len(stops) * n_steps)
    legs = [
        interpolate(start, end, n_steps + 1, spherical=spherical)[:-1]
        for start, end in zip(stops, np.roll(stops, -1, axis=0), strict=True)
    ]
    latents = np.concatenate(legs)
    n_frames, n_walks, n_latent = latents.shape
    of_frames = None if labels is None else _halves(labels, stops.shape[:2], n_steps).ravel()
    decoded = vae.decode(latents.reshape(-1, n_latent), labels=of_frames)
    frames = _frames(decoded.reshape(n_frames, n_walks, -1), n_columns, shape)
    return save_gif(
        [*frames, frames[0]],
        path,
        captions=_ways(len(stops), n_steps),
        held=range(0, n_frames + 1, n_steps),
    )


def _ways(n_stops: int, n_steps: int) -> list[str]:
    """What to write below the frames of a walk: how much of the way is done."""
    shares = [f"{100 * step / n_steps:.0f} %" for step in range(n_steps)]
    if n_stops == 2:  # there and back
        return [*shares, "100 %", *shares[:0:-1], shares[0]]
    ways = [f"way {i + 1} of {n_stops}: {share}" for i in range(n_stops) for share in shares]
    return [*ways, f"way {n_stops} of {n_stops}: 100 %"]


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
    a sample of the prior. The last frame is the first one again; both stay for a second.

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
    shape = shape_of_rows(vae, image_shape)
    check_cells(n, n_columns, shape, n_frames=n_frames)
    ends = np.empty((2, n, vae.n_latent), dtype=np.float32)
    kernels.normal(ends, seed, kernels.STREAM_PRIOR, 0)
    t = np.linspace(0.0, 2 * math.pi, n_frames, dtype=np.float32)[:, None, None]
    latents = ends[0] * np.cos(t) + ends[1] * np.sin(t)
    labels = None
    if label is not None:
        labels = np.full((n_frames, n), vae.class_number(label))
    elif vae.n_classes:
        labels = np.tile(np.arange(n) % vae.n_classes, (n_frames, 1))
    rows = vae.decode_draws(
        latents.reshape(-1, vae.n_latent), None if labels is None else labels.ravel()
    ).reshape(n_frames, n, -1)
    captions = [f"step {i} of {n_frames}" for i in range(1, n_frames + 1)]
    return save_gif(_frames(rows, n_columns, shape), path, captions=captions)


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
        self.captions: list[str] = []

    def on_train_begin(self, vae: VAE, n_epochs: int, n_rows: int) -> None:
        """Take the frame before the first update, where all frames of the training have room."""
        shape = shape_of_rows(vae, self.image_shape)
        check_cells(self.n, self.n_columns, shape, n_frames=n_epochs + 1)
        self._take(vae, "start")

    def on_epoch_end(self, vae: VAE, epoch: int, figures: Figures) -> None:
        """Take the epoch's frame."""
        self._take(vae, f"epoch {epoch}")

    def on_train_end(self, vae: VAE, history: History) -> None:
        """Write the GIF."""
        if len(self.frames) > 1:
            rows, shape = np.stack(self.frames), shape_of_rows(vae, self.image_shape)
            frames = _frames(rows, self.n_columns, shape)
            save_gif(frames, self.path, frames_per_second=4, captions=self.captions)

    def _take(self, vae: VAE, caption: str) -> None:
        self.frames.append(vae.sample(self.n, seed=self.seed))
        self.captions.append(caption)


def _frames(rows: np.ndarray, n_columns: int | None, shape: tuple[int, int]) -> list[np.ndarray]:
    """Frames, each one tiled image, of rows of shape (n_frames, n, n_features)."""
    if not is_profile(shape):
        return [tile_images(frame, n_columns, shape, fill=1) for frame in rows]
    everything = rows.reshape(-1, rows.shape[-1])
    columns = columns_for(rows.shape[1], n_columns, shape)
    return [
        tile_images(
            _drawn(profile_points(frame, everything), columns), columns, PROFILE, fill=_BETWEEN
        )
        for frame in rows
    ]


def _drawn(points: np.ndarray, n_columns: int | None) -> np.ndarray:
    """Profiles as images, black on white, shape (n, pixels), and white ones that fill the grid."""
    n_lines, n_columns = grid_of(len(points), n_columns, PROFILE[0])
    cells = [np.full(PROFILE[0] * PROFILE[1], 255, np.uint8)] * (n_lines * n_columns)
    for i, line in enumerate(points):
        image = Image.new("L", PROFILE[::-1], 255)
        ImageDraw.Draw(image).line([tuple(point) for point in line.tolist()], fill=0, width=1)
        cells[i] = np.asarray(image).ravel()
    return np.stack(cells)


def _halves(labels: ArrayLike, shape: tuple[int, ...], n_steps: int) -> np.ndarray:
    """The labels of all frames of ways between stops, shape (n_frames, n_walks)."""
    of_stops = as_labels(labels, "labels")
    if of_stops.shape not in (shape, shape[:1]):
        raise ValueError(f"labels must have shape {shape[:1]} or {shape}; got {of_stops.shape}")
    starts = np.broadcast_to(of_stops.reshape(shape[0], -1), shape)
    is_first = (np.arange(n_steps) < (n_steps + 1) // 2)[None, :, None]
    halves = np.where(is_first, starts[:, None], np.roll(starts, -1, axis=0)[:, None])
    return halves.reshape(-1, shape[1])


def _to_grey(frame: np.ndarray) -> np.ndarray:
    grey = np.clip(as_floats(as_array(frame, "frames")), 0, 1) * 255
    return np.rint(grey).astype(np.uint8)


def _to_image(grey: np.ndarray, text: str, n_shades: int, side: int) -> Image.Image:
    """A frame, enlarged, with a text below it, in so many shades."""
    step = 255 / (n_shades - 1)
    shades = np.rint(np.rint(np.arange(256) / step) * step).astype(np.uint8)
    scale = enlargement(grey.shape[0], grey.shape[1], side)
    shown = Image.fromarray(np.kron(shades[grey], np.ones((scale, scale), dtype=np.uint8)))
    if not text:
        return shown
    font = _font()
    width = max(shown.width, math.ceil(font.getlength(text)) + 2 * _MARGIN)
    image = Image.new("L", (width, shown.height + _STRIP), 255)
    image.paste(shown)
    ImageDraw.Draw(image).text((_MARGIN, shown.height + _MARGIN // 2), text, fill=51, font=font)
    return image.point(shades.tolist())


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The letters of all other pictures."""
    return ImageFont.truetype(findfont("DejaVu Sans"), _LETTERS)
