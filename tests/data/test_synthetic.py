"""Synthetic digits: drawn right, like MNIST in what can be counted, the same for every call."""

from __future__ import annotations

import hashlib

import numba
import numpy as np
import numpy.typing as npt
import pytest

from fastvae.data import FACTORS, SyntheticDigits, synthetic_digits
from fastvae.data import skeletons as skeletons_module
from fastvae.data.strokes import PEN_CORNER, PEN_DOWN, POINTS_PER_SPAN, draw_strokes
from fastvae.data.synthetic import TEST_FIRST

Floats = npt.NDArray[np.float64]
RIM = 1.1


def draw(control: Floats, pen: list[int], size: float, radius: Floats, tangent: float) -> Floats:
    """Draw one image of 28 x 28 with the kernel; the workspace is poisoned."""
    image = np.full((1, 784), 99, np.uint8)
    path = np.full((1, len(pen) * POINTS_PER_SPAN, 4), np.nan)
    draw_strokes(
        image,
        control[None],
        np.array([pen], np.uint8),
        np.array([tangent]),
        np.array([size]),
        radius[None],
        path,
        np.full((1, 784), np.nan),
    )
    return image.reshape(28, 28).astype(np.float64)


def reference(
    control: Floats, pen: list[int], size: float, radius: Floats, tangent: float
) -> Floats:
    """The same in NumPy, and the curve by its matrix."""
    pieces = []
    for c in range(len(pen) - 1):
        if not pen[c] & PEN_DOWN:
            continue
        starts = c == 0 or not pen[c - 1] & PEN_DOWN or pen[c] & PEN_CORNER
        ends = not pen[c + 1] & PEN_DOWN or pen[c + 1] & PEN_CORNER
        p1, p2 = control[c], control[c + 1]
        m1 = 2 * tangent * (p2 - p1) if starts else tangent * (p2 - control[c - 1])
        m2 = 2 * tangent * (p2 - p1) if ends else tangent * (control[c + 2] - p1)
        t = np.linspace(0, 1, POINTS_PER_SPAN + 1)[:, None]
        hermite = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [-3, 3, -2, -1], [2, -2, 1, 1]])
        points = t ** np.arange(4) @ hermite @ np.stack([p1, p2, m1, m2])
        radii = radius[c] + t * (radius[c + 1] - radius[c])
        row = np.hstack([points, radii])
        pieces.append(np.hstack([row[:-1], row[1:]]))
    segments = np.concatenate(pieces)
    ends_xy = np.concatenate([segments[:, :2], segments[:, 3:5]])
    extent = np.ptp(ends_xy, axis=0).max()
    scale = (size - 2 * segments[:, [2, 5]].max() - RIM) / extent
    shift = 14 - scale * (ends_xy.min(axis=0) + ends_xy.max(axis=0)) / 2
    segments[:, [0, 1, 3, 4]] *= scale
    segments[:, [0, 1, 3, 4]] += np.tile(shift, 2)
    drawn = reference_coverage(segments)
    pixel = np.stack(np.meshgrid(np.arange(28), np.arange(28)), axis=-1)
    segments[:, [0, 1, 3, 4]] += np.tile(
        14 - (drawn[..., None] * pixel).sum(axis=(0, 1)) / drawn.sum(), 2
    )
    return 255 * reference_coverage(segments)


def reference_coverage(segments: Floats) -> Floats:
    """Every pixel against every segment."""
    a, b = segments[:, :2], segments[:, 3:5]
    pixel = np.stack(np.meshgrid(np.arange(28), np.arange(28)), axis=-1)[:, :, None]
    along = ((pixel - a) * (b - a)).sum(-1) / ((b - a) ** 2).sum(-1)
    along = np.clip(along, 0, 1)
    distance = np.linalg.norm(pixel - a - along[..., None] * (b - a), axis=-1)
    reach = segments[:, 2] + along * (segments[:, 5] - segments[:, 2])
    coverage: Floats = np.clip(0.5 + (reach - distance) / RIM, 0, 1).max(axis=-1)
    return coverage


def test_straight_stroke_by_hand() -> None:
    """A vertical bar of radius 1.9 on column 14; the rim is 1.1 pixels wide."""
    control = np.array([[0.3, 0.0], [0.3, 1.0]])
    image = draw(control, [PEN_DOWN, 0], 20.0, np.full(2, 1.9), 0.5)
    full, edge = 255, round(255 * (0.5 + (1.9 - 2) / RIM))
    assert image[14].tolist() == [0] * 12 + [edge] + [full] * 3 + [edge] + [0] * 11
    # The ink is 20 long: 10 up and down from the middle, where the rim has faded to 0.
    assert np.flatnonzero(image[:, 14]).tolist() == list(range(5, 24))


STROKES = [
    [PEN_DOWN, 0],
    [PEN_DOWN] * 5 + [0],
    [PEN_DOWN, PEN_DOWN | PEN_CORNER, PEN_DOWN, 0],
    [PEN_DOWN, 0, PEN_DOWN, PEN_DOWN, 0],
    [PEN_DOWN, PEN_DOWN, PEN_DOWN, 0, 0, 0],
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pen", STROKES)
def test_kernel_against_numpy(pen: list[int], seed: int) -> None:
    """Rounding to a grey level aside (half a level, and 1e-9 for the order of operations)."""
    rng = np.random.default_rng(seed)
    control = rng.random((len(pen), 2))
    arguments = (control, pen, 20.0, rng.uniform(0.7, 2.0, len(pen)), 0.55)
    difference = np.abs(draw(*arguments) - reference(*arguments))
    assert difference.max() <= 0.5 + 1e-9


def content(digits: SyntheticDigits, start: int = 0, stop: int | None = None) -> list[bytes]:
    """The bytes of images, labels and factors from start to stop."""
    arrays = (digits.images, digits.labels, digits.factors)
    return [array[start:stop].tobytes() for array in arrays]


def test_same_seed_same_bytes() -> None:
    first, again = synthetic_digits(500, seed=5), synthetic_digits(500, seed=5)
    assert content(first) == content(again)
    assert synthetic_digits(500, seed=6).images.tobytes() != first.images.tobytes()


def test_image_depends_on_seed_and_index_only() -> None:
    """Any range is the same as cut out of a longer one, across the blocks of 1,024."""
    whole = synthetic_digits(2500, seed=2**63 + 1)
    for first, n in ((0, 1), (0, 1024), (7, 30), (1000, 100), (1024, 1024), (2499, 1), (3, 0)):
        part = synthetic_digits(n, seed=2**63 + 1, first=first)
        assert content(part) == content(whole, first, first + n)


def test_threads_do_not_matter() -> None:
    before = numba.get_num_threads()
    digests = set()
    try:
        for threads in (1, min(2, before)):
            numba.set_num_threads(threads)
            digests.add(hashlib.sha256(synthetic_digits(300, seed=1).images.tobytes()).hexdigest())
    finally:
        numba.set_num_threads(before)
    assert len(digests) == 1


def test_test_images_are_others() -> None:
    train, test = synthetic_digits(2000), synthetic_digits(2000, first=TEST_FIRST)
    assert not {row.tobytes() for row in train.images} & {row.tobytes() for row in test.images}


def test_statistics_come_near_mnist() -> None:
    """Over 10,000 images; MNIST's figures: mean 33.3, 80.9 % zeros, extent 19.7 x 15.7 pixels."""
    digits = synthetic_digits(10_000)
    images = digits.images.reshape(-1, 28, 28).astype(np.float64)
    assert images.mean() == pytest.approx(33.3, abs=1.5)
    assert (images == 0).mean() == pytest.approx(0.809, abs=0.015)
    rows, columns = (images > 0).any(axis=2).sum(axis=1), (images > 0).any(axis=1).sum(axis=1)
    assert rows.mean() == pytest.approx(19.7, abs=0.7)
    assert columns.mean() == pytest.approx(15.7, abs=0.7)
    assert max(rows.max(), columns.max()) <= 22
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (images.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / mass
        # Centred before the last drawing: moved by part of a pixel, the rims round otherwise.
        assert np.abs(centre - 14).max() < 0.25


def test_classes_are_even_and_every_skeleton_is_used() -> None:
    """Counts of 10,000 draws with p = 0.1 have a deviation of 30: five of them are allowed."""
    digits = synthetic_digits(10_000, seed=4)
    assert np.abs(np.bincount(digits.labels, minlength=10) - 1000).max() < 150
    alphabet = skeletons_module.load()
    used = set(zip(digits.labels.tolist(), digits.factors["variant"].tolist(), strict=True))
    known = {
        (digit, variant)
        for digit in range(10)
        for variant in range(int((alphabet.digit == digit).sum()))
    }
    assert used == known


def test_labels_can_be_read_from_the_images() -> None:
    """The nearest class mean of other images names most digits (chance: 10 %)."""
    train, test = synthetic_digits(4000), synthetic_digits(1000, first=TEST_FIRST)
    means = np.stack([train.images[train.labels == d].mean(axis=0) for d in range(10)])
    distance = ((test.images[:, None].astype(np.float64) - means) ** 2).sum(axis=2)
    assert (distance.argmin(axis=1) == test.labels).mean() > 0.6


def test_factors_shape_the_images() -> None:
    """Pen, slant and scale can be measured in the images."""
    digits = synthetic_digits(5000, seed=9)
    assert digits.factors.dtype.names == FACTORS
    images = digits.images.reshape(-1, 28, 28).astype(np.float64)
    mass = images.sum(axis=(1, 2))
    assert np.corrcoef(digits.factors["pen"], mass)[0, 1] > 0.6
    y, x = np.mgrid[:28, :28] - 14.0
    ones = digits.labels == 1
    shear = -(images * x * y).sum(axis=(1, 2)) / (images * y * y).sum(axis=(1, 2))
    assert np.corrcoef(digits.factors["slant"][ones], shear[ones])[0, 1] > 0.8
    longest = np.maximum((images > 0).any(axis=2).sum(axis=1), (images > 0).any(axis=1).sum(axis=1))
    # A box of s pixels touches at most s + 1; it is fitted for the pen's widest place.
    assert (longest - digits.factors["scale"]).max() <= 1
    assert (longest - digits.factors["scale"]).mean() > -1


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="n and first must not be negative; got n=-1, first=0"):
        synthetic_digits(-1)
    with pytest.raises(ValueError, match="seed must be an integer between .*; got -3"):
        synthetic_digits(1, seed=-3)
    with pytest.raises(TypeError):
        synthetic_digits(1.5)  # type: ignore[arg-type]
