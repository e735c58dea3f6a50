"""``fastvae evaluate``: the figures of a trained model."""

from argparse import Namespace

import fastvae
from fastvae.checks.quoting import printable
from fastvae.commands.inputs import load_model_and_data, rows_to_show
from fastvae.data.variants import VARIANTS
from fastvae.training.evaluation import evaluate as evaluate_model


def evaluate(args: Namespace) -> None:
    """Print what a model makes of a data set's test rows."""
    vae, dataset = load_model_and_data(args)
    if args.threads is not None:
        fastvae.set_num_threads(args.threads)
    rows, _ = rows_to_show(dataset)
    part = "test" if len(dataset.test) else "training"
    result = evaluate_model(
        vae, rows, n_samples=args.samples, seed=args.seed, binarize=args.binarize
    )
    draws = "1 draw" if args.samples == 1 else f"{args.samples} draws"
    print(
        f"{printable(args.model)} on {result.n_rows:,} {part} rows of {printable(dataset.name)}, "
        f"{draws} of the latents\n"
        f"data                {VARIANTS[result.variant]}\n"
        f"ELBO                {result.elbo:10.3f} nats\n"
        f"reconstruction      {result.reconstruction:10.3f} nats\n"
        f"KL                  {result.kl:10.3f} nats\n"
        f"mean squared error  {result.mean_squared_error:10.5f} per feature\n"
        f"active units        {result.active_units:10d} of {result.n_latent}"
    )
