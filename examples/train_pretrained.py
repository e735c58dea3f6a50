"""Train the models that fastvae ships, and write them to fastvae/files/pretrained/.

    python examples/train_pretrained.py NAME        train on all training rows, write the file
    python examples/train_pretrained.py --choose    compare learning rates on held-out rows

The learning rate was chosen with `--choose`: 60 epochs on the first 55,000 training rows,
evaluated on the last 5,000. The test set is read once, at the end of the final training, for the
model card. The command reproduces the file's arrays bit for bit on processors with fused
multiply-add: the files were made with AVX-512, and the two-dimensional model again with AVX2.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import fastvae
from fastvae import VAE, Dataset
from fastvae.evaluation import evaluate
from fastvae.schedules import Cosine

FOLDER = Path(fastvae.__file__).resolve().parent / "files" / "pretrained"
HELD_OUT = 5000
CANDIDATES = (1e-3, 2e-3, 4e-3)
CHOOSING_EPOCHS = 60
FINAL_SHARE = 0.01
"""The cosine schedule ends at this share of its first learning rate."""


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    dataset: str
    n_latent: int
    hidden: tuple[int, ...]
    epochs: int
    learning_rate: float
    batch_size: int = 128
    seed: int = 0

    def model(self, n_features: int) -> VAE:
        return VAE.from_sizes(n_features, self.hidden, self.n_latent, seed=self.seed)


RECIPES = {
    "mnist_variational_autoencoder": Recipe("mnist", 32, (256,), 400, 2e-3),
    "mnist_two_dimensional": Recipe("mnist", 2, (256,), 100, 2e-3),
    "synthetic_digits": Recipe("synthetic_digits", 32, (256,), 60, 2e-3),
}


def train(name: str) -> None:
    """Train a model on all training rows, evaluate it once on the test rows, and write it."""
    recipe = RECIPES[name]
    data = Dataset(recipe.dataset)
    vae = recipe.model(data.train.shape[1])
    final_rate = recipe.learning_rate * FINAL_SHARE
    vae.fit(
        data,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=Cosine(recipe.learning_rate, final_rate),
    )
    result = evaluate(vae, data.test)
    vae.card = {
        "name": name,
        "dataset": recipe.dataset,
        "data": f"{recipe.dataset}, {len(data.train)} training rows, grey pixels in [0, 1]",
        "objective": "negative ELBO, Bernoulli likelihood, one draw per row",
        "optimizer": "Adam(beta1=0.9, beta2=0.999, eps=1e-8)",
        "schedule": f"cosine from {recipe.learning_rate} to {final_rate}",
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "test": asdict(result),
        "command": f"python examples/train_pretrained.py {name}",
        "fastvae": fastvae.__version__,
    }
    FOLDER.mkdir(exist_ok=True)
    vae.save(FOLDER / f"{name}.safetensors")
    print(f"{name}: test {result}")


def choose() -> None:
    """Print the held-out ELBO for each candidate learning rate of the main model."""
    recipe = RECIPES["mnist_variational_autoencoder"]
    rows = Dataset(recipe.dataset).train
    for rate in CANDIDATES:
        vae = recipe.model(rows.shape[1])
        schedule = Cosine(rate, rate * FINAL_SHARE)
        vae.fit(rows[:-HELD_OUT], epochs=CHOOSING_EPOCHS, learning_rate=schedule, verbose=False)
        print(f"learning rate {rate}: held-out ELBO {vae.elbo(rows[-HELD_OUT:]).elbo:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the models that fastvae ships.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", choices=RECIPES, help="the model to train")
    what.add_argument("--choose", action="store_true", help="compare learning rates")
    args = parser.parse_args()
    if args.choose:
        choose()
    else:
        train(args.name)


if __name__ == "__main__":
    main()
