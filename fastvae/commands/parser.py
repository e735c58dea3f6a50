"""The parser of the whole command line: each command with its options, their defaults and units."""

from argparse import SUPPRESS
from typing import get_args

from fastvae import __version__
from fastvae.commands.arguments import (
    BOTH,
    DATA_DIR,
    IMAGE_SHAPE,
    PRIOR,
    SHIPPED,
    THREADS,
    Command,
    Parser,
    count,
    data_options,
    model,
    option,
    output,
    path_name,
    seed,
    steps,
)
from fastvae.commands.explore_options import EXPLORE
from fastvae.commands.train_options import BINARIZATIONS, TRAIN
from fastvae.model.defaults import N_COMPONENTS
from fastvae.model.names import SampleSource

_EVALUATE = Command(
    "evaluate",
    "models:evaluate",
    "report ELBO, reconstruction, KL and active units on a test set",
    "Evaluate a model on the test rows of a data set (its training rows where it has no test "
    "rows). Losses are in nats per sample. With --nll also log p(x), which papers report.",
    groups={"data": data_options()},
    options=[
        model(),
        option(
            "--samples",
            metavar="K",
            type=count,
            default=1,
            help="draws of the latents that the reconstruction loss is averaged over "
            "(default: %(default)s)",
        ),
        option(
            "--binarize",
            choices=BINARIZATIONS,
            metavar="NAME",
            help="make values in [0, 1] binary, for bernoulli: dynamic (each drawn as 0 or 1, by "
            "the seed), threshold (1 from 0.5 on) or fixed (each drawn once, as in training) "
            "(default: take them as they are)",
        ),
        option(
            "--nll",
            metavar="K",
            type=count,
            help="estimate log p(x) by importance sampling with K latents per row, 5000 in most "
            "papers (default: do not)",
        ),
        option(
            "--test-draws",
            metavar="N",
            type=count,
            default=1,
            help="how often the rows are drawn, with --binarize dynamic; figures are means over "
            "the draws, of the seeds from --seed on; active units are those of the first "
            "(default: %(default)s)",
        ),
        option(
            "--output",
            metavar="FILE",
            type=path_name,
            help="JSON file to write the figures to (default: evaluation.json with --nll, else "
            "none)",
        ),
        THREADS,
        seed("the draws"),
    ],
    shipped=SHIPPED,
)
_SAMPLE = Command(
    "sample",
    "pictures:sample",
    "draw samples from the prior, or from the latents of data",
    "Draw latents from the prior and write what the decoder makes of them. A .gif "
    "shows samples that change smoothly into others. With --source posterior latents come from a "
    "mixture of Gaussians that was fitted to the latents of data, and samples are more like the "
    "data. The mixture is the model's own; where it has none, or data or components are named, it "
    "is fitted first, which needs scikit-learn.",
    groups={
        "data": [
            *data_options()[:2],
            option(
                "--components",
                metavar="N",
                type=count,
                default=N_COMPONENTS,
                help="how many Gaussians to fit (default: %(default)s)",
            ),
        ]
    },
    options=[
        model(),
        option(
            "-n",
            metavar="N",
            type=count,
            default=100,
            help="how many samples (default: %(default)s)",
        ),
        option(
            "--label",
            metavar="CLASS",
            type=path_name,
            help="of a conditional model the class of the samples, by its name or number "
            "(default: a picture of all classes, a line each, in the same styles)",
        ),
        option(
            "--source",
            choices=(*get_args(SampleSource), BOTH),
            metavar="NAME",
            default=PRIOR,
            help="what to draw latents from: prior, posterior (the mixture), or both, in a picture "
            "side by side (default: %(default)s)",
        ),
        output("samples.png", ".png, .pdf or .gif"),
        option(
            "--save",
            metavar="FILE",
            type=path_name,
            help="model file to write with the mixture in it, which may be MODEL itself (default: "
            "do not keep a mixture that was fitted)",
        ),
        IMAGE_SHAPE,
        seed("the latents"),
    ],
    shipped=SHIPPED,
)
_RECONSTRUCT = Command(
    "reconstruct",
    "pictures:reconstruct",
    "draw test images above their reconstructions",
    "Draw test images, and below each what encoder and decoder make of it.",
    groups={"data": data_options()},
    options=[
        model(),
        option(
            "-n", metavar="N", type=count, default=20, help="how many images (default: %(default)s)"
        ),
        output("reconstructions.png"),
        IMAGE_SHAPE,
        seed("the choice of the images"),
    ],
    shipped=SHIPPED,
)
_INTERPOLATE = Command(
    "interpolate",
    "pictures:interpolate",
    "draw the way from an image to another through the latent space",
    "Draw what the decoder makes of the latents between two test images. A .gif shows the "
    "way there and back.",
    groups={"data": data_options()},
    options=[
        model(),
        option(
            "--from",
            dest="start",
            metavar="CLASS",
            type=path_name,
            help="label of the first image, as a number or by its name (default: any)",
        ),
        option(
            "--to",
            dest="end",
            metavar="CLASS",
            type=path_name,
            help="label of the last image, as a number or by its name (default: any)",
        ),
        option(
            "--indices",
            action="store_true",
            help="--from and --to are row numbers of the test set, from 0 on, in place of labels",
        ),
        option(
            "-n",
            metavar="N",
            type=count,
            default=1,
            help="how many pairs of images (default: %(default)s)",
        ),
        option(
            "--steps",
            metavar="N",
            type=steps,
            default=11,
            help="images of the way, both ends included (default: %(default)s)",
        ),
        option(
            "--spherical",
            action="store_true",
            help="go along the great circle (default: along the straight line)",
        ),
        output("interpolation.png", ".png, .pdf or .gif"),
        IMAGE_SHAPE,
        seed("the choice of the images"),
    ],
    shipped=SHIPPED,
)
_MANIFOLD = Command(
    "manifold",
    "pictures:manifold",
    "draw the decoded grid of a two-dimensional latent space",
    "Draw what the decoder makes of a grid of latents, even in probability. The model must "
    "have two latent units (train --latent 2).",
    options=[
        model("the last in runs/, else mnist_two_dimensional"),
        option(
            "-n", metavar="N", type=count, default=20, help="images a side (default: %(default)s)"
        ),
        option(
            "--label",
            metavar="CLASS",
            type=path_name,
            help="of a conditional model the class, by its name or number; it needs one (default: "
            "none)",
        ),
        output("manifold.png"),
        IMAGE_SHAPE,
    ],
    shipped="mnist_two_dimensional",
)
_LATENT = Command(
    "latent",
    "pictures:latent",
    "draw where test images lie in the latent space",
    "Draw the posterior means of the test images, coloured by label: two latent units as "
    "they are, more by their first two principal components.",
    groups={"data": data_options()},
    options=[
        model(),
        option(
            "--activity",
            action="store_true",
            help="draw the variance of each latent unit's posterior mean instead",
        ),
        output("latent.png"),
    ],
    shipped=SHIPPED,
)
_EXPORT = Command(
    "export",
    "export:export",
    "write a model as an ONNX file",
    "Write a model, its encoder or its decoder as an ONNX file, which other programs run without "
    "fastvae. That needs the package onnx.",
    options=[
        model(),
        option(
            "--onnx",
            metavar="FILE",
            type=path_name,
            required=True,
            help="ONNX file to write; an existing one is replaced",
        ),
        option(
            "--part",
            choices=("encoder", "decoder", "reconstruct"),
            metavar="NAME",
            default="reconstruct",
            help="encoder (x to mean and log_var of the latents), decoder (latents z to the mean "
            "of x) or reconstruct (both: x to its reconstruction) (default: %(default)s)",
        ),
    ],
    shipped=SHIPPED,
)
_INFO = Command(
    "info",
    "machine:info",
    "describe a model, or the installation",
    "Print a model's layers and where it comes from; without MODEL the versions, the CPU, its "
    "instruction set, threads and threading layer, and where compiled code is kept.",
    options=[model("describe the installation")],
    shipped=SHIPPED,
)
_CARD = Command(
    "card",
    "card:card",
    "write a model card: a README.md as the Hugging Face Hub reads it",
    "Write a README.md for a model in the form of the Hugging Face Hub: what it is, how it was "
    "trained, its figures and how to use it, from the model, its card, and the settings and "
    "figures in its run folder. What is not known is not written.",
    options=[
        model(),
        option(
            "--output",
            metavar="FILE",
            type=path_name,
            default="README.md",
            help="file to write; - prints the card (default: %(default)s)",
        ),
        option(
            "--evaluation",
            metavar="FILE",
            type=path_name,
            help="figures that 'fastvae evaluate MODEL --output FILE' wrote (default: "
            "evaluation.json or test.json in the run folder, else those in the model's card)",
        ),
        option("--force", action="store_true", help="replace a file that exists"),
    ],
    shipped=SHIPPED,
)
_DATA = Command(
    "data",
    "machine:data",
    "list which data sets are where",
    "List the data sets that are known by name, and where on this machine each one is.",
    options=[DATA_DIR],
)
_WARMUP = Command(
    "warmup",
    "machine:warmup",
    "compile ahead",
    "Compile what the commands need and keep the machine code, so that the next start is fast.",
    options=[
        option("--float64", action="store_true", help="compile for models in float64, too"),
    ],
)
_COMMANDS = (
    TRAIN,
    _EVALUATE,
    _SAMPLE,
    _RECONSTRUCT,
    _INTERPOLATE,
    _MANIFOLD,
    _LATENT,
    EXPLORE,
    _EXPORT,
    _INFO,
    _CARD,
    _DATA,
    _WARMUP,
)


def build_parser(*, defaults: bool = True) -> Parser:
    """The parser of the whole command line.

    Parameters
    ----------
    defaults : bool
        Whether options that are not given have their default values, or are left out.
    """
    parser = Parser(
        prog="fastvae",
        description="Train variational autoencoders on the CPU, and show what they learned.",
        epilog="'fastvae COMMAND --help' describes a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastvae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    of_commands: dict[str, list[str]] = {}
    parser.of_commands = of_commands
    for command in _COMMANDS:
        made = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.description,
            allow_abbrev=False,
        )
        made.set_defaults(run=command.run, shipped=command.shipped)
        made.of_commands = of_commands
        sections = [
            (made.add_argument_group(title), options) for title, options in command.groups.items()
        ]
        for section, options in [*sections, (made, command.options)]:
            for names, settings in options:
                left_out = {} if defaults else {"default": SUPPRESS}
                section.add_argument(*names, **{**settings, **left_out})
                for name in names:
                    of_commands.setdefault(name, []).append(made.prog)
    return parser
