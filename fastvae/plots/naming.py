"""Where names stand in a picture, so that none covers another one."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_N_ANGLES = 24
_STEP = 5.0  # pixels from a ring of places to the next
_GAP = 3.0  # pixels between names
_N_ON_LEADER = 24  # points of a leader line that are looked at


def places(anchors: Array, sizes: Array, low: Array, high: Array) -> Array:
    """Centres of names, each on what it names, or beside it where another name would be covered.

    The first that can stand on their anchors do. The other ones go outwards, the outermost first,
    to the nearest place where neither name nor leader line covers a name. Where there is no
    such place, a leader line may.

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
    stay: list[int] = []
    for i in range(len(anchors)):
        if not _covers(found[i : i + 1], half[i], found[stay], half[stay]).any():
            stay.append(i)
    placed = list(stay)
    moved = sorted(
        set(range(len(anchors))) - set(stay),
        key=lambda i: (-float(np.linalg.norm(anchors[i] - centre)), i),
    )
    radius = float(np.linalg.norm(high - low))
    for i in moved:
        tried = _around(anchors[i], centre, radius)
        inside = ((tried >= low + half[i]) & (tried <= high - half[i])).all(axis=1)
        free = inside & ~_covers(tried, half[i], found[placed], half[placed])
        if not free.any():
            free = inside if inside.any() else np.ones(len(tried), dtype=np.bool_)
        clear = free & ~_crosses(tried, anchors[i], found[placed], half[placed])
        clear &= ~_hides(tried, half[i], anchors[placed], found[placed])
        found[i] = tried[int((clear if clear.any() else free).argmax())]
        placed.append(i)
    return found


def _around(anchor: Array, centre: Array, radius: float) -> Array:
    """Places around an anchor, the nearest first, and of the same distance the outer ones first."""
    outwards = np.arctan2(*(anchor - centre)[::-1])
    turns = np.array([(i + 1) // 2 * (-1) ** i for i in range(_N_ANGLES)]) * 2 * np.pi / _N_ANGLES
    angles = outwards + turns
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    rings = np.arange(_STEP, radius, _STEP)
    return np.asarray(anchor + rings[:, None, None] * directions).reshape(-1, 2)


def _covers(tried: Array, half: Array, others: Array, halves: Array) -> NDArray[np.bool_]:
    """Whether a name at each place would cover one of the others, shape (n_tried,)."""
    apart = np.abs(tried[:, None] - others)
    is_near: NDArray[np.bool_] = np.all(apart < half + halves, axis=2)
    return np.asarray(is_near.any(axis=1))


def _crosses(tried: Array, anchor: Array, others: Array, halves: Array) -> NDArray[np.bool_]:
    """Whether the leader line from each place would run through one of the other names."""
    share = np.linspace(0, 1, _N_ON_LEADER)[:, None]
    points = tried[:, None] + share * (anchor - tried)[:, None]
    crossed = np.zeros(len(tried), dtype=np.bool_)
    for other, half in zip(others, halves, strict=True):
        crossed |= np.asarray((np.abs(points - other) < half).all(axis=2)).any(axis=1)
    return crossed


def _hides(tried: Array, half: Array, anchors: Array, others: Array) -> NDArray[np.bool_]:
    """Whether a name at each place would cover the leader line of one of the others."""
    share = np.linspace(0, 1, _N_ON_LEADER)[:, None, None]
    points = (anchors + share * (others - anchors)).reshape(-1, 2)
    is_near: NDArray[np.bool_] = np.all(np.abs(tried[:, None] - points) < half, axis=2)
    return np.asarray(is_near.any(axis=1))
