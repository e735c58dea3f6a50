"""The variational autoencoder: what it is made of, its passes, its figures and its files.

Letters: B batch rows, I features, H outputs of the encoder, Z latents. Rows are samples, losses
are in nats per sample.

References
----------
Kingma & Welling (2014), "Auto-Encoding Variational Bayes", arXiv:1312.6114.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastvae import checks
from fastvae.checks import public, scales
from fastvae.data import labelled
from fastvae.data.labelled import Checked, Labelled
from fastvae.data.rows import Rows, Use, taken
from fastvae.data.variants import check_binarize
from fastvae.distributed.parts import WHOLE, Parts
from fastvae.distributed.ranks import Communicator
from fastvae.distributed.spread import Spread
from fastvae.files import seed_format, storage
from fastvae.model import assembly, defaults, starts
from fastvae.model.description import Described
from fastvae.model.exchange import Exchange
from fastvae.model.exporting import Exporting
from fastvae.model.gradients import Gradients
from fastvae.model.guards import DrawCounter, Exclusive
from fastvae.model.layers import MLP, Dense
from fastvae.model.likelihood import BERNOULLI, GAUSSIAN, Likelihood
from fastvae.model.names import (
    Activation,
    Blocks,
    FileFormat,
    LikelihoodName,
    Missing,
    Prior,
    SigmaName,
)
from fastvae.model.network import Network
from fastvae.model.sampler import Sampler
from fastvae.model.trained import Trained
from fastvae.model.value import Seeded, Value, of_an_object
from fastvae.training import defaults as training_defaults
from fastvae.training import loop, optimizers, schedules
from fastvae.training.history import History
from fastvae.training.hooks import CallbackLike, EpochHook
from fastvae.training.names import Binarization, ObjectiveName, OptimizerName
from fastvae.training.nats import Nats
from fastvae.training.objectives import Objective
from fastvae.training.settings import Settings

if TYPE_CHECKING:
    from typing import Self

_BUILDING_SETTINGS = (
    "likelihood", "sigma", "blocks", "missing", "beta", "reconstruction_weight", "seed",
    "n_classes", "prior", "class_names",
)  # fmt: skip
_SAVED_SETTINGS = (*_BUILDING_SETTINGS, "epochs", "updates", "card")
_BUSY = (
    "this model is being trained: meanwhile it cannot be trained a second time, replaced by `load` "
    "or copied by another thread; wait until `fit` has returned, or use another model"
)
_LOAD = (
    "VAE.load is called on a model, which becomes what the file holds, as in vae.load(path); "
    "for a new model call fastvae.load(path)"
)


@public
class VAE(Described, Gradients, Exporting, Exchange, Trained, Seeded, Value):
    """A variational autoencoder of dense layers.

    Parameters
    ----------
    encoder : MLP, optional
        From the features to the sampler's inputs; one without layers hands them on.
    sampler : Sampler, optional
        Draws the latent.
    decoder : MLP, optional
        From the latent to the features. Without the three the VAE is empty: `load` fills it.
    likelihood : str
        What the columns are, see docs/likelihoods.md. "bernoulli": 0 or 1, with the decoder's
        outputs as means; the last activation must be sigmoid, and the loss is computed from the
        logits. "gaussian": N(x; x_hat, sigma^2 I). "continuous_bernoulli": grey values in [0, 1].
        "poisson": counts. "categorical": one of the columns of each block is 1, the others are 0.
        "mixed": blocks of these.
    sigma : float or str, optional
        Standard deviation of Gaussian columns, in the units of the data: a number; "learned", one
        for all, trained; "feature", one for each, trained; "output": the decoder says it, by one
        more output for each. If missing, the reconstruction weight C says it: sigma^2 = 1 / (2 C).
    blocks : list, optional
        In the order of the columns: of "categorical" how many each block has, [3, 5]; of "mixed"
        kind and number, [("gaussian", 4), ("categorical", 3)].
    missing : str
        What NaN in the data is, and what is masked or missing in a table: an "error", or left out
        of the likelihood, "ignore"; then the encoder takes 0 for it (Nazabal et al. 2020), and
        `reconstruct` says what it would be.
    beta, reconstruction_weight : float
        Minimised is reconstruction_weight * reconstruction + beta * kl, of which reconstruction is
        -log p(x | z) in nats, constants included. Where a Gaussian has no `sigma`, the weight is
        none, but says what sigma is: minimised is C ||x - x_hat||^2 + beta * kl, which is
        reconstruction + beta * kl without the constant D / 2 log(2 pi sigma^2); of mixed rows,
        and where values may be missing, `loss` has the constant, too.
    dtype : dtype
        float32, the working type, or float64, in which gradients are verified.
    seed : int
        Seed of the initial weights, of the epochs' orders and of all noise, in [0, 2**64).
    n_classes : int, optional
        Of a conditional model, p(x | y): the number of classes K of the labels y that it takes with
        all rows and latents. The encoder then has I + K inputs, the decoder Z + K, of which the
        last K are the label, one-hot. See docs/conditional.md.
    prior : str
        Of the latents: "normal", N(0, I), or of a conditional model "label": N(m_y, diag exp(s_y)),
        a mean and a log-variance for each class, trained with the model from N(0, I) on. The
        sampler then says the posterior relative to its prior; `encode` and `decode` do not.
    class_names : list of str, optional
        What the classes are called; a data set that `fit` is given may say so, too.

    Attributes
    ----------
    seed : int
        As given.
    epochs, updates : int
        How many the model has been trained for.
    card : dict
        A free-form model card of plain JSON data, saved with the model.
    posterior_mixture : PosteriorMixture or None
        What `fit_posterior` has fitted to latents for `sample`, while the weights stay.
    history : History or None
        What the last `fit` measured, up to where it ended, whatever ended it.
    learning_rate_factor : float
        Every learning rate is multiplied by it; `fit` begins with 1, callbacks may change it.
    stop_training : bool
        `fit` sets it to False when it begins; a callback that sets it to True ends the training
        after the present run of updates. An epoch that is cut short by it has no entry in the
        history.

    Raises
    ------
    TypeError, ValueError
        If the parts do not fit each other, or an argument is not what it must be.

    Notes
    -----
    Weights start as `Dense` says, of labels in hidden layers from N(0, 1.5^2), and biases at 0,
    except for layers whose weights were assigned before. Before the first update the output bias is
    set to what has the training mean, and a trained sigma to the deviation of the training rows;
    but not the bias of a purely Gaussian decoder whose sigma is given, unless values may be
    missing.

    A trained sigma is 0.001 + exp(raw), so that it stays above 0.001, however small the residuals.

    A log-variance counts within [-30, 20]: beyond a bound b the standard deviation stays
    exp(b / 2), and the KL divergence goes on along its tangent, kl(b) + kl'(b) (log_var - b), whose
    slope brings log_var back.

    References
    ----------
    Kingma & Welling (2014), eq. 10; for beta: Higgins et al. (2017), "beta-VAE", eq. 4. In our own
    words: docs/theory.md, (1) to (18), (26), (27), (34) and (35).
    """

    _OWN = frozenset(
        {
            "_observed",
            "_n_classes",
            "_class_names",
            "_prior",
            "_prior_layer",
            "_beta",
            "_reconstruction_weight",
            "_dtype",
            "_seed",
            "_epochs",
            "_update_count",
            "_card",
            "_prior_draws",
            "_in_fit",
            "_parts",
            "_last_run",
            "_mixture",
            "_learning_rate_factor",
        }
    )

    def __init__(
        self,
        encoder: MLP | None = None,
        sampler: Sampler | None = None,
        decoder: MLP | None = None,
        *,
        likelihood: LikelihoodName = defaults.LIKELIHOOD,
        sigma: float | SigmaName | None = None,
        blocks: Blocks | None = None,
        missing: Missing = "error",
        beta: float = 1.0,
        reconstruction_weight: float = 1.0,
        dtype: DTypeLike = np.float32,
        seed: int = 0,
        n_classes: int | None = None,
        prior: Prior = "normal",
        class_names: Sequence[str] | None = None,
    ) -> None:
        self._observed = Likelihood(likelihood, sigma, blocks, missing)
        self._parts: tuple[MLP, Sampler, MLP, Network] | None = None
        self._mixture = None
        self.beta = beta
        self.reconstruction_weight = reconstruction_weight
        self._dtype = checks.dtype(dtype)
        self.seed = seed
        self._n_classes = assembly.n_classes(n_classes)
        self._prior = assembly.check_prior(prior, self.n_classes)
        self.class_names = class_names
        self._prior_layer: Dense | None = None
        Trained.__init__(self)
        self._prior_draws = DrawCounter()
        self._in_fit = Exclusive(_BUSY)
        if encoder is None and sampler is None and decoder is None:
            return
        if (
            not isinstance(encoder, MLP)
            or not isinstance(sampler, Sampler)
            or not isinstance(decoder, MLP)
        ):
            given = ", ".join(type(part).__name__ for part in (encoder, sampler, decoder))
            raise TypeError(f"VAE takes an MLP, a Sampler and an MLP, or none; got {given}")
        if self.prior == "label":
            self._prior_layer = assembly.new_prior(self.n_classes, sampler.n_latent, self.dtype)
        self._join(encoder, sampler, decoder)
        sampler.seed = self.seed

    def _join(self, encoder: MLP, sampler: Sampler, decoder: MLP) -> None:
        network = assembly.join(
            encoder,
            sampler,
            decoder,
            likelihood=self._observed,
            dtype=self.dtype,
            seed=self.seed,
            n_classes=self.n_classes,
            prior=self._prior_layer,
        )
        network.set_weight(self.reconstruction_weight)
        self._parts = encoder, sampler, decoder, network

    def __getstate__(self) -> dict[str, Any]:
        if self._in_fit.is_taken_elsewhere:
            raise RuntimeError(_BUSY)
        kept = self._state_with(
            *self._OWN - {"_prior_draws", "_observed", "_in_fit", "_parts", "_last_run", "_mixture"}
        )
        parts = None if self._parts is None else self._parts[:3]
        taken = self._prior_draws.taken
        observed = asdict(self._observed)
        plain_state: dict[str, Any] = {"_prior_draws": taken, "_observed": observed}
        if self._parts is not None and self.network.n_raws:
            plain_state["_raws"] = self.network.raws
        plain_state["_mixture"] = self.posterior_mixture
        return kept | plain_state | {"_parts": parts, "_last_run": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        guards = {"_prior_draws": DrawCounter(state["_prior_draws"]), "_in_fit": Exclusive(_BUSY)}
        raws, mixture = state.get("_raws"), state.get("_mixture")
        state = state | guards | {"_mixture": None}
        super().__setstate__({k: v for k, v in state.items() if k != "_raws"})
        self._observed = Likelihood(**state["_observed"])
        if state["_parts"] is not None:
            self._join(*state["_parts"])
        if raws is not None:
            self.network.raws = raws
        self._take_mixture(mixture)

    @classmethod
    def from_sizes(
        cls,
        n_features: int = 784,
        hidden: assembly.Sizes = defaults.HIDDEN,
        n_latent: int = defaults.N_LATENT,
        activation: Activation = defaults.ACTIVATION,
        output_activation: Activation | None = None,
        *,
        likelihood: LikelihoodName = defaults.LIKELIHOOD,
        sigma: float | SigmaName | None = None,
        blocks: Blocks | None = None,
        missing: Missing = "error",
        beta: float = 1.0,
        reconstruction_weight: float = 1.0,
        dtype: DTypeLike = np.float32,
        seed: int = 0,
        n_classes: int | None = None,
        prior: Prior = "normal",
        class_names: Sequence[str] | None = None,
    ) -> Self:
        """Build a VAE from its sizes; the decoder mirrors the encoder.

        Parameters
        ----------
        n_features : int
            Number of features I.
        hidden : int or sequence of int
            Sizes of the encoder's layers, one or several. (): none, so that encoder and decoder
            are linear. Of a Gaussian with sigma "learned" this is probabilistic PCA (Tipping &
            Bishop 1999).
        n_latent : int
            Number of latents Z.
        activation : str
            Activation of all layers but the sampler's and the last.
        output_activation : str, optional
            Activation of the last layer: sigmoid for the Bernoulli likelihood, identity for all
            others; the Gaussian may have another.
        likelihood, sigma, blocks, missing, beta, reconstruction_weight, dtype, seed, n_classes, \
        prior, class_names
            See the class.

        Raises
        ------
        TypeError, ValueError
            If a size, a name or a number is not what it must be.
        """
        observed = Likelihood(likelihood, sigma, blocks, missing)
        encoder, sampler, decoder = assembly.from_sizes(
            n_features, hidden, n_latent, activation, output_activation, observed, dtype,
            assembly.n_classes(n_classes),
        )  # fmt: skip
        return cls(
            encoder,
            sampler,
            decoder,
            likelihood=likelihood,
            sigma=sigma,
            blocks=blocks,
            missing=missing,
            beta=beta,
            reconstruction_weight=reconstruction_weight,
            dtype=dtype,
            seed=seed,
            n_classes=n_classes,
            prior=prior,
            class_names=class_names,
        )

    @property
    def encoder(self) -> MLP:
        """The layers from the features to the sampler."""
        return self._filled()[0]

    @property
    def sampler(self) -> Sampler:
        """The sampler; its `sample` is the latent drawn by the last `feedforward`."""
        return self._filled()[1]

    @property
    def decoder(self) -> MLP:
        """The layers from the latent to the features."""
        return self._filled()[2]

    @property
    def network(self) -> Network:
        """The parameters and the passes over rows, on the kernels; validates nothing."""
        return self._filled()[3]

    @property
    def likelihood(self) -> LikelihoodName:
        """Name of the likelihood."""
        return self._observed.name

    @property
    def sigma(self) -> float | SigmaName | None:
        """The setting of Gaussian columns' standard deviation, as given."""
        return self._observed.sigma

    @property
    def sigma_value(self) -> Any:
        """What sigma is at present: a number, or one for each Gaussian column, shape (G,).

        None where the decoder says it for each row, and where no column is Gaussian.
        """
        return self._observed.present_sigma(self.reconstruction_weight, self.network.raws)

    @property
    def blocks(self) -> list[Any] | None:
        """The blocks of columns, as given."""
        return None if self._observed.blocks is None else list(self._observed.blocks)

    @property
    def missing(self) -> Missing:
        """What NaN in the data is: an "error", or what to "ignore"."""
        return self._observed.missing

    @property
    def nats(self) -> Nats:
        """How the engine's sums become nats, by the present reconstruction weight."""
        return self._observed.nats(self.reconstruction_weight, self.n_features)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters and of all results: float32 or float64."""
        return self._dtype

    @property
    def beta(self) -> float:
        """Weight of the KL divergence in the loss."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta = checks.number(value, "beta")

    @property
    def reconstruction_weight(self) -> float:
        """Weight of the reconstruction in the loss; of a Gaussian without sigma 1/(2 sigma^2)."""
        return self._reconstruction_weight

    @reconstruction_weight.setter
    def reconstruction_weight(self, value: float) -> None:
        self._reconstruction_weight = self._observed.check_weight(value)
        if self._parts is not None:
            self.network.set_weight(self._reconstruction_weight)

    @property
    def draw_counts(self) -> tuple[int, int]:
        """How many draws `sample` without a seed, and `feedforward`, have made."""
        return self._prior_draws.taken, self.sampler.n_draws

    @draw_counts.setter
    def draw_counts(self, value: tuple[int, int]) -> None:
        self._prior_draws.taken, self.sampler.n_draws = value

    @property
    def in_fit(self) -> Exclusive:
        """What `fit` is in while it trains the model."""
        return self._in_fit

    def fit(
        self,
        data: Rows,
        *,
        epochs: int,
        batch_size: int = training_defaults.BATCH_SIZE,
        learning_rate: float | schedules.Schedule = training_defaults.LEARNING_RATE,
        optimizer: OptimizerName | optimizers.Optimizer = training_defaults.OPTIMIZER,
        beta: float | schedules.Schedule | None = None,
        labels: ArrayLike | None = None,
        validation: Rows | tuple[Rows, ArrayLike] | None = None,
        clip_norm: float | None = None,
        binarize: Binarization | None = None,
        objective: ObjectiveName = "elbo",
        n_samples: int = 1,
        free_bits: float = 0.0,
        callbacks: Sequence[CallbackLike | EpochHook] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: str | int | tuple[str | int, ...] = "epoch",
        resume: bool | str | os.PathLike[str] | None = None,
        verbose: bool = True,
        n_threads: int | None = None,
        comm: Communicator | None = None,
        n_blocks: int | None = None,
        shard: tuple[int, int] | None = None,
    ) -> History:
        """Train on rows, in a new order each epoch; the last, smaller batch is trained too.

        A second `fit` continues from the weights with fresh moments, orders and noise; with
        `resume` it goes on with the run itself. The result is bit for bit the same for every
        number of threads, whatever array of the same values the rows come in, and wherever a run
        was ended and resumed.

        Parameters
        ----------
        data : array_like of shape (n, n_features), or Dataset
            Rows, or a data set whose training rows are taken. uint8 means pixels
            (value / 255), and is refused where its largest value is 1. Memory-mapped, strided
            and read-only arrays are read in place. DataFrames (pandas, polars), CPU tensors and
            masked arrays are taken too; what is missing or masked is an error, or left out, as
            `missing` says.
        epochs : int
            Number of passes over the rows; with `resume` those of the whole run.
        batch_size : int
            Rows per update.
        learning_rate : float or callable
            A number, or a schedule: a function of (step, total), see `fastvae.schedules`.
        optimizer : str or Adam, RMSprop, SGD
            The optimiser, or its name: "adam", "rmsprop", "sgd".
        beta : float or callable, optional
            The weight of the KL divergence: a number, which `beta` then is, or a schedule of
            (step, total), see `fastvae.schedules`; `beta` is then what the last update went by.
            The model's own if missing.
        labels : array_like of int, shape (n,), optional
            Of a conditional model the class of each row, from 0 to K - 1; of a data set its own
            labels if missing, with the names that it has for them. See docs/conditional.md.
        validation : array_like of shape (n, n_features), or Dataset, optional
            Rows to evaluate after each epoch; of a data set the test rows, or where it has none
            the training rows. Of a conditional model a data set with labels, or a pair (rows,
            labels).
        clip_norm : float, optional
            Largest norm of the gradient of all parameters taken together; longer ones are scaled
            down to it (Pascanu et al. 2013, "On the difficulty of training recurrent neural
            networks", algorithm 1).
        binarize : "dynamic", "threshold" or "fixed"; optional
            Make values of 0 or 1 out of those in [0, 1], for the Bernoulli likelihood: each is
            drawn as 1 with its value as the probability, anew at each visit ("dynamic", as in
            Burda et al. 2016) or once for all ("fixed": the draw goes by the number of the row),
            or is 1 from 0.5 on ("threshold"). Validation rows are treated alike, with draws that
            are the same at each epoch.
        objective : "elbo", "iwae" or "dreg"
            What is maximised: the evidence lower bound; the importance-weighted bound
            log mean_j w_j of `n_samples` latents z_j, w_j = p(x, z_j) / q(z_j | x); or the same
            bound with the encoder's doubly reparameterised gradient, which varies less. The latter
            two have no weights: `beta` and `reconstruction_weight` must be 1.
        n_samples : int
            Latents drawn for each row; the encoder sees the row once. The ELBO takes their mean.
            With 1, "iwae" and "dreg" train the ELBO, too, by a noisier gradient.
        free_bits : float
            Of the ELBO: nats that each latent unit may have in its KL (the mean over the batch)
            for nothing; charged is max(free_bits, KL). It keeps units from being switched off.
        callbacks : sequence of Callback or function
            See `fastvae.callbacks`; a function is called as f(vae, epoch, figures) after each
            epoch.
        checkpoint : path, optional
            A file to which all is written that the run needs to go on: weights, moments,
            counts, history, callbacks' states. The file before stays as NAME.previous.EXT. A
            checkpoint that cannot be written is a RuntimeWarning, and the next is tried; the
            last one, after the last epoch or an exception, stands for the end of the run.
        checkpoint_every : "epoch", int, "<n>s" or a tuple of these
            When it is written: after each epoch, after so many updates, at the next run of
            updates (well under a second) after so many seconds.
        resume : path or True, optional
            Go on with a run at the very update where a checkpoint was written; True: where the
            last `fit` of this model ended. Data, sizes and settings must be those of the run,
            but for `epochs`, `callbacks`, checkpoints and threads. A callback with a state
            (patience, best weights) is given again, and takes it up.
        verbose : bool
            Show a progress bar on a terminal, and a line per epoch.
        n_threads : int, optional
            Number of threads for this fit.
        comm : mpi4py.MPI.Comm, optional
            Train on all ranks of a communicator together, each of which calls `fit` with the same
            arguments; see docs/scaling.md. Rank 0 alone prints, writes, and calls callbacks.
        n_blocks : int, optional
            Blocks that every batch is made of, whose gradients are added up in a fixed order: the
            result is the same to the bit for every number of ranks, and with `comm` or without.
            8 with `comm` if missing, else 1. At most so many ranks can take part.
        shard : (int, int), optional
            Where each rank is given its own rows of `data` and `labels` only: the number of the
            first of them, and how many rows all ranks have; `fastvae.distributed.rows_of` says
            which they are to be. Without, all ranks are given the same rows, and read their own.

        Returns
        -------
        History
            A mapping of lists with one entry per epoch; it is `history` too, also after an
            exception.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be (errors about one value name its row and
            column), or `resume` finds a damaged checkpoint, or other data, sizes or settings than
            those of its run (the error names the difference); nothing has changed then.
        OSError
            If there is no checkpoint to resume, or nothing can be written where one is to be; at
            the end if the last one could not be written.
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
        biases, `learning_rate_factor`, `beta`, `reconstruction_weight`, `seed`, `updates` and
        `card`: the next update goes by them. A schedule is asked for its values before each run of
        updates. `fit` and `load` on the model that is being trained are RuntimeErrors, and its
        parts cannot be replaced.

        Other threads may meanwhile read the model (`encode`, `decode`, `reconstruct`, `elbo`,
        `log_likelihood`, `sample`, `feedforward`, `gradients`, `save`): each call sees the weights
        as they are between two runs of updates, which wait for it. To `fit`, `load`, copy or pickle
        it there is a RuntimeError.

        References
        ----------
        iwae: Burda, Grosse & Salakhutdinov (2016), "Importance Weighted Autoencoders", eq. 8 and
        14. dreg: Tucker et al. (2019), "Doubly Reparameterized Gradient Estimators for Monte Carlo
        Objectives", eq. 8. free_bits: Kingma et al. (2016), "Improved Variational Inference with
        Inverse Autoregressive Flow", eq. 15. Also docs/theory.md, (19), (22), (23) and (31).
        """
        spread = Spread.of(comm, n_blocks, shard)
        settings = spread.ranks.together(
            lambda: Settings(
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                beta=beta,
                optimizer=optimizer,
                clip_norm=clip_norm,
                binarize=check_binarize(binarize, self.likelihood),
                objective=Objective.of(objective, n_samples, free_bits),
                callbacks=callbacks,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                resume=resume,
                verbose=verbose,
                n_threads=n_threads,
                spread=spread,
            )
        )
        return loop.fit(self, data, validation, settings, labels=labels)

    def save(self, path: str | os.PathLike[str], *, format: FileFormat = "safetensors") -> None:
        """Save the model, with its card, as one safetensors file or in the seed's format.

        The `posterior_mixture`, if there is one, is in the safetensors file.

        What `load` would refuse is an error, and what was written is read once before it takes
        an old file's place. A symbolic link is followed; permissions stay.

        Parameters
        ----------
        path : path
            The file to write (an existing one is replaced whole), or a new folder for "seed".
        format : str
            "safetensors" or "seed".

        Raises
        ------
        TypeError, ValueError
            If the format is unknown, a weight is not finite, the card was changed to what is not
            plain JSON data, or it is larger than a file's header can be (100 MB); an old file
            stays.
        OSError
            If the file or folder cannot be written; an old file stays.

        Warns
        -----
        UserWarning
            If there is a mixture, for which the seed's format has no place.
        """
        if format == "safetensors" and os.fspath(path).endswith(os.sep):
            raise IsADirectoryError(f"{path} is the name of a folder; name a file in it")
        with self.network.gate.reading:
            settings = {name: getattr(self, name) for name in _SAVED_SETTINGS}
            settings |= self._observed.settings
            values = self.network.parameters.copy()
            raws = self.network.read_raws(values)
            mixture = self.posterior_mixture
        model = storage.SavedModel(
            self._layers_in(values), dtype=self.dtype.name, raw_sigma=raws, posterior=mixture,
            **settings,
        )  # fmt: skip
        write = {"safetensors": storage.write, "seed": seed_format.write}
        write[checks.choice(format, write, "format")](Path(path), model)

    @of_an_object(_LOAD)
    def load(self, name_or_path: str | os.PathLike[str]) -> None:
        """Become the model that a file holds; on failure nothing changes.

        Parameters
        ----------
        name_or_path : str or path
            A model file, a run folder, a folder in the seed's format, or the name of a
            pretrained model (see `fastvae.pretrained`).

        Raises
        ------
        FileNotFoundError
            If there is none; the known names are listed.
        ValueError
            If it is truncated, corrupt, mislabelled or no model.
        RuntimeError
            While `fit` trains this model: load into another, and assign its layers' weights.
        """
        with self._in_fit:
            path = storage.locate(name_or_path)
            saved = (seed_format if seed_format.is_seed_folder(path) else storage).read(path)
            with storage.explaining(path):
                settings = {name: getattr(saved, name) for name in _BUILDING_SETTINGS}
                loaded = type(self)(*assembly.from_saved(saved), dtype=saved.dtype, **settings)
                loaded.network.take_raws(saved.raw_sigma)
                assembly.take_prior(loaded.prior_layer, saved)
            loaded._take_mixture(saved.posterior)
            loaded.epochs, loaded.updates, loaded.card = saved.epochs, saved.updates, saved.card
            vars(self).update({k: v for k, v in vars(loaded).items() if k != "_in_fit"})

    def check_rows(
        self, X: Rows, name: str = "X", use: Use = "pass", labels: ArrayLike | None = None
    ) -> Checked:
        """Return rows as `Network` takes them, shape (B, I), or raise what is wrong with them.

        What is read otherwise than it may be meant is refused or warned of, see `scales`. With
        labels, where the model is conditional: those of a data set, else of a pair (rows, labels)
        for validation.
        """
        rows = self._lazy_rows(X, name, use, labels)[:]
        values = labelled.values(rows)
        if use == "training" and self.likelihood == GAUSSIAN and values.dtype != checks.UINT8:
            scales.warn_of_scales(values, *taken(X, name, use), self.sigma)
        return rows

    def start_output_bias(
        self, rows: Checked, binarize: str | None = None, parts: Parts = WHOLE
    ) -> None:
        """Before the first update, set what is 0 to what has the mean of the rows; see `starts`.

        A bias that was set by hand or loaded stays.

        Parameters
        ----------
        rows : ndarray or Labelled, shape (B, I)
            What `check_rows` returned.
        binarize : str, optional
            How they are made binary.
        parts : Parts
            Of which these rows are some.
        """
        if self.updates == 0:
            starts.start(self.decoder.layers[-1], self.network, rows, binarize, parts)

    def _lazy_rows(
        self, X: Rows, name: str = "X", use: Use = "pass", labels: ArrayLike | None = None
    ) -> NDArray[Any] | checks.LazyRows | Labelled:
        """Check rows as `check_rows` does; what needs converting is converted where it is read."""
        X, labels, name_of_labels = self._rows_and_labels(X, name, use, labels)
        X, name = taken(X, name, use)
        bernoulli = self.likelihood == BERNOULLI
        rows = checks.lazy_rows(
            X, name, self.n_features, self.dtype, unit_interval=bernoulli,
            columns=self._observed.columns(self.n_features) if self._observed.by_rows else None,
        )  # fmt: skip
        given = rows if isinstance(rows, np.ndarray) else rows.given
        if given.dtype == checks.UINT8:
            look = scales.warn_if_binary if use == "pass" else scales.check_pixels
            look(given, name)
        return self._with_labels(rows, labels, name_of_labels)

    def _layers_in(self, values: NDArray[Any]) -> dict[str, storage.SavedLayer]:
        """The layers by name, with the parameters that an array like the network's holds."""
        return {
            name: storage.SavedLayer(*layer.read(values), layer.activation)
            for name, layer in self.named_layers().items()
        }

    def _filled(self) -> tuple[MLP, Sampler, MLP, Network]:
        if self._parts is None:
            raise ValueError(
                "this VAE is empty: load a model into it, or build one with VAE.from_sizes(...) "
                "or VAE(encoder, sampler, decoder)"
            )
        return self._parts
