"""What commands work on: the model and the data set that the arguments ask for."""

import sys
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastvae
from fastvae import VAE, Dataset
from fastvae.checks.labels import class_labels
from fastvae.checks.quoting import printable, quoted
from fastvae.commands import runs
from fastvae.commands.arguments import DATASETS
from fastvae.data import DataUnavailable, fetch
from fastvae.files import storage

# Together they bound the wait for a download that nobody asked for by name.
_ANSWER_SECONDS = 2.0
_DOWNLOAD_SECONDS = 20.0


def load_model(args: Namespace) -> VAE:
    """Load ``args.model``; store in its place the name or file that was loaded.

    Raises
    ------
    ValueError, OSError
        If there is no such model.
    """
    if args.model is None:
        args.model = str(runs.latest_model() or args.shipped)
        print(f"model: {printable(args.model)}")
    else:
        args.model = str(storage.locate(args.model))
    return fastvae.load(args.model)


def load_model_and_data(args: Namespace) -> tuple[VAE, Dataset]:
    """Load ``args.model``, and ``args.dataset`` or by default what the model was trained on.

    Raises
    ------
    ValueError, OSError
        If either is not to be had, or the data set's rows do not fit the model.
    """
    vae = load_model(args)
    name = args.dataset or _trained_on(vae, args.model)
    # The data sets known by name have test rows; only other ones may need their training rows.
    train_size = 1 if name in DATASETS else None
    dataset = Dataset(name, train_size, args.test_size, data_dir=args.data_dir)
    return vae, _fitting(dataset, vae, args)


def load_data_of(vae: VAE, args: Namespace) -> Dataset:
    """Load all rows of ``args.dataset``, or by default of what the model was trained on.

    Raises
    ------
    ValueError, OSError
        If the data set is not to be had, or its rows do not fit the model.
    """
    name = args.dataset or _trained_on(vae, args.model)
    return _fitting(Dataset(name, data_dir=args.data_dir), vae, args)


def load_data_if_there(vae: VAE, args: Namespace) -> Dataset | None:
    """Load ``args.dataset``; where none is named, what the card names if that needs no download.

    Raises
    ------
    ValueError, OSError
        If the data set that was asked for is not to be had, or its rows do not fit the model.
    """
    if args.dataset or args.data_dir:
        return load_data_of(vae, args)
    name = vae.card.get("dataset")
    if name not in DATASETS:
        return None
    try:
        dataset = Dataset(name, download=False)
    except FileNotFoundError:
        return None
    return dataset if dataset.train.shape[1] == vae.n_features else None


def _fitting(dataset: Dataset, vae: VAE, args: Namespace) -> Dataset:
    """The data set, if its rows fit the model."""
    if dataset.train.shape[1] != vae.n_features:
        raise ValueError(
            f"{args.model} takes rows of {vae.n_features} features; those of {dataset.name} have "
            f"{dataset.train.shape[1]}: name with --dataset data like those it was trained on"
        )
    return dataset


def _trained_on(vae: VAE, model: str) -> str:
    """The data set that a model's card names, if it is one that is known by its name.

    Whoever made a model file does not choose which files are opened on this machine.
    """
    name = vae.card.get("dataset", "mnist")
    if name not in DATASETS:
        raise ValueError(
            f"the card of {model} names the data {quoted(name)}: files that a card names are not "
            "opened; name the data with --dataset FILE"
        )
    return str(name)


def load_training_data(args: Namespace) -> Dataset:
    """Load ``args.dataset``; by default MNIST, and synthetic digits where it cannot be had.

    Raises
    ------
    ValueError, OSError
        If the data set that was asked for is not to be had.
    """
    name = args.dataset or _mnist_or_synthetic(args.data_dir)
    return Dataset(name, args.train_size, args.test_size, data_dir=args.data_dir)


def rows_to_show(dataset: Dataset) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """The test rows and labels of a data set; its training rows where it has no test rows."""
    if len(dataset.test):
        return dataset.test, dataset.test_labels
    return dataset.train, dataset.train_labels


def labels_for(
    vae: VAE, dataset: Dataset, labels: NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """The labels of a data set's rows, where the model is conditional.

    Raises
    ------
    ValueError
        If it is, and the data have none, or others than its classes.
    """
    if not vae.n_classes:
        return None
    if labels is None:
        raise ValueError(
            f"the model is conditional, of {vae.n_classes} classes, and needs labels; "
            f"{dataset.name} has none"
        )
    return class_labels(labels, f"labels of {dataset.name}", len(labels), vae.n_classes)


def _mnist_or_synthetic(data_dir: str | None) -> str:
    try:
        fetch("mnist", data_dir, timeout=_ANSWER_SECONDS, time_limit=_DOWNLOAD_SECONDS)
    except DataUnavailable:
        print(
            "MNIST is neither on disk nor to be downloaded: training on synthetic_digits instead "
            "('fastvae data' says where the files may be put)",
            file=sys.stderr,
        )
        return "synthetic_digits"
    return "mnist"
