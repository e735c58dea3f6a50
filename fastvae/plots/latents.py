"""Ways through the latent space, and its projection on a plane."""

import numpy as np
from numpy.typing import ArrayLike

from fastvae.checks import as_array


def interpolate(
    start: ArrayLike, end: ArrayLike, n_steps: int, *, spherical: bool = False
) -> np.ndarray:
    """Latents on the way from `start` to `end`, both included.

    Parameters
    ----------
    start, end : arrays of shape (..., n_latent)
    n_steps : int
        At least 2.
    spherical : bool
        Along the great circle (slerp: Shoemake 1985, "Animating rotation with quaternion curves",
        section 3.3; for latents White 2016, arXiv:1609.04468, section 2.1) in place of the straight
        line. It keeps the norm that samples of a high-dimensional prior have. Where the two
        directions are the same, opposite or undefined there is no such circle, and the straight
        line is taken.

    Returns
    -------
    array of shape (n_steps, ..., n_latent)
    """
    start, end = as_array(start, "start"), as_array(end, "end")
    if start.shape != end.shape:
        raise ValueError(
            f"start and end must have the same shape; got {start.shape} and {end.shape}"
        )
    if n_steps < 2:
        raise ValueError(f"n_steps must be at least 2; got {n_steps}")
    t = np.linspace(0.0, 1.0, n_steps).reshape(-1, *[1] * start.ndim)
    weight_start, weight_end = 1.0 - t, t
    if spherical:
        norms = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
        cosine = (start * end).sum(axis=-1) / np.where(norms > 0, norms, 1.0)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))[..., np.newaxis]
        sine = np.sin(angle)
        on_circle = (norms[..., np.newaxis] > 0) & (sine > 1e-3)
        safe = np.where(on_circle, sine, 1.0)
        weight_start = np.where(on_circle, np.sin((1.0 - t) * angle) / safe, weight_start)
        weight_end = np.where(on_circle, np.sin(t * angle) / safe, weight_end)
    path = weight_start * start + weight_end * end
    return np.asarray(path, dtype=np.result_type(start, np.float32))


def principal_components(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project points (n, d) on their two directions of largest variance.

    Returns
    -------
    (n, 2) array, and the share of the total variance of each of the two
    """
    centred = points - points.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:2]
    # A singular vector's sign is arbitrary; the largest weight is made positive, so that the
    # same data gives the same picture on every machine.
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    total = (singular**2).sum()
    share = singular[:2] ** 2 / (total if total > 0 else 1.0)
    return centred @ (directions * signs[:, np.newaxis]).T, share
