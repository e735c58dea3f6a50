"""Draw the digit that is asked for, and let a classifier say whether it is that digit.

    python examples/conditional_digits.py --output digits.png

Trains a conditional model on MNIST (FASTVAE_EPOCHS says for how many epochs), draws ten classes in
ten styles, and shows 1,000 samples, a hundred of each class, to a classifier that has seen real
digits only: scikit-learn's SVC, trained on 20,000 MNIST images.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
from sklearn.svm import SVC

from fastvae import VAE, Dataset, plots

EPOCHS = 20
N_SAMPLES, N_CLASSES = 1000, 10
N_OF_CLASSIFIER = 20_000


def main() -> None:
    """Train, draw, and print how often the classifier agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", metavar="FILE", default="conditional_digits.png")
    parser.add_argument("--prior", choices=("normal", "label"), default="normal")
    args = parser.parse_args()
    digits = Dataset("mnist")
    assert digits.train_labels is not None
    assert digits.test_labels is not None

    vae = VAE.from_sizes(hidden=(512,), n_latent=5, n_classes=N_CLASSES, prior=args.prior)
    start = time.perf_counter()
    vae.fit(digits, epochs=int(os.environ.get("FASTVAE_EPOCHS", EPOCHS)), validation=digits)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    plots.save_figure(plots.classes_by_styles(vae), args.output)
    print(f"wrote {args.output}")

    classifier = SVC(C=5.0, gamma=0.02)
    classifier.fit(digits.train[:N_OF_CLASSIFIER] / 255, digits.train_labels[:N_OF_CLASSIFIER])
    accuracy = classifier.score(digits.test / 255, digits.test_labels)
    print(f"classifier: right on {accuracy:.2%} of {len(digits.test):,} test images")
    wanted = np.arange(N_SAMPLES) % N_CLASSES
    agreed = classifier.predict(vae.sample(N_SAMPLES, seed=0, label=wanted)) == wanted
    by_class = ", ".join(f"{agreed[wanted == label].mean():.0%}" for label in range(N_CLASSES))
    print(f"samples: {agreed.mean():.1%} of {N_SAMPLES:,} are the digit asked for ({by_class})")


if __name__ == "__main__":
    main()
