"""The parser of the whole command line: each command with its options, their defaults and units.

Names of activations and the like are written out here, because asking the modules that know them
would make ``fastvae --help`` wait for numba; the tests compare the two.
"""

from fastvae import __version__
from fastvae.commands.arguments import (
    DATA_DIR,
    IMAGE_SHAPE,
    SHIPPED,
    THREADS,
    Command,
    Parser,
    count,
    data_options,
    index,
    model,
    option,
    output,
    seed,
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

_TRAIN = Command(
    "train",
    "train:train",
    "train a model and leave a run folder",
    "Train a variational autoencoder. Without --dataset it takes MNIST, from disk or by "
    "download, and where neither can be had it trains on synthetic digits. The run folder "
    "holds the model (brought up to date after each epoch), history.csv, settings.json, "
    "test.json, reconstructions.png, samples.png and loss.png.",
    groups={
        "data": [
            *data_options("mnist, else synthetic_digits"),
            option(
                "--train-size",
                metavar="ROWS",
                type=count,
                help="take the first ROWS training rows (default: all)",
            ),
            option(
                "--validation",
                metavar="ROWS",
                nargs="?",
                type=count,
                const=DEFAULT_VALIDATION,
                help="hold out the last ROWS training rows and evaluate them after each epoch "
                f"(default: no validation; {DEFAULT_VALIDATION} where ROWS is not given)",
            ),
        ],
        "model": [
            option(
                "--hidden",
                metavar="UNITS",
                nargs="+",
                type=count,
                default=list(model_defaults.HIDDEN),
                help="units of the encoder's hidden layers, from the input on; the decoder mirrors "
                f"them (default: {' '.join(map(str, model_defaults.HIDDEN))})",
            ),
            option(
                "--latent",
                metavar="UNITS",
                type=count,
                default=model_defaults.N_LATENT,
                help="units of the latent space (default: %(default)s)",
            ),
            option(
                "--activation",
                choices=ACTIVATIONS,
                default=model_defaults.ACTIVATION,
                help=f"of the hidden layers: {', '.join(ACTIVATIONS)} (default: %(default)s)",
                metavar="NAME",
            ),
            option(
                "--output-activation",
                choices=ACTIVATIONS,
                metavar="NAME",
                help="of the last layer, the same names (default: sigmoid for bernoulli, identity "
                "for gaussian)",
            ),
            option(
                "--likelihood",
                choices=LIKELIHOODS,
                default=model_defaults.LIKELIHOOD,
                metavar="NAME",
                help="bernoulli (values in [0, 1]) or gaussian (squared error) "
                "(default: %(default)s)",
            ),
            option(
                "--beta",
                metavar="WEIGHT",
                type=float,
                default=1.0,
                help="weight of the KL divergence in the loss (default: %(default)g)",
            ),
            option(
                "--reconstruction-weight",
                metavar="WEIGHT",
                type=float,
                default=1.0,
                help="weight of the reconstruction loss in the loss; for gaussian 1 / (2 sigma^2) "
                "(default: %(default)g)",
            ),
        ],
        "training": [
            option(
                "--epochs",
                metavar="N",
                type=count,
                default=None,
                help=f"passes over the training rows (default: {DEFAULT_EPOCHS}, or what the "
                f"environment variable {EPOCHS_VARIABLE} says)",
            ),
            option(
                "--batch-size",
                metavar="ROWS",
                type=count,
                default=training_defaults.BATCH_SIZE,
                help="rows of an update (default: %(default)s)",
            ),
            option(
                "--optimizer",
                choices=OPTIMIZERS,
                default=training_defaults.OPTIMIZER,
                metavar="NAME",
                help=f"{', '.join(OPTIMIZERS)} (default: %(default)s)",
            ),
            option(
                "--learning-rate",
                metavar="RATE",
                type=float,
                default=training_defaults.LEARNING_RATE,
                help="step size of the optimizer, at the start where a schedule changes it "
                "(default: %(default)s)",
            ),
            option(
                "--schedule",
                choices=SCHEDULES,
                default="constant",
                metavar="NAME",
                help="of the learning rate: constant, cosine (falls to --final-learning-rate), "
                "step (times 0.1 at a half and at three quarters of the run) "
                "(default: %(default)s)",
            ),
            option(
                "--final-learning-rate",
                metavar="RATE",
                type=float,
                help="where the cosine schedule ends (default: 0)",
            ),
            option(
                "--warmup-steps",
                metavar="N",
                type=count,
                help="let the learning rate rise linearly over the first N updates, before the "
                "schedule (default: no warm-up)",
            ),
            option(
                "--clip-norm",
                metavar="NORM",
                type=float,
                help="scale the gradient down to this Euclidean norm where it is longer "
                "(default: no clipping)",
            ),
            THREADS,
            seed("initial weights, order of the rows and noise"),
        ],
        "output": [
            option(
                "--output",
                metavar="FOLDER",
                help="run folder; one that holds a run already is refused (default: runs/DATASET-N "
                "with the next free N)",
            ),
            option("--quiet", action="store_true", help="print the result only"),
            option("--no-pictures", action="store_true", help="draw no pictures"),
            option(
                "--animation",
                action="store_true",
                help="write samples.gif as well: the same samples after each epoch",
            ),
        ],
    },
)
_EVALUATE = Command(
    "evaluate",
    "models:evaluate",
    "report ELBO, reconstruction, KL and active units on a test set",
    "Evaluate a model on the test rows of a data set (its training rows where it has no test "
    "rows). Losses are in nats per sample.",
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
        THREADS,
        seed("the draws"),
    ],
    shipped=SHIPPED,
)
_SAMPLE = Command(
    "sample",
    "pictures:sample",
    "draw samples from the prior",
    "Draw latents from the prior N(0, I) and write what the decoder makes of them. A .gif "
    "shows samples that change smoothly into others.",
    options=[
        model(),
        option(
            "-n",
            metavar="N",
            type=count,
            default=100,
            help="how many samples (default: %(default)s)",
        ),
        output("samples.png", ".png, .pdf or .gif"),
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
            type=index,
            help="label of the first image (default: any)",
        ),
        option(
            "--to",
            dest="end",
            metavar="CLASS",
            type=index,
            help="label of the last image (default: any)",
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
_INFO = Command(
    "info",
    "machine:info",
    "describe a model, or the installation",
    "Print a model's layers and where it comes from; without MODEL the versions, the CPU, its "
    "instruction set, threads and threading layer, and where compiled code is kept.",
    options=[model("describe the installation")],
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
    "Compile what training needs and keep the machine code, so that the next start is fast.",
)
_COMMANDS = (
    _TRAIN,
    _EVALUATE,
    _SAMPLE,
    _RECONSTRUCT,
    _INTERPOLATE,
    _MANIFOLD,
    _LATENT,
    _INFO,
    _DATA,
    _WARMUP,
)


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
    for command in _COMMANDS:
        made = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.description,
            allow_abbrev=False,
        )
        made.set_defaults(run=command.run, shipped=command.shipped)
        sections = [
            (made.add_argument_group(title), options) for title, options in command.groups.items()
        ]
        for section, options in [*sections, (made, command.options)]:
            for names, settings in options:
                section.add_argument(*names, **settings)
    return parser
