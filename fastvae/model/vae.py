"""The variational autoencoder: its layers, its passes and its figures.

Letters: B batch rows, I features, H outputs of the encoder, Z latents. Rows are samples, losses
are in nats per sample.

References
----------
Kingma & Welling (2014), "Auto-Encoding Variational Bayes", arXiv:1312.6114.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvae import checks, kernels
from fastvae.checks.foreign import is_one_row
from fastvae.model.structure import Model, Rows
from fastvae.model.value import public
from fastvae.training import loop

if TYPE_CHECKING:
    from fastvae.training.loop import History
    from fastvae.training.optimizers import Optimizer
    from fastvae.training.schedules import Schedule


@public
class Elbo(NamedTuple):
    """elbo = -(reconstruction + kl), in nats: means over rows, or arrays of one value per row."""

    elbo: Any
    reconstruction: Any
    kl: Any


@public
class Losses(NamedTuple):
    """What is minimised, reconstruction_weight * reconstruction + beta * kl, and its parts."""

    loss: float
    reconstruction: float
    kl: float


@public
class VAE(Model):
    """A variational autoencoder of dense layers.

    Parameters
    ----------
    encoder : MLP, optional
        From the features to the sampler's inputs.
    sampler : Sampler, optional
        Draws the latent.
    decoder : MLP, optional
        From the latent to the features. Without the three the VAE is empty: `load` fills it.
    likelihood : str
        "bernoulli": p(x | z) with the decoder's outputs as means; the last activation must be
        sigmoid, and the loss is computed from the logits. "gaussian": the reconstruction loss is
        ||x - x_hat||^2, without constants.
    beta, reconstruction_weight : float
        Minimised is reconstruction_weight * reconstruction + beta * kl. The Gaussian likelihood of
        variance sigma^2 is reconstruction_weight = 1 / (2 sigma^2).
    dtype : dtype
        float32, the working type, or float64, in which gradients are verified.
    seed : int
        Seed of the initial weights, of the epochs' orders and of all noise, in [0, 2**64).

    Attributes
    ----------
    seed : int
        As given.
    epochs, updates : int
        How many the model has been trained for.
    card : dict
        A free-form model card of plain JSON data, saved with the model.
    history : History or None
        What the last `fit` measured, up to where it ended, whatever ended it.
    stop_training : bool
        `fit` sets it to False when it begins; a callback that sets it to True ends the training
        after the present run of updates. An epoch that is cut short so has no entry in the history.

    Raises
    ------
    TypeError, ValueError
        If the parts do not fit each other, or an argument is not what it must be.

    Notes
    -----
    Weights start as `Dense` says and biases at 0, except for layers whose weights were
    assigned before; the output bias of a Bernoulli decoder is set to the logit of the training
    mean before the first update.

    A log-variance counts within [-30, 20]: beyond a bound b the standard deviation stays
    exp(b / 2), and the KL divergence goes on along its tangent, kl(b) + kl'(b) (log_var - b), whose
    slope brings log_var back.

    References
    ----------
    Kingma & Welling (2014), eq. 10; for beta: Higgins et al. (2017), "beta-VAE", eq. 4.
    """

    def fit(
        self,
        data: Rows,
        *,
        epochs: int,
        batch_size: int = 128,
        learning_rate: float | Schedule = 1e-3,
        optimizer: str | Optimizer = "adam",
        validation: Rows | None = None,
        clip_norm: float | None = None,
        callbacks: Sequence[Any] = (),
        verbose: bool = True,
        n_threads: int | None = None,
    ) -> History:
        """Train on rows, in a new order each epoch; the last, smaller batch is trained too.

        A second `fit` continues from the weights with fresh moments, orders and noise. The
        result is bit for bit the same for every number of threads, and whatever array of the same
        values the rows come in.

        Parameters
        ----------
        data : array_like of shape (n, n_features), or Dataset
            Rows, or a data set whose training rows are taken. uint8 means pixels
            (value / 255), and is refused where its largest value is 1. Memory-mapped, strided
            and read-only arrays are read in place. DataFrames (pandas, polars), CPU tensors and
            masked arrays are taken too, unless a value is missing or masked.
        epochs : int
            Number of passes over the rows.
        batch_size : int
            Rows per update.
        learning_rate : float or callable
            A number, or a schedule: a function of (step, total), see `fastvae.schedules`.
        optimizer : str or Adam, RMSprop, SGD
            The optimiser, or its name: "adam", "rmsprop", "sgd".
        validation : array_like of shape (n, n_features), or Dataset, optional
            Rows to evaluate after each epoch; of a data set the test rows, or where it has none
            the training rows.
        clip_norm : float, optional
            Largest norm of the gradient of all parameters taken together; longer ones are scaled
            down to it (Pascanu et al. 2013, "On the difficulty of training recurrent neural
            networks", algorithm 1).
        callbacks : sequence of Callback or function
            See `fastvae.callbacks`; a function is called as f(vae, epoch, figures) after each
            epoch.
        verbose : bool
            Show a progress bar on a terminal, and a line per epoch.
        n_threads : int, optional
            Number of threads for this fit.

        Returns
        -------
        History
            A mapping of lists with one entry per epoch; it is `history` too, also after an
            exception.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be (errors about one value name its row and
            column); nothing has changed then.
        FloatingPointError
            If the loss (also that of the validation rows), the weights or the optimiser's
            moments are no longer finite; epoch and step are named. Weights, `updates` and
            `epochs` are then those of the end of the last good epoch, or of the start.
        RuntimeError
            If the model is being trained already.
        KeyboardInterrupt
            On Ctrl-C, within a second; the weights are those after the last finished update.

        Warns
        -----
        UserWarning
            If uint8 rows are dark (no value above 63), or the columns of rows for the Gaussian
            likelihood have huge or very different scales.

        Notes
        -----
        A callback sees the model itself, between two runs of updates. It may read it in every way,
        copy, pickle and save it, train another model, set `stop_training`, raise, and set weights,
        biases, `beta`, `reconstruction_weight`, `seed`, `updates` and `card`: the next update goes
        by them. A schedule is asked for its rates before each run of updates. `fit` and `load` on
        the model that is being trained are RuntimeErrors, and its parts cannot be replaced.

        Other threads may meanwhile read the model (`encode`, `decode`, `reconstruct`, `elbo`,
        `sample`, `feedforward`, `gradients`, `save`): each call sees the weights as they are
        between two runs of updates. To `fit`, `load`, copy or pickle it there is a RuntimeError.
        """
        return loop.fit(
            self,
            data,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            validation=validation,
            clip_norm=clip_norm,
            callbacks=callbacks,
            verbose=verbose,
            n_threads=n_threads,
        )

    def encode(self, X: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the posterior's mean and log-variance, each of shape (B, Z) or (Z,).

        The log-variance is the one that is used: within [-30, 20].

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.

        Raises
        ------
        TypeError, ValueError
            If X is not what the model takes.
        """
        mean, log_var = self.network.encode(self.check_rows(X))
        return (mean[0], log_var[0]) if is_one_row(X) else (mean, log_var)

    def decode(self, Z: ArrayLike) -> NDArray[Any]:
        """Return the means of p(x | z), shape (B, I) or (I,).

        Parameters
        ----------
        Z : array_like, shape (B, Z) or (Z,)
            Latents.

        Raises
        ------
        TypeError, ValueError
            If Z is no finite real array of that shape.
        """
        latents = checks.rows(Z, "Z", self.n_latent, self.dtype)
        means = self.network.decode(np.ascontiguousarray(latents, self.dtype))
        return means[0] if is_one_row(Z) else means

    def reconstruct(self, X: Rows) -> NDArray[Any]:
        """Return the decoded posterior means, shape (B, I) or (I,).

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.

        Raises
        ------
        TypeError, ValueError
            If X is not what the model takes.
        """
        means = self.network.reconstruct(self.check_rows(X))
        return means[0] if is_one_row(X) else means

    def feedforward(self, x: Rows) -> NDArray[Any]:
        """Draw a latent for each row and decode it; `sampler.sample` is the latent drawn.

        Each call draws new noise; a new model of the same seed draws the same again.

        Parameters
        ----------
        x : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.

        Returns
        -------
        ndarray, shape (B, I) or (I,)
            Means of p(x | z).

        Raises
        ------
        TypeError, ValueError
            If x is not what the model takes.
        """
        z = self.sampler.draw(*self.encode(x))
        means = self.network.decode(np.atleast_2d(z))
        return means[0] if z.ndim == 1 else means

    def sample(self, n: int, seed: int | None = None) -> NDArray[Any]:
        """Return the decoded means of `n` latents drawn from the prior N(0, I), shape (n, I).

        Parameters
        ----------
        n : int
            Number of samples.
        seed : int, optional
            With a seed each call returns the same; without, calls continue the model's stream.

        Raises
        ------
        TypeError, ValueError
            If n or seed is not what it must be.
        """
        z = np.empty((checks.integer(n, "n"), self.n_latent), self.dtype)
        if seed is None:
            kernels.normal(z, self.seed, kernels.STREAM_PRIOR, self._prior_draws.take())
        else:
            kernels.normal(z, checks.seed(seed), kernels.STREAM_PRIOR, 0)
        return self.network.decode(z)

    def elbo(self, X: Rows, n_samples: int = 1, seed: int = 0, per_sample: bool = False) -> Elbo:
        """Return the evidence lower bound and its parts, in nats.

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.
        n_samples : int
            Latents drawn per row; the reconstruction loss is their mean, the KL needs none.
        seed : int
            Seed of these draws.
        per_sample : bool
            Return an array of shape (B,) for each figure instead of means over the rows.

        Returns
        -------
        Elbo
            Named tuple (elbo, reconstruction, kl) with elbo = -(reconstruction + kl).

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.

        References
        ----------
        Kingma & Welling (2014), eq. 7 and appendix B.
        """
        n_samples = checks.integer(n_samples, "n_samples")
        rows = self.check_rows(X)
        reconstruction, kl = self.network.evaluate(rows, n_samples, checks.seed(seed))
        if per_sample:
            return Elbo(-(reconstruction + kl), reconstruction, kl)
        mean_reconstruction, mean_kl = float(reconstruction.mean()), float(kl.mean())
        return Elbo(-(mean_reconstruction + mean_kl), mean_reconstruction, mean_kl)

    def gradients(
        self, X: Rows, noise: ArrayLike | None = None
    ) -> tuple[Losses, dict[str, NDArray[Any]]]:
        """Return the loss of rows taken as one batch, and its gradients.

        Parameters
        ----------
        X : array_like of shape (B, I) or (I,), or Dataset
            uint8 means pixels (value / 255); of a data set the training rows are taken.
        noise : array_like, shape (B, Z), optional
            Standard normal noise of the latents; drawn like that of `feedforward` if missing.

        Returns
        -------
        losses : Losses
            Named tuple (loss, reconstruction, kl), means over the batch in nats.
        gradients : dict of ndarray
            Gradients of the loss by name: encoder.0.weight, sampler.mean.bias, ...

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be.
        """
        rows = self.check_rows(X)
        shape = (len(rows), self.n_latent)
        if noise is None:
            drawn = self.sampler.noise(len(rows))
        else:
            drawn = checks.parameter(noise, "noise", shape, self.dtype)
        loss, reconstruction, kl, arena = self.network.gradients(
            rows, drawn, self.reconstruction_weight, self.beta
        )
        gradients = {}
        for name, layer in self.named_layers().items():
            weight, bias = layer.read_from(arena)
            gradients[f"{name}.weight"], gradients[f"{name}.bias"] = weight, bias
        return Losses(loss, reconstruction, kl), gradients
