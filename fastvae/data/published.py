"""The published data sets that can be had by name: their files, checksums and labels."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
"""The four files of most data sets, without `.gz`, by what they hold."""

EMNIST_SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    name : the name to ask for it by, also the name of its folder
    mirrors : base addresses, each ending in "/", in the order in which they are tried; none where
        no checksums are published, so that nothing is downloaded
    md5 : checksum of each compressed file, by the keys of `FILES`
    md5_plain : checksum of each decompressed file, where known
    files : its four files, by the same keys
    folder : what torchvision calls its folder
    archive_folders : folders in which its files lie as they are handed on
    home : where its files can be had by hand
    is_transposed : whether images are stored with their columns as rows
    label_names : what its labels stand for, where that is not the label itself
    """

    name: str
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]
    md5_plain: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    folder: str = ""
    archive_folders: tuple[str, ...] = ("raw",)
    home: str = ""
    is_transposed: bool = False
    label_names: Mapping[int, str] | None = None


def _by_file(*checksums: str) -> dict[str, str]:
    return dict(zip(FILES, checksums, strict=False))


def _emnist(split: str) -> Source:
    """One of the six ways in which EMNIST is split; its files lie together with the others'."""
    merged = string.digits + string.ascii_uppercase + "abdefghnqrt"
    characters = {
        "balanced": merged,
        "bymerge": merged,
        "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    }.get(split)
    names = None if characters is None else dict(enumerate(characters))
    if split == "letters":
        names = dict(enumerate(string.ascii_uppercase, start=1))
    return Source(
        f"emnist_{split}",
        (),
        {},
        {},
        {
            role: f"emnist-{split}-{role.replace('_', '-')}-{kind}"
            for role, kind in zip(FILES, ("idx3-ubyte", "idx1-ubyte") * 2, strict=True)
        },
        "EMNIST",
        ("raw", "gzip", "emnist_source_files"),
        "the archive gzip.zip of NIST, https://www.nist.gov/itl/products-and-services/emnist-dataset",
        is_transposed=True,
        label_names=names,
    )


SOURCES = {
    source.name: source
    for source in (
        Source(
            "mnist",
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            _by_file(
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            _by_file(
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
            folder="MNIST",
        ),
        Source(
            "fashion_mnist",
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            _by_file(
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            _by_file(
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
            folder="FashionMNIST",
        ),
        Source(
            "kmnist",
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            _by_file(
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
            {},
            folder="KMNIST",
        ),
        Source(
            "qmnist",
            ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
            _by_file(
                "ed72d4157d28c017586c42bc6afe6370",
                "0058f8dd561b90ffdd0f734c6a30e5e4",
                "1394631089c404de565df7b7aeaf9412",
                "5b5b05890a5e13444e108efe57b788aa",
            ),
            {},
            {
                "train_images": "qmnist-train-images-idx3-ubyte",
                "train_labels": "qmnist-train-labels-idx2-int",
                "test_images": "qmnist-test-images-idx3-ubyte",
                "test_labels": "qmnist-test-labels-idx2-int",
            },
            folder="QMNIST",
        ),
        *map(_emnist, EMNIST_SPLITS),
    )
}
"""The data sets known by name."""


def simple(name: str) -> str:
    """A name without what differs between those who hand the files on."""
    return name.translate(_MARKS).lower()


_MARKS = str.maketrans("", "", "-_.")


def known_name(name: str) -> str | None:
    """The data set's name of `SOURCES` that a name stands for: also `EMNIST-letters`."""
    return next((known for known in SOURCES if simple(known) == simple(name)), None)
