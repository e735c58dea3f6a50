"""The parser of the whole command line: each command with its options, their defaults and units.

Names of activations and the like are written out here, because asking the modules that know them
would make ``fastvae --help`` wait for numba; the tests compare the two.
"""

from __future__ import annotations

from fastvae import __version__
from fastvae.commands.arguments import (
    Commands,
    Parser,
    add_command,
    add_data_dir,
    add_data_options,
    add_model,
    add_picture_options,
    add_seed,
    add_threads,
    count,
    index,
    steps,
)
from fastvae.model import defaults as model_defaults
from fastvae.training import defaults as training_defaults

ACTIVATIONS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus")
LIKELIHOODS = ("bernoulli", "gaussian")
OPTIMIZERS = ("adam", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "step")
EPOCHS_VARIABLE = "FASTVAE_EPOCHS"
DEFAULT_EPOCHS = 10
DEFAULT_VALIDATION = 5000


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="fastvae",
        description="Train variational autoencoders on the CPU, and show what they learned.",
        epilog="'fastvae COMMAND --help' describes a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastvae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _add_train,
        _add_evaluate,
        _add_sample,
        _add_reconstruct,
        _add_interpolate,
        _add_manifold,
        _add_latent,
        _add_info,
        _add_data,
        _add_warmup,
    ):
        add(commands)
    return parser


def _add_train(commands: Commands) -> None:
    parser = add_command(
        commands,
        "train",
        "train:train",
        "train a model and leave a run folder",
        "Train a variational autoencoder. Without --dataset it takes MNIST, from disk or by "
        "download, and where neither can be had it trains on synthetic digits. The run folder "
        "holds the model (brought up to date after each epoch), history.csv, settings.json, "
        "test.json, reconstructions.png, samples.png and loss.png.",
    )
    data = add_data_options(parser, "mnist, else synthetic_digits")
    data.add_argument(
        "--train-size",
        metavar="ROWS",
        type=count,
        help="take the first ROWS training rows (default: all)",
    )
    data.add_argument(
        "--validation",
        metavar="ROWS",
        nargs="?",
        type=count,
        const=DEFAULT_VALIDATION,
        help="hold out the last ROWS training rows and evaluate them after each epoch "
        f"(default: no validation; {DEFAULT_VALIDATION} where ROWS is not given)",
    )

    model = parser.add_argument_group("model")
    model.add_argument(
        "--hidden",
        metavar="UNITS",
        nargs="+",
        type=count,
        default=list(model_defaults.HIDDEN),
        help="units of the encoder's hidden layers, from the input on; the decoder mirrors them "
        f"(default: {' '.join(map(str, model_defaults.HIDDEN))})",
    )
    model.add_argument(
        "--latent",
        metavar="UNITS",
        type=count,
        default=model_defaults.N_LATENT,
        help="units of the latent space (default: %(default)s)",
    )
    model.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        default=model_defaults.ACTIVATION,
        help=f"of the hidden layers: {', '.join(ACTIVATIONS)} (default: %(default)s)",
        metavar="NAME",
    )
    model.add_argument(
        "--output-activation",
        choices=ACTIVATIONS,
        metavar="NAME",
        help="of the last layer, the same names (default: sigmoid for bernoulli, identity for "
        "gaussian)",
    )
    model.add_argument(
        "--likelihood",
        choices=LIKELIHOODS,
        default=model_defaults.LIKELIHOOD,
        metavar="NAME",
        help="bernoulli (values in [0, 1]) or gaussian (squared error) (default: %(default)s)",
    )
    model.add_argument(
        "--beta",
        metavar="WEIGHT",
        type=float,
        default=1.0,
        help="weight of the KL divergence in the loss (default: %(default)g)",
    )
    model.add_argument(
        "--reconstruction-weight",
        metavar="WEIGHT",
        type=float,
        default=1.0,
        help="weight of the reconstruction loss in the loss; for gaussian 1 / (2 sigma^2) "
        "(default: %(default)g)",
    )

    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        metavar="N",
        type=count,
        default=None,
        help=f"passes over the training rows (default: {DEFAULT_EPOCHS}, or what the environment "
        f"variable {EPOCHS_VARIABLE} says)",
    )
    training.add_argument(
        "--batch-size",
        metavar="ROWS",
        type=count,
        default=training_defaults.BATCH_SIZE,
        help="rows of an update (default: %(default)s)",
    )
    training.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default=training_defaults.OPTIMIZER,
        metavar="NAME",
        help=f"{', '.join(OPTIMIZERS)} (default: %(default)s)",
    )
    training.add_argument(
        "--learning-rate",
        metavar="RATE",
        type=float,
        default=training_defaults.LEARNING_RATE,
        help="step size of the optimizer, at the start where a schedule changes it "
        "(default: %(default)s)",
    )
    training.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="constant",
        metavar="NAME",
        help="of the learning rate: constant, cosine (falls to --final-learning-rate), step "
        "(times 0.1 at a half and at three quarters of the run) (default: %(default)s)",
    )
    training.add_argument(
        "--final-learning-rate",
        metavar="RATE",
        type=float,
        help="where the cosine schedule ends (default: 0)",
    )
    training.add_argument(
        "--warmup-steps",
        metavar="N",
        type=count,
        help="let the learning rate rise linearly over the first N updates, before the schedule "
        "(default: no warm-up)",
    )
    training.add_argument(
        "--clip-norm",
        metavar="NORM",
        type=float,
        help="scale the gradient down to this Euclidean norm where it is longer "
        "(default: no clipping)",
    )
    add_threads(training)
    add_seed(training, "initial weights, order of the rows and noise")

    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="FOLDER",
        help="run folder; one that holds a run already is refused (default: runs/DATASET-N with "
        "the next free N)",
    )
    output.add_argument("--quiet", action="store_true", help="print the result only")
    output.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    output.add_argument(
        "--animation",
        action="store_true",
        help="write samples.gif as well: the same samples after each epoch",
    )


def _add_evaluate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "evaluate",
        "models:evaluate",
        "report ELBO, reconstruction, KL and active units on a test set",
        "Evaluate a model on the test rows of a data set (its training rows where it has no test "
        "rows). Losses are in nats per sample.",
    )
    add_model(parser)
    add_data_options(parser)
    parser.add_argument(
        "--samples",
        metavar="K",
        type=count,
        default=1,
        help="draws of the latents that the reconstruction loss is averaged over "
        "(default: %(default)s)",
    )
    add_threads(parser)
    add_seed(parser, "the draws")


def _add_sample(commands: Commands) -> None:
    parser = add_command(
        commands,
        "sample",
        "pictures:sample",
        "draw samples from the prior",
        "Draw latents from the prior N(0, I) and write what the decoder makes of them. A .gif "
        "shows samples that change smoothly into others.",
    )
    add_model(parser)
    parser.add_argument(
        "-n", metavar="N", type=count, default=100, help="how many samples (default: %(default)s)"
    )
    add_picture_options(parser, "samples.png", animated=True)
    add_seed(parser, "the latents")


def _add_reconstruct(commands: Commands) -> None:
    parser = add_command(
        commands,
        "reconstruct",
        "pictures:reconstruct",
        "draw test images above their reconstructions",
        "Draw test images, and below each what encoder and decoder make of it.",
    )
    add_model(parser)
    add_data_options(parser)
    parser.add_argument(
        "-n", metavar="N", type=count, default=20, help="how many images (default: %(default)s)"
    )
    add_picture_options(parser, "reconstructions.png")
    add_seed(parser, "the choice of the images")


def _add_interpolate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "interpolate",
        "pictures:interpolate",
        "draw the way from an image to another through the latent space",
        "Draw what the decoder makes of the latents between two test images. A .gif shows the "
        "way there and back.",
    )
    add_model(parser)
    add_data_options(parser)
    parser.add_argument(
        "--from",
        dest="start",
        metavar="CLASS",
        type=index,
        help="label of the first image (default: any)",
    )
    parser.add_argument(
        "--to",
        dest="end",
        metavar="CLASS",
        type=index,
        help="label of the last image (default: any)",
    )
    parser.add_argument(
        "--indices",
        action="store_true",
        help="--from and --to are row numbers of the test set, from 0 on, in place of labels",
    )
    parser.add_argument(
        "-n",
        metavar="N",
        type=count,
        default=1,
        help="how many pairs of images (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=steps,
        default=11,
        help="images of the way, both ends included (default: %(default)s)",
    )
    parser.add_argument(
        "--spherical",
        action="store_true",
        help="go along the great circle (default: along the straight line)",
    )
    add_picture_options(parser, "interpolation.png", animated=True)
    add_seed(parser, "the choice of the images")


def _add_manifold(commands: Commands) -> None:
    parser = add_command(
        commands,
        "manifold",
        "pictures:manifold",
        "draw the decoded grid of a two-dimensional latent space",
        "Draw what the decoder makes of a grid of latents, even in probability. The model must "
        "have two latent units (train --latent 2).",
    )
    add_model(parser, shipped="mnist_two_dimensional")
    parser.add_argument(
        "-n", metavar="N", type=count, default=20, help="images a side (default: %(default)s)"
    )
    add_picture_options(parser, "manifold.png")


def _add_latent(commands: Commands) -> None:
    parser = add_command(
        commands,
        "latent",
        "pictures:latent",
        "draw where test images lie in the latent space",
        "Draw the posterior means of the test images, coloured by label: two latent units as "
        "they are, more by their first two principal components.",
    )
    add_model(parser)
    add_data_options(parser)
    parser.add_argument(
        "--activity",
        action="store_true",
        help="draw the variance of each latent unit's posterior mean instead",
    )
    add_picture_options(parser, "latent.png", images=False)


def _add_info(commands: Commands) -> None:
    parser = add_command(
        commands,
        "info",
        "machine:info",
        "describe a model, or the installation",
        "Print a model's layers and where it comes from; without MODEL the versions, the CPU, its "
        "instruction set, threads and threading layer, and where compiled code is kept.",
    )
    add_model(parser, default="describe the installation")


def _add_data(commands: Commands) -> None:
    parser = add_command(
        commands,
        "data",
        "machine:data",
        "list which data sets are where",
        "List the data sets that are known by name, and where on this machine each one is.",
    )
    add_data_dir(parser)


def _add_warmup(commands: Commands) -> None:
    add_command(
        commands,
        "warmup",
        "machine:warmup",
        "compile ahead",
        "Compile what training needs and keep the machine code, so that the next start is fast.",
    )
