"""Folders of pictures: layouts, kinds of pictures, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fastvae import Dataset
from fastvae.commands.cli import main
from fastvae.data import image_folders

Pixels = npt.NDArray[Any]


def picture(number: int) -> Pixels:
    return np.arange(number, number + 12, dtype=np.uint8).reshape(4, 3)


def put(path: Path, number: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(path, **options)
    return path


def rows(*numbers: int) -> Pixels:
    return np.array([picture(number).reshape(-1) for number in numbers])


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for name, number in (("b.png", 2), ("a.PNG", 1), ("c.bmp", 3), ("d.pgm", 4)):
        put(tmp_path / name, number)
    data = Dataset(tmp_path)
    np.testing.assert_array_equal(data.train, rows(1, 2, 3, 4))
    assert data.train.dtype == np.uint8
    assert data.train_labels is None
    assert data.label_names is None
    assert data.test.shape == (0, 12)
    assert data.name == str(tmp_path)


def test_what_is_no_picture_is_skipped(tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    put(tmp_path / ".hidden.png", 2)
    put(tmp_path / ".hidden" / "b.png", 3)
    put(tmp_path / "deep" / "deeper" / "b.png", 3)
    (tmp_path / "README.txt").write_text("text")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf")
    (tmp_path / "folder.png").mkdir()
    np.testing.assert_array_equal(Dataset(tmp_path).train, rows(1))


@pytest.mark.parametrize(
    ("names", "numbers", "label_names"),
    [
        (["cat", "dog", "Ant"], [1, 2, 0], {0: "Ant", 1: "cat", 2: "dog"}),
        (["3", "10", "07"], [3, 10, 7], None),
        (["1", "01"], [1, 0], {0: "01", 1: "1"}),
        (["1", "x"], [0, 1], {0: "1", 1: "x"}),
        (["-1", "1"], [0, 1], {0: "-1", 1: "1"}),
        (["9" * 30], [0], {0: "9" * 30}),
    ],
)
def test_folders_of_classes(
    tmp_path: Path, names: list[str], numbers: list[int], label_names: dict[int, str] | None
) -> None:
    for i, name in enumerate(names):
        put(tmp_path / name / "a.png", 10 * i)
        put(tmp_path / name / "b.png", 10 * i + 1)
    (tmp_path / "empty").mkdir()
    data = Dataset(str(tmp_path))
    order = np.argsort(np.array(names))
    assert data.label_names == label_names
    assert data.train_labels is not None
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.tolist() == [numbers[i] for i in order for _ in range(2)]
    expected = [10 * i + j for i in order for j in range(2)]
    np.testing.assert_array_equal(data.train, rows(*expected))


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "testing")])
@pytest.mark.parametrize("has_classes", [False, True])
def test_train_and_test(tmp_path: Path, train: str, test: str, has_classes: bool) -> None:
    """A class that only one part has is numbered among all; other parts are left out."""
    inner = ("ant", "cat") if has_classes else ("", "")
    put(tmp_path / train / inner[1] / "a.png", 1)
    put(tmp_path / test / inner[0] / "b.png", 2)
    put(tmp_path / test / inner[1] / "c.png", 3)
    put(tmp_path / "val" / inner[1] / "d.png", 4)
    data = Dataset(tmp_path)
    np.testing.assert_array_equal(data.train, rows(1))
    np.testing.assert_array_equal(data.test, rows(2, 3))
    labels = [
        None if held is None else held.tolist() for held in (data.train_labels, data.test_labels)
    ]
    assert labels == ([[1], [0, 1]] if has_classes else [None, None])


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def grey16() -> bytes:
    deep = np.array([[0, 257, 65535, 128], [300, 129, 128 * 257, 1]], np.uint16)
    return encoded(Image.fromarray(deep))


COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8).repeat(2, axis=0)
LUMA = [76, 150, 29, 9]
ALPHA = np.array([[255, 255, 128, 0]] * 2, np.uint8)
GREY = np.full((2, 4), 200, np.uint8)
FADED = [200, 200, 100, 0] * 2

KINDS: dict[str, tuple[bytes, list[int]]] = {
    "16 bits": (grey16(), [0, 1, 255, 0, 1, 1, 128, 0]),
    "1 bit": (encoded(Image.fromarray(GREY > 100)), [255] * 8),
    "colours": (encoded(Image.fromarray(COLOURS)), LUMA * 2),
    "colours, BMP": (encoded(Image.fromarray(COLOURS), "BMP"), LUMA * 2),
    "colours, PPM": (encoded(Image.fromarray(COLOURS), "PPM"), LUMA * 2),
    "palette": (encoded(Image.fromarray(COLOURS).quantize(4)), LUMA * 2),
    "alpha": (encoded(Image.fromarray(np.dstack([GREY, GREY, GREY, ALPHA]))), FADED),
    "grey and alpha": (encoded(Image.fromarray(np.dstack([GREY, ALPHA]))), FADED),
    "JPEG": (encoded(Image.fromarray(GREY), "JPEG"), [200] * 8),
    "JPEG, CMYK": (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), [200] * 8),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_pictures(tmp_path: Path, kind: str) -> None:
    """The content tells what a picture is, whatever it is named."""
    content, expected = KINDS[kind]
    (tmp_path / "a.png").write_bytes(content)
    found = Dataset(tmp_path).train
    assert found.dtype == np.uint8
    assert found.tolist() == [expected]


def test_a_transparent_colour_of_a_palette(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).quantize(4)
    white = image.getpixel((1, 0))
    image.save(tmp_path / "a.png", transparency=white)
    assert Dataset(tmp_path).train.tolist() == [[76, 0, 29, 9] * 2]


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width: int, height: int, pixels: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


SOUND = encoded(Image.fromarray(picture(0)))
TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))
UNSOUND = r"b\.png is not a sound picture: "
FAULTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", UNSOUND + "it is in none of the formats PNG.*; it is an empty file"),
    "text": (b"hello", UNSOUND + ".*; it is a text"),
    "GIF": (encoded(Image.fromarray(GREY), "GIF"), "it is in none of the formats PNG, JPEG"),
    "TIFF": (encoded(Image.fromarray(GREY), "TIFF"), "it is in none of the formats PNG, JPEG"),
    "cut off": (SOUND[:-30], UNSOUND + "."),
    "cut in the header": (SOUND[:20], UNSOUND + "."),
    "flipped": (SOUND[:45] + b"\0\0\0" + SOUND[48:], UNSOUND + "."),
    "another size": (
        encoded(Image.fromarray(GREY)),
        r"b\.png has 4 x 2 pixels; expected the 3 x 4 of 'a\.png'",
    ),
    "turned": (encoded(Image.fromarray(picture(0).T.copy())), "4 x 3 pixels; expected the 3 x 4"),
    "a bomb": (png(40_000, 40_000, zlib.compress(bytes(10**6))), UNSOUND + "Image size"),
    "less than all": (png(3, 4, zlib.compress(bytes(3))), UNSOUND + "."),
    "much text": (png(3, 4, zlib.compress(bytes(16)), TEXT), UNSOUND + "."),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    put(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Dataset(tmp_path)
    assert str(caught.value).isprintable()
    assert "0x" not in str(caught.value)
    if fault == "a bomb":
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.png is not a sound picture"):
            Dataset(tmp_path)


def test_lengths_that_lie_and_large_files(tmp_path: Path) -> None:
    """A part that announces 4 GB costs none, nor is a file of a gigabyte of zeros read."""
    put(tmp_path / "a.png")
    place = SOUND.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(SOUND[:place] + b"\xff" * 4 + SOUND[place + 4 :])
    tracemalloc.start()
    with suppress(ValueError):  # all pixels are there before the end is missed
        Dataset(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    with (tmp_path / "b.png").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match=UNSOUND + "it has more than 150,994,944 bytes"):
        Dataset(tmp_path)


def test_the_first_picture_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(5000, 5000, zlib.compress(bytes(25_005_000))))
    with pytest.raises(ValueError, match="has 5000 x 5000 pixels; expected at most 16,777,216"):
        Dataset(tmp_path)


def test_layouts_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures .*; it holds nothing"):
        Dataset(tmp_path)
    (tmp_path / "notes\x1b.txt").touch()
    with pytest.raises(ValueError, match=r"it holds 'notes\\x1b\.txt'"):
        Dataset(tmp_path)
    put(tmp_path / "class" / "a.png")
    put(tmp_path / "cover.png")
    with pytest.raises(
        ValueError, match=r"holds pictures, such as 'cover\.png', beside folders .* 'class'"
    ):
        Dataset(tmp_path)
    (tmp_path / "cover.png").unlink()
    put(tmp_path / "train" / "a.png")
    put(tmp_path / "test" / "class" / "a.png")
    with pytest.raises(
        ValueError, match="must have folders of classes in train and test, or neither"
    ):
        Dataset(tmp_path)
    put(tmp_path / "training" / "a.png")
    with pytest.raises(ValueError, match="holds both 'train' and 'training'"):
        Dataset(tmp_path)


def test_pipes_and_circles(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "circle").symlink_to(".")
    with pytest.raises(ValueError, match="beside folders of pictures, such as 'circle'"):
        Dataset(tmp_path)
    (tmp_path / "circle").unlink()
    np.testing.assert_array_equal(Dataset(tmp_path).train, rows(0))


def test_links_to_nothing_are_missing_pictures(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "c.png").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        Dataset(tmp_path)


def test_comments_without_end_take_no_time(tmp_path: Path) -> None:
    for comments in (b"#" + bytes(1 << 25) + b"\n", b"# 8 8 255\n" * (1 << 21)):
        (tmp_path / "a.pgm").write_bytes(b"P5\n8 " + comments + b"8 255\n" + bytes(64))
        with pytest.raises(ValueError, match=r"a\.pgm is not a sound picture: its header has more"):
            Dataset(tmp_path)
    (tmp_path / "a.pgm").write_bytes(b"P4\n# seen\n800 800\n" + bytes(80_000))
    assert Dataset(tmp_path).train.shape == (1, 640_000)
    (tmp_path / "a.pgm").write_bytes(b"P5\n# seen\n800 # wide\n800\n255\n" + bytes(640_000))
    assert Dataset(tmp_path).train.shape == (1, 640_000)


def test_no_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.png")

    def refuse(*args: Any) -> None:
        raise MemoryError("unable to allocate")

    monkeypatch.setattr(image_folders, "_grey", refuse)
    with pytest.raises(MemoryError, match=r"there is no memory for .*a\.png: unable"):
        Dataset(tmp_path)


def test_nobody_elses_warnings_are_lost(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    before = list(warnings.filters)
    Dataset(tmp_path)
    assert list(warnings.filters) == before


@pytest.mark.slow
def test_training_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(10):
        put(tmp_path / "own" / "train" / str(i % 2) / f"{i}.png", 20 * i)
        put(tmp_path / "own" / "test" / str(i % 2) / f"{i}.png", 20 * i + 5)
    options = ["--hidden", "8", "--latent", "2", "--epochs", "1", "--no-pictures"]
    assert main(["train", "--dataset", "own/", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "data    own: 10 training, 10 test rows" in captured.out
    assert Path("runs/own-1").is_dir()
    monkeypatch.chdir(tmp_path / "own")
    assert main(["train", "--dataset", ".", *options, "--quiet"]) == 0
    assert Path("runs/data-1").is_dir()


@pytest.mark.slow
def test_mnist_as_pictures(tmp_path: Path, mnist_dir: Path) -> None:
    mnist = Dataset("mnist", data_dir=mnist_dir, train_size=2000, test_size=500)
    for part, images, labels in (
        ("training", mnist.train, mnist.train_labels),
        ("testing", mnist.test, mnist.test_labels),
    ):
        assert labels is not None
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = tmp_path / part / str(label) / f"{i:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.reshape(28, 28)).save(path)
    data = Dataset(tmp_path)
    assert mnist.train_labels is not None
    order = np.argsort(mnist.train_labels, kind="stable")
    np.testing.assert_array_equal(data.train, mnist.train[order])
    np.testing.assert_array_equal(data.train_labels, mnist.train_labels[order])
    assert data.test.shape == (500, 784)
