"""The model of ``fastvae train``, from its options and the data."""

from argparse import Namespace

from fastvae import VAE, Dataset
from fastvae.checks.quoting import printable
from fastvae.commands import plan


def new_model(args: Namespace, dataset: Dataset) -> VAE:
    """A new model.

    Raises
    ------
    ValueError, MemoryError
        If the options do not fit the data, or no memory holds it.
    """
    try:
        return _built(args, dataset)
    except MemoryError as error:
        raise MemoryError(f"{error}: take smaller --hidden or --latent") from error


def _built(args: Namespace, dataset: Dataset) -> VAE:
    n_classes, names = _classes(args, dataset)
    return VAE.from_sizes(
        n_features=dataset.train.shape[1],
        hidden=plan.hidden(args),
        n_latent=args.latent,
        activation=args.activation,
        output_activation=args.output_activation,
        likelihood=args.likelihood,
        sigma=args.sigma,
        missing=args.missing,
        beta=args.beta,
        reconstruction_weight=args.reconstruction_weight,
        seed=args.seed,
        n_classes=n_classes,
        prior=args.prior,
        class_names=names,
    )


def _classes(args: Namespace, dataset: Dataset) -> tuple[int, list[str] | None]:
    """The number of classes of a conditional model, none of another, and their names if known.

    Raises
    ------
    ValueError
        If the data have no labels, or labels that are no numbers of classes.
    """
    if not args.conditional:
        return 0, None
    parts = [dataset.train_labels, dataset.test_labels if len(dataset.test) else None]
    labels = [part for part in parts if part is not None]
    if dataset.train_labels is None or (len(dataset.test) and dataset.test_labels is None):
        where = "training" if dataset.train_labels is None else "test"
        raise ValueError(
            f"--conditional needs labels, and the {where} rows of {printable(dataset.name)} have "
            "none"
        )
    least, most = min(int(y.min()) for y in labels), max(int(y.max()) for y in labels)
    if least < 0 or most >= len(dataset.train):
        raise ValueError(
            "--conditional needs labels that number the classes from 0 on, of which there are "
            f"fewer than the {len(dataset.train):,} training rows; those of "
            f"{printable(dataset.name)} go from {least} to {most}"
        )
    n_classes, names = most + 1, dataset.label_names or {}
    listed = [names.get(label, "") for label in range(n_classes)]
    is_named = all(listed) and len(set(listed)) == n_classes
    return n_classes, listed if is_named else None
