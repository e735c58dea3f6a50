"""The printed summary, against the text of the document that the project started from."""

from __future__ import annotations

from fastvae import MLP, VAE, Dense, Sampler
from fastvae.typing import Activation

SEED_DOCUMENT = """\
-------------------- VARIATIONAL AUTOENCODER (VAE) --------------------

TOTAL PARAMETERS = 427344

###############
#   ENCODER   #
###############

 *** 1. Layer: ***
------------------------
DENSE 784 -> 256 [ReLU]
------------------------
Total parameters: 200960
---> WEIGHTS: (256, 784)
---> BIASES: (256,)
------------------------

###############
#   SAMPLER   #
###############

 *** MEAN Layer: ***
---------------------------
DENSE 256 -> 32 [Identity]
---------------------------
Total parameters: 8224
---> WEIGHTS: (32, 256)
---> BIASES: (32,)
---------------------------

 *** LOG_VAR Layer: ***
---------------------------
DENSE 256 -> 32 [Identity]
---------------------------
Total parameters: 8224
---> WEIGHTS: (32, 256)
---> BIASES: (32,)
---------------------------

###############
#   DECODER   #
###############

 *** 1. Layer: ***
-----------------------
DENSE 32 -> 256 [ReLU]
-----------------------
Total parameters: 8448
---> WEIGHTS: (256, 32)
---> BIASES: (256,)
-----------------------

 *** 2. Layer: ***
---------------------------
DENSE 256 -> 784 [Sigmoid]
---------------------------
Total parameters: 201488
---> WEIGHTS: (784, 256)
---> BIASES: (784,)
---------------------------

----------------------------------------------------------------------"""


def test_summary_is_the_seed_documents_text():
    assert str(VAE.from_sizes()).splitlines() == SEED_DOCUMENT.splitlines()


def test_summary_of_every_activation_and_depth():
    names: list[Activation] = ["identity", "relu", "leaky_relu", "tanh", "softplus"]
    encoder = MLP(Dense(7, 7, name) for name in names)
    vae = VAE(encoder, Sampler(7, 3), MLP([Dense(3, 7, "tanh"), Dense(7, 7, "sigmoid")]))
    text = str(vae)
    for number, printed in enumerate(["Identity", "ReLU", "LeakyReLU", "Tanh", "Softplus"], 1):
        assert f" *** {number}. Layer: ***\n" in text
        assert f"DENSE 7 -> 7 [{printed}]\n" in text
    # 6 layers of 7 x 7 + 7, two of 3 x 7 + 3, one of 7 x 3 + 7
    assert f"TOTAL PARAMETERS = {6 * 56 + 2 * 24 + 28}\n" in text


def test_empty_model_prints_as_empty():
    assert str(VAE()) == repr(VAE()) == "VAE()"
