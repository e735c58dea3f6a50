"""``fastvae sample``, ``reconstruct``, ``interpolate``, ``manifold``, ``latent``: pictures."""

from argparse import Namespace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvae import Dataset, kernels, plots
from fastvae.checks.quoting import printable
from fastvae.commands.inputs import load_model, load_model_and_data, rows_to_show
from fastvae.plots import animation
from fastvae.plots.drawing import check_picture, check_size, shape_of_image

_PICTURES = (".png", ".pdf")
_ANIMATIONS = (".gif",)


def sample(args: Namespace) -> None:
    """Draw samples from the prior."""
    path = _output(args, _PICTURES + _ANIMATIONS)
    vae = load_model(args)
    if path.suffix.lower() in _ANIMATIONS:
        animation.prior_walk(vae, path, n=args.n, seed=args.seed, image_shape=args.image_shape)
    else:
        ax = plots.samples(vae, args.n, seed=args.seed, image_shape=args.image_shape)
        plots.save_figure(ax, path)
    _say_written(path)


def reconstruct(args: Namespace) -> None:
    """Draw test images above their reconstructions."""
    path = _output(args, _PICTURES)
    vae, dataset = load_model_and_data(args)
    rows, _ = rows_to_show(dataset)
    if args.n > len(rows):
        raise ValueError(f"-n must be at most {len(rows):,}, the rows there are; got {args.n:,}")
    chosen = _permutation(len(rows), args.seed, 0)[: args.n]
    ax = plots.reconstructions(vae, rows[chosen], image_shape=args.image_shape)
    _say_written(plots.save_figure(ax, path))


def interpolate(args: Namespace) -> None:
    """Draw the way from images to others through the latent space."""
    path = _output(args, _PICTURES + _ANIMATIONS)
    vae, dataset = load_model_and_data(args)
    rows, _ = rows_to_show(dataset)
    shape = shape_of_image(vae.n_features, args.image_shape)
    is_film = path.suffix.lower() in _ANIMATIONS
    if is_film:
        check_size(args.n, None, shape, n_frames=2 * (args.steps - 1))
    else:
        check_size(args.n * args.steps, args.steps, shape)
    start = rows[_choose(args, dataset, args.start, "--from", 0)]
    end = rows[_choose(args, dataset, args.end, "--to", 1)]
    look = {"spherical": args.spherical, "image_shape": args.image_shape}
    if is_film:
        stops = np.stack([vae.encode(start)[0], vae.encode(end)[0]])
        animation.latent_walk(vae, stops, path, n_steps=args.steps - 1, **look)
    else:
        plots.save_figure(plots.interpolation(vae, start, end, n_steps=args.steps, **look), path)
    _say_written(path)


def manifold(args: Namespace) -> None:
    """Draw the decoded grid of a two-dimensional latent space."""
    path = _output(args, _PICTURES)
    vae = load_model(args)
    if vae.n_latent != 2:
        has = "1 latent" if vae.n_latent == 1 else f"{vae.n_latent} latents"
        raise ValueError(
            f"{args.model} has {has}, and a manifold is drawn of 2: try  fastvae manifold "
            f"{args.shipped}, or train a model with --latent 2"
        )
    ax = plots.manifold(vae, args.n, image_shape=args.image_shape)
    _say_written(plots.save_figure(ax, path))


def latent(args: Namespace) -> None:
    """Draw where test images lie in the latent space, or each unit's activity."""
    path = _output(args, _PICTURES)
    vae, dataset = load_model_and_data(args)
    rows, labels = rows_to_show(dataset)
    if vae.n_latent < 2 and not args.activity:
        raise ValueError(f"{args.model} has 1 latent, and 2 are drawn: try --activity")
    ax = plots.activity(vae, rows) if args.activity else plots.latent_space(vae, rows, labels)
    _say_written(plots.save_figure(ax, path))


def _output(args: Namespace, known: tuple[str, ...]) -> Path:
    """The file to write; what is wrong with it shows before anything is computed."""
    return check_picture(args.output, known, "--output")


def _say_written(path: Path) -> None:
    print(f"wrote {printable(str(path))}")


def _choose(
    args: Namespace, dataset: Dataset, wanted: int | None, option: str, step: int
) -> NDArray[np.int64]:
    """Rows that `wanted` (a label, or with --indices a row; None: any) stands for, shape (n,)."""
    rows, labels = rows_to_show(dataset)
    if wanted is None:
        candidates = np.arange(len(rows))
    elif args.indices:
        if wanted >= len(rows):
            raise ValueError(f"{option} must be below {len(rows):,}, the rows; got {wanted:,}")
        candidates = np.array([wanted])
    elif labels is None:
        raise ValueError(f"{dataset.name} has no labels: give row numbers, with --indices")
    else:
        candidates = np.flatnonzero(labels == wanted)
        if len(candidates) == 0:
            known = ", ".join(str(label) for label in np.unique(labels))
            raise ValueError(f"{option} must be one of the labels {known}; got {wanted}")
    order = _permutation(len(candidates), args.seed, step)
    return candidates[np.resize(order, args.n)]


def _permutation(n: int, seed: int, step: int) -> NDArray[np.int64]:
    order = np.empty(n, dtype=np.int64)
    kernels.permutation(order, seed, kernels.STREAM_DATASET, step)
    return order
