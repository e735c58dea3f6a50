"""Where names stand in a picture, so that none covers another one."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_N_ANGLES = 24
_STEP = 5.0  # pixels from a ring of places to the next
_GAP = 3.0  # pixels between names
_FURTHEST = 1000.0  # pixels that one name may go for a place where nothing is covered
_N_ON_LEADER = 24  # points of a leader line that are looked at


def places(anchors: Array, sizes: Array, low: Array, high: Array) -> Array:
    """Centres of names, each on what it names, or beside it where another name would be covered.

    Those that can stand on their anchors do, where they cover no other anchor. The other ones go
    outwards, the outermost first, to the nearest place where neither name nor leader line covers a
    name. Where there is no such place near enough, a leader line may.

    Parameters
    ----------
    anchors, sizes : arrays of shape (n, 2)
        What is named, and width and height of the names, in pixels.
    low, high : arrays of shape (2,)
        Between these the names stand.

    Returns
    -------
    array of shape (n, 2)
        The same for the same input.
    """
    half = sizes / 2 + _GAP / 2
    centre = anchors.mean(axis=0)
    found = np.clip(anchors, low + half, np.maximum(high - half, low + half))
    points = np.zeros_like(half)
    stay: list[int] = []
    for i in range(len(anchors)):
        others = np.arange(len(anchors)) != i
        hides = _covers(found[i : i + 1], half[i], anchors[others], points[others])
        if not (hides | _covers(found[i : i + 1], half[i], found[stay], half[stay])).any():
            stay.append(i)
    placed = list(stay)
    moved = sorted(
        set(range(len(anchors))) - set(stay),
        key=lambda i: (-float(np.linalg.norm(anchors[i] - centre)), i),
    )
    for i in moved:
        found[i] = _place(i, anchors, half, found, placed, low, high)
        placed.append(i)
    return found


def _place(
    i: int, anchors: Array, half: Array, found: Array, placed: list[int], low: Array, high: Array
) -> Array:
    """The nearest place for a name: one that covers nothing, else no name, else any."""
    taken, halves = found[placed], half[placed]
    points = np.zeros_like(half)
    second: Array | None = None
    # Where names crowd, a long leader line would be harder to follow than one that is covered.
    furthest = _FURTHEST / np.sqrt(len(anchors))
    radius = float(np.linalg.norm(high - low))
    for distance, tried in _around(anchors[i], anchors.mean(axis=0), radius):
        if second is not None and distance > furthest:
            return second
        inside = ((tried >= low + half[i]) & (tried <= high - half[i])).all(axis=1)
        tried = tried[inside]
        tried = tried[~_covers(tried, half[i], taken, halves)]
        if second is None and len(tried):
            second = tried[0]
        tried = tried[~_covers(tried, half[i], anchors, points)]
        tried = tried[~_hides(tried, half[i], anchors[placed], taken)]
        tried = tried[~_crosses(tried, anchors[i], taken, halves)]
        if len(tried):
            return np.asarray(tried[0])
    return found[i] if second is None else second


def _around(anchor: Array, centre: Array, radius: float) -> Iterator[tuple[float, Array]]:
    """Yield rings of places around an anchor and their distances, in each the outer ones first."""
    outwards = np.arctan2(*(anchor - centre)[::-1])
    turns = np.array([(i + 1) // 2 * (-1) ** i for i in range(_N_ANGLES)]) * 2 * np.pi / _N_ANGLES
    angles = outwards + turns
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    for distance in np.arange(_STEP, radius, _STEP):
        yield float(distance), anchor + distance * directions


def _covers(tried: Array, half: Array, others: Array, halves: Array) -> NDArray[np.bool_]:
    """Whether a name at each place would cover one of the others, shape (n_tried,)."""
    apart = np.abs(tried[:, None] - others)
    is_near: NDArray[np.bool_] = np.all(apart < half + halves, axis=2)
    return np.asarray(is_near.any(axis=1))


def _crosses(tried: Array, anchor: Array, others: Array, halves: Array) -> NDArray[np.bool_]:
    """Whether the leader line from each place would run through one of the other names."""
    share = np.linspace(0, 1, _N_ON_LEADER)[:, None]
    points = tried[:, None] + share * (anchor - tried)[:, None]
    is_near: NDArray[np.bool_] = np.all(np.abs(points[:, :, None] - others) < halves, axis=3)
    return np.asarray(is_near.any(axis=(1, 2)))


def _hides(tried: Array, half: Array, anchors: Array, others: Array) -> NDArray[np.bool_]:
    """Whether a name at each place would cover the leader line of one of the others."""
    share = np.linspace(0, 1, _N_ON_LEADER)[:, None, None]
    points = (anchors + share * (others - anchors)).reshape(-1, 2)
    is_near: NDArray[np.bool_] = np.all(np.abs(tried[:, None] - points) < half, axis=2)
    return np.asarray(is_near.any(axis=1))
