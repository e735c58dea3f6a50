"""The options of ``fastvae train``, their defaults and units.

Names of activations and the like are those of types, because asking the modules that know them
would make ``fastvae --help`` wait for numba; the tests compare the two.
"""

from typing import get_args

from fastvae.commands.arguments import (
    THREADS,
    Command,
    count,
    data_options,
    likelihood,
    option,
    path_name,
    seed,
    sigma,
    units,
)
from fastvae.model import defaults as model_defaults
from fastvae.model.kinds import KINDS, WITH_BLOCKS
from fastvae.model.names import Activation, Missing, Prior
from fastvae.training import defaults as training_defaults
from fastvae.training.names import Binarization, ObjectiveName, OptimizerName

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
MISSING: tuple[Missing, ...] = get_args(Missing)
PRIORS: tuple[Prior, ...] = get_args(Prior)
LIKELIHOODS = tuple(kind for kind in KINDS if kind not in WITH_BLOCKS)
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
SCHEDULES = ("constant", "cosine", "step")
BINARIZATIONS: tuple[Binarization, ...] = get_args(Binarization)
EPOCHS_VARIABLE = "FASTVAE_EPOCHS"
DEFAULT_EPOCHS = 10
DEFAULT_VALIDATION = 5000

TRAIN = Command(
    "train",
    "train:train",
    "train a model and leave a run folder",
    "Train a variational autoencoder. Without --dataset it takes MNIST, from disk or by "
    "download, and where neither can be had it trains on synthetic digits. The run folder "
    "holds the model and history.csv (brought up to date after each epoch), settings.json, "
    "checkpoint.safetensors (written after each epoch, every 30 s and on Ctrl-C: --resume goes on "
    "from it), test.json, reconstructions.png, samples.png and loss.png.",
    groups={
        "going on": [
            option(
                "--resume",
                metavar="RUN",
                type=path_name,
                help="go on with the run in the folder RUN, with its settings, to the same bits as "
                "if it had never stopped; beside it only --epochs (to raise their total), "
                "--dataset and --data-dir (where the same data have moved), --threads, --quiet and "
                "--no-pictures may be given (default: begin a new run)",
            ),
        ],
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
                type=units,
                default=list(model_defaults.HIDDEN),
                help="units of the encoder's hidden layers, from the input on; the decoder mirrors "
                "them; none: encoder and decoder are linear "
                f"(default: {' '.join(map(str, model_defaults.HIDDEN))})",
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
                "for all others)",
            ),
            option(
                "--likelihood",
                type=likelihood,
                choices=LIKELIHOODS,
                default=model_defaults.LIKELIHOOD,
                metavar="NAME",
                help=f"{', '.join(LIKELIHOODS)}: docs/likelihoods.md says what each is of "
                "(default: %(default)s)",
            ),
            option(
                "--sigma",
                metavar="VALUE",
                type=sigma,
                help="standard deviation of gaussian: a number, or trained: learned (one for all), "
                "feature (one for each) or output (by the decoder) (default: what "
                "--reconstruction-weight says)",
            ),
            option(
                "--missing",
                metavar="NAME",
                choices=MISSING,
                default="error",
                help="what NaN and empty cells in the data are: an error, or left out (ignore) "
                "(default: %(default)s)",
            ),
            option(
                "--conditional",
                action="store_true",
                help="give the labels of the data to encoder and decoder: samples are then of the "
                "class that is asked for, fastvae sample --label (default: no labels)",
            ),
            option(
                "--prior",
                choices=PRIORS,
                default="normal",
                metavar="NAME",
                help="of the latents: normal, N(0, I), or label, with --conditional: mean and "
                "variance of each class, trained (default: %(default)s)",
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
                help="weight of the reconstruction loss in the loss; for gaussian without --sigma "
                "1 / (2 sigma^2) (default: %(default)g)",
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
                "--beta-warmup",
                metavar="EPOCHS",
                type=count,
                help="let beta rise linearly from 0 to --beta over the first EPOCHS epochs "
                "(default: no warm-up)",
            ),
            option(
                "--beta-cycles",
                metavar="N",
                type=count,
                help="let beta rise from 0 to --beta N times, each time over half of an N-th of "
                "the run (default: no cycles)",
            ),
            option(
                "--clip-norm",
                metavar="NORM",
                type=float,
                help="scale the gradient down to this Euclidean norm where it is longer "
                "(default: no clipping)",
            ),
            option(
                "--binarize",
                choices=BINARIZATIONS,
                metavar="NAME",
                help="make values in [0, 1] binary, for bernoulli: dynamic (each drawn as 0 or 1, "
                "anew at each visit), threshold (1 from 0.5 on) or fixed (each drawn once); "
                "validation and test rows too (default: take them as they are)",
            ),
            option(
                "--objective",
                choices=OBJECTIVES,
                default="elbo",
                metavar="NAME",
                help="elbo, iwae (the importance-weighted bound of --n-samples latents a row) or "
                "dreg (the same with gradients of the encoder that vary less) (default: "
                "%(default)s)",
            ),
            option(
                "--n-samples",
                metavar="K",
                type=count,
                default=1,
                help="latents drawn for each row (default: %(default)s)",
            ),
            option(
                "--free-bits",
                metavar="NATS",
                type=float,
                default=0.0,
                help="nats that each latent may have in its KL for nothing, for elbo (default: "
                "%(default)s)",
            ),
            option(
                "--blocks",
                metavar="N",
                type=count,
                default=None,
                help="make every batch of N blocks, whose gradients are added up in a fixed order, "
                "so that results are the same for every number of ranks: mpiexec -n R fastvae "
                "train trains on R ranks, at most N (default: 8 with several ranks, else 1)",
            ),
            THREADS,
            seed("initial weights, order of the rows and noise"),
        ],
        "watching the training": [
            option(
                "--early-stopping",
                metavar="N",
                type=count,
                help="stop after N epochs without a better ELBO of the validation rows, and keep "
                "the weights of the best epoch; needs --validation (default: no early stopping)",
            ),
            option(
                "--reduce-on-plateau",
                metavar="N",
                type=count,
                help="multiply the learning rate by 0.1 after N epochs without a better ELBO of "
                "the validation rows; needs --validation (default: never)",
            ),
            option(
                "--save-best",
                action="store_true",
                help="keep the model of the best ELBO of the validation rows as best.safetensors "
                "as well; needs --validation",
            ),
            option(
                "--csv",
                metavar="FILE",
                type=path_name,
                help="write the history to this file, too, after each epoch (default: only "
                "history.csv in the run folder)",
            ),
            option(
                "--json",
                metavar="FILE",
                type=path_name,
                help="write it as JSON, a record a line where FILE ends in .jsonl (default: no "
                "JSON)",
            ),
            option(
                "--tensorboard",
                metavar="FOLDER",
                type=path_name,
                help="write it for TensorBoard; needs the extra tensorboard (default: no event "
                "files)",
            ),
            option(
                "--sample-grid",
                metavar="N",
                type=count,
                help="draw samples of the same latents every N epochs, in the folder samples of "
                "the run (default: only samples.png at the end)",
            ),
        ],
        "output": [
            option(
                "--output",
                metavar="FOLDER",
                type=path_name,
                help="run folder; one that holds a run already is refused (default: runs/DATASET-N "
                "with the next free N)",
            ),
            option("--quiet", action="store_true", help="print the result only"),
            option("--no-pictures", action="store_true", help="draw no pictures"),
            option(
                "--animation",
                action="store_true",
                help="write samples.gif as well: the same samples after each epoch (after a "
                "--resume those since then)",
            ),
        ],
    },
)
