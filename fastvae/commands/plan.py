"""What ``fastvae train`` is to do, from its options: which belong together, and the schedules."""

import os
from argparse import Namespace
from collections.abc import Callable

from fastvae import checks
from fastvae.commands.runs import FILES
from fastvae.files.kinds import START, kind_of
from fastvae.files.reading import open_file
from fastvae.model.likelihood import GAUSSIAN, Likelihood
from fastvae.training import schedules

_LOGS = ("a text", "a text of JSON", "an empty file")


def check(args: Namespace) -> None:
    """Raise a ValueError if options do not go together; they are named."""
    if args.final_learning_rate is not None and args.schedule != "cosine":
        raise ValueError(
            f"--final-learning-rate belongs to --schedule cosine; got --schedule {args.schedule}"
        )
    if args.validation is None:
        for name in ("early_stopping", "reduce_on_plateau", "save_best"):
            if getattr(args, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} needs --validation: it goes by the ELBO of rows "
                    "that are held out"
                )
    if args.beta_warmup is not None and args.beta_cycles is not None:
        raise ValueError("--beta-warmup and --beta-cycles are two ways for beta; give one of them")
    for name in ("beta_warmup", "beta_cycles"):
        if getattr(args, name) is not None and args.beta == 0.0:
            raise ValueError(f"--{name.replace('_', '-')} leads to --beta, which must not be 0")
    if args.binarize is not None and args.likelihood != "bernoulli":
        raise ValueError(
            "--binarize belongs to --likelihood bernoulli, which is one of 0 and 1; got "
            f"--likelihood {args.likelihood}"
        )
    if args.prior == "label" and not args.conditional:
        raise ValueError("--prior label belongs to --conditional: it goes by the labels")
    _check_objective(args)
    hidden(args)
    _check_likelihood(args)
    _check_numbers(args)
    _check_logs(args)


def _check_objective(args: Namespace) -> None:
    """Raise a ValueError if the objective has no meaning with other options."""
    checks.number(args.free_bits, "--free-bits")
    if args.objective == "elbo":
        return
    if args.free_bits > 0.0:
        raise ValueError(
            f"--free-bits belongs to --objective elbo; got --objective {args.objective}"
        )
    weights = {"beta": args.beta != 1.0, "beta_warmup": args.beta_warmup is not None,
               "beta_cycles": args.beta_cycles is not None}  # fmt: skip
    if args.likelihood != GAUSSIAN or args.sigma is not None:
        weights["reconstruction_weight"] = args.reconstruction_weight != 1.0
    for name, is_given in weights.items():
        if is_given:
            raise ValueError(
                f"--{name.replace('_', '-')} belongs to --objective elbo: {args.objective} weighs "
                "latents by p(x, z) / q(z | x), in which KL and reconstruction have no weights"
            )


def _check_likelihood(args: Namespace) -> None:
    """Raise a ValueError if the likelihood needs another sigma or output activation."""
    if args.sigma is not None and args.likelihood != GAUSSIAN:
        raise ValueError(
            f"--sigma belongs to --likelihood gaussian; got --likelihood {args.likelihood}"
        )
    needed = Likelihood(args.likelihood).output_activation
    if args.likelihood != GAUSSIAN and args.output_activation not in (None, needed):
        raise ValueError(
            f"--likelihood {args.likelihood} needs --output-activation {needed}, which it has by "
            f"default; got --output-activation {args.output_activation}"
        )


def _check_numbers(args: Namespace) -> None:
    """Raise a ValueError if a number is out of bounds."""
    is_sigma = args.likelihood == GAUSSIAN and args.sigma is None
    for name, is_positive in (
        ("beta", False),
        ("reconstruction_weight", is_sigma),
        ("learning_rate", False),
        ("final_learning_rate", False),
        ("clip_norm", True),
    ):
        value = getattr(args, name)
        if value is not None:
            checks.number(value, f"--{name.replace('_', '-')}", positive=is_positive)
    checks.seed(args.seed, "--seed")


def hidden(args: Namespace) -> tuple[int, ...]:
    """The sizes of the hidden layers.

    Raises
    ------
    ValueError
        If there are to be some and none.
    """
    if "none" not in args.hidden:
        return tuple(args.hidden)
    if len(args.hidden) > 1:
        raise ValueError(
            f"--hidden takes sizes, or none alone; got {' '.join(map(str, args.hidden))}"
        )
    return ()


def _check_logs(args: Namespace) -> None:
    """Raise a ValueError if a log would take the place of the data, of the run, or of no log."""
    run = args.resume or args.output
    taken = {os.path.realpath(os.path.join(run, name)): name for name in FILES} if run else {}
    if args.dataset is not None:
        taken[os.path.realpath(args.dataset)] = "--dataset"
    for name in ("csv", "json"):
        path = getattr(args, name)
        if path is not None:
            other = taken.setdefault(os.path.realpath(path), f"--{name}")
            if other != f"--{name}":
                raise ValueError(f"--{name} must be a file of its own; got {path}, as {other} is")
            if args.resume is None and os.path.isfile(path):
                with open_file(path) as file:
                    kind = kind_of(file.read(START)) or "no text"
                if kind not in _LOGS:
                    raise ValueError(f"--{name} must not take the place of {path}: it is {kind}")


def learning_rate(args: Namespace) -> schedules.Schedule:
    """The schedule of the learning rate."""
    kinds: dict[str, Callable[[float], schedules.Schedule]] = {
        "constant": schedules.Constant,
        "cosine": lambda rate: schedules.Cosine(rate, args.final_learning_rate or 0.0),
        "step": schedules.Step,
    }
    schedule = kinds[args.schedule](args.learning_rate)
    if args.warmup_steps is not None:
        schedule = schedules.Warmup(schedule, args.warmup_steps)
    return schedule


def beta(args: Namespace, n_rows: int) -> schedules.Schedule | None:
    """The schedule of beta; None: it is the same for the whole run."""
    if args.beta_cycles is not None:
        return schedules.Cyclical(args.beta, args.beta_cycles)
    if args.beta_warmup is not None:
        return schedules.LinearWarmup(
            args.beta, steps=args.beta_warmup * -(-n_rows // args.batch_size)
        )
    return None
