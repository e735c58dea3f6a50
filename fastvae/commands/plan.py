"""What ``fastvae train`` is to do, from its options: which belong together, and the schedules."""

import os
from argparse import Namespace
from collections.abc import Callable

from fastvae.training import schedules


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
    if args.csv and args.json and os.path.abspath(args.csv) == os.path.abspath(args.json):
        raise ValueError(f"--csv and --json must be two files; got {args.csv} for both")


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
