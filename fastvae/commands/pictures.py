"""``fastvae sample``, ``reconstruct``, ``interpolate``, ``manifold``, ``latent``: pictures."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvae import VAE, Dataset, kernels, plots
from fastvae.checks import did_you_mean
from fastvae.checks.quoting import printable, quoted
from fastvae.commands.arguments import BOTH, PRIOR
from fastvae.commands.inputs import (
    labels_for,
    load_data_of,
    load_model,
    load_model_and_data,
    rows_to_show,
)
from fastvae.files.writing import check_file
from fastvae.plots import animation
from fastvae.plots.cells import check_cells
from fastvae.plots.drawing import check_picture
from fastvae.plots.shapes import shape_of_rows

_PICTURES = (".png", ".pdf")
_ANIMATIONS = (".gif",)
_OF_POSTERIOR = ("dataset", "data_dir", "components", "save")
_N_LISTED = 20


def sample(args: Namespace) -> None:
    """Draw samples from the prior, the posterior mixture, or both."""
    path = _output(args, _PICTURES + _ANIMATIONS)
    is_film = path.suffix.lower() in _ANIMATIONS
    _check_source(args, is_film)
    vae = load_model(args)
    label = _class_of(args, vae)
    if args.source != PRIOR:
        _provide_mixture(vae, args)
    look = {"seed": args.seed, "image_shape": args.image_shape}
    if is_film:
        animation.prior_walk(vae, path, n=args.n, label=label, **look)
    elif args.source == BOTH:
        plots.save_figure(plots.prior_and_posterior(vae, args.n, label=label, **look), path)
    elif vae.n_classes and label is None and args.source == PRIOR:
        n_styles = -(-args.n // vae.n_classes)
        plots.save_figure(plots.classes_by_styles(vae, n_styles, **look), path)
    else:
        figure = plots.samples(vae, args.n, label=label, source=args.source, **look)
        plots.save_figure(figure, path)
    _say_written(path)


def _check_source(args: Namespace, is_film: bool) -> None:
    """Refuse options that do not belong to what is to be drawn, before anything is computed."""
    if args.source != PRIOR:
        if is_film:
            raise ValueError(
                f"a .gif shows samples of the prior; got --source {args.source}: let --output end "
                f"in {' or '.join(_PICTURES)}"
            )
        if args.save is not None:
            check_file(args.save)
        return
    for name in _OF_POSTERIOR:
        if name in args.given:
            raise ValueError(
                f"--{name.replace('_', '-')} belongs to --source posterior or both; got --source "
                f"{args.source}"
            )


def _provide_mixture(vae: VAE, args: Namespace) -> None:
    """See that the model has a mixture: its own, unless options ask for a fit; keep it if asked."""
    if vae.posterior_mixture is None or {"dataset", "data_dir", "components"} & args.given:
        dataset = load_data_of(vae, args)
        print(f"fitting a mixture to the latents of {printable(dataset.name)}")
        vae.fit_posterior(dataset, args.components)
    if args.save is not None:
        vae.save(args.save)
        _say_written(Path(args.save))


def reconstruct(args: Namespace) -> None:
    """Draw test images above their reconstructions."""
    path = _output(args, _PICTURES)
    vae, dataset = load_model_and_data(args)
    rows, labels = rows_to_show(dataset)
    labels = labels_for(vae, dataset, labels)
    if args.n > len(rows) and "n" in args.given:
        raise ValueError(f"-n must be at most {len(rows):,}, the rows there are; got {args.n:,}")
    chosen = _permutation(len(rows), args.seed, 0)[: args.n]
    labels = None if labels is None else labels[chosen]
    ax = plots.reconstructions(
        vae,
        rows[chosen],
        labels=labels,
        image_shape=args.image_shape,
        feature_names=dataset.feature_names,
    )
    _say_written(plots.save_figure(ax, path))


def interpolate(args: Namespace) -> None:
    """Draw the way from images to others through the latent space."""
    path = _output(args, _PICTURES + _ANIMATIONS)
    vae, dataset = load_model_and_data(args)
    rows, known = rows_to_show(dataset)
    known = labels_for(vae, dataset, known)
    shape = shape_of_rows(vae, args.image_shape, dataset.feature_names)
    is_film = path.suffix.lower() in _ANIMATIONS
    if is_film:
        check_cells(args.n, None, shape, n_frames=2 * (args.steps - 1))
    else:
        check_cells(args.n * args.steps, args.steps, shape)
    ends = [
        _choose(args, dataset, wanted, option, step)
        for step, (wanted, option) in enumerate(((args.start, "--from"), (args.end, "--to")))
    ]
    if (args.start is None) != (args.end is None):
        option = "--from" if args.start is None else "--to"
        print(f"images without {option} are drawn from all {len(rows):,}, by --seed")
    start, end = (rows[chosen] for chosen in ends)
    labels = None if known is None else (known[ends[0]], known[ends[1]])
    first, last = labels or (None, None)
    look = {"spherical": args.spherical, "image_shape": args.image_shape}
    if is_film:
        stops = np.stack([vae.encode(start, labels=first)[0], vae.encode(end, labels=last)[0]])
        of_stops = None if labels is None else np.stack(labels)
        animation.latent_walk(vae, stops, path, labels=of_stops, n_steps=args.steps - 1, **look)
    else:
        ax = plots.interpolation(
            vae,
            start,
            end,
            labels=labels,
            n_steps=args.steps,
            feature_names=dataset.feature_names,
            **look,
        )
        plots.save_figure(ax, path)
    _say_written(path)


def manifold(args: Namespace) -> None:
    """Draw the decoded grid of a two-dimensional latent space."""
    path = _output(args, _PICTURES)
    vae = load_model(args)
    if vae.n_latent != 2:
        has = "1 latent" if vae.n_latent == 1 else f"{vae.n_latent} latents"
        raise ValueError(
            f"{args.model} has {has}, and a manifold is drawn of 2: try 'fastvae manifold "
            f"{args.shipped}', or train a model with --latent 2"
        )
    label = _class_of(args, vae)
    if vae.n_classes and label is None:
        raise ValueError(
            f"{args.model} is conditional, and a manifold is drawn of one class: name it with "
            "--label"
        )
    ax = plots.manifold(vae, args.n, label=label, image_shape=args.image_shape)
    _say_written(plots.save_figure(ax, path))


def latent(args: Namespace) -> None:
    """Draw where test images lie in the latent space, or each unit's activity."""
    path = _output(args, _PICTURES)
    vae, dataset = load_model_and_data(args)
    rows, labels = rows_to_show(dataset)
    of_model = labels_for(vae, dataset, labels)
    if vae.n_latent < 2 and not args.activity:
        raise ValueError(f"{args.model} has 1 latent, and 2 are drawn: try --activity")
    if args.activity:
        ax = plots.activity(vae, rows, labels=of_model)
    else:
        ax = plots.latent_space(vae, rows, labels, label_names=dataset.label_names)
    _say_written(plots.save_figure(ax, path))


def _class_of(args: Namespace, vae: VAE) -> int | None:
    """The class that --label names, by its name or else its number."""
    if args.label is None:
        return None
    if not vae.n_classes:
        raise ValueError(
            f"--label is for conditional models, which {args.model} is not; train one with "
            "--conditional"
        )
    names = vae.class_names or []
    number = _whole(args.label)
    is_name = args.label in names or number is None
    return vae.class_number(args.label if is_name else number, "--label")  # type: ignore[arg-type]


def _output(args: Namespace, known: tuple[str, ...]) -> Path:
    """The file to write; what is wrong with it shows before anything is computed."""
    return check_picture(args.output, known, "--output")


def _say_written(path: Path) -> None:
    print(f"wrote {printable(str(path))}")


def _choose(
    args: Namespace, dataset: Dataset, wanted: str | None, option: str, step: int
) -> NDArray[np.int64]:
    """Rows that `wanted` (a label, or with --indices a row; None: any) stands for, shape (n,)."""
    rows, labels = rows_to_show(dataset)
    if wanted is None:
        candidates = np.arange(len(rows))
    elif args.indices:
        candidates = np.array([_row(wanted, len(rows), option)])
    elif labels is None:
        raise ValueError(f"{dataset.name} has no labels: give row numbers, with --indices")
    else:
        candidates = _of_class(wanted, labels, dataset.label_names or {}, option)
    order = _permutation(len(candidates), args.seed, step)
    return candidates[np.resize(order, args.n)]


def _row(text: str, n_rows: int, option: str) -> int:
    row = _whole(text)
    if row is None or row < 0:
        raise ValueError(
            f"{option} must be a row number of at least 0, with --indices; got {quoted(text)}"
        )
    if row >= n_rows:
        raise ValueError(f"{option} must be below {n_rows:,}, the rows; got {row:,}")
    return row


def _of_class(
    text: str, labels: NDArray[np.int64], names: Mapping[int, str], option: str
) -> NDArray[np.int64]:
    """Rows whose label has the name, or else is the number, that a text says."""
    wanted = next((label for label, name in names.items() if name == text), _whole(text))
    classes = np.unique(labels).tolist()
    if wanted not in classes:
        known = [names.get(label, str(label)) for label in classes]
        listed = ", ".join(known[:_N_LISTED]) + ", ..." * (len(known) > _N_LISTED)
        got = f"{quoted(text)}{did_you_mean(text, known)}" if wanted is None else text
        raise ValueError(f"{option} must be one of the labels {listed}; got {got}")
    return np.flatnonzero(labels == wanted)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _permutation(n: int, seed: int, step: int) -> NDArray[np.int64]:
    order = np.empty(n, dtype=np.int64)
    kernels.permutation(order, seed, kernels.STREAM_DATASET, step)
    return order
