"""Dense layers and the multi-layer perceptron, on the plain kernels.

Letters: B batch rows, I inputs, O outputs. Rows are samples.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastvae import checks, kernels
from fastvae.model.names import Activation
from fastvae.model.network import Network
from fastvae.model.value import Seeded, Value

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


@checks.public
class Dense(Seeded, Value):
    """A fully connected layer: y = activation(x W^T + b).

    Parameters
    ----------
    n_in, n_out : int
        Number of inputs I and outputs O.
    activation : str
        One of identity, relu, leaky_relu (slope 0.01), tanh, sigmoid, softplus.
    dtype : dtype
        float32 or float64.
    seed : int
        Seed of the initial weights.

    Attributes
    ----------
    weight_grad, bias_grad : ndarray or None
        Gradients of the last `backward`, shapes (O, I) and (O,).

    Notes
    -----
    Weights start from N(0, v), biases at 0. For an identity layer v = 1 / I, which keeps the
    variance of what goes through it (LeCun et al. 1998, "Efficient BackProp", eq. 16); for others
    v = 2 / (I + O), a compromise between the variances of activations and of gradients (Glorot &
    Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    eq. 12; docs/theory.md, (34)). They are drawn when they are first asked for. A layer that joins
    an `MLP` or a `VAE` without having been assigned weights or biases draws them anew from its
    position there, so that layers of equal size differ.

    Several threads may call `feedforward`; `backward` belongs to the last call, whoever made it.
    A copy of a VAE's layer, or one from a pickle of the layer alone, is a layer of its own.
    """

    _OWN = frozenset(
        {
            "_n_in",
            "_n_out",
            "_activation",
            "_dtype",
            "_seed",
            "_drawn_from",
            "_weight",
            "_bias",
            "_place",
            "_pass",
        }
    )

    # Seed and number to draw the weights from; None once somebody assigned some.
    _drawn_from: tuple[int, int] | None
    # None while they are still to be drawn, and in a VAE, whose network holds them.
    _weight: NDArray[Any] | None

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: Activation = "relu",
        *,
        dtype: DTypeLike = np.float32,
        seed: int = 0,
    ) -> None:
        self._n_in = checks.size(n_in, "n_in")
        self._n_out = checks.size(n_out, "n_out")
        self._activation: Activation = checks.choice(activation, ACTIVATIONS, "activation")
        self.seed = seed
        self._dtype = checks.dtype(dtype)
        self._place: tuple[Network, int, int] | None = None
        self._pass: tuple[NDArray[Any], NDArray[Any]] | None = None
        self.weight_grad: NDArray[Any] | None = None
        self.bias_grad: NDArray[Any] | None = None
        self.initialise(self.seed)

    def __getstate__(self) -> dict[str, Any]:
        weight, bias = self.read()
        kept = self._state_with(
            "_n_in", "_n_out", "_activation", "_dtype", "_seed", "_drawn_from", "_pass"
        )
        return kept | {"_weight": weight, "_bias": bias, "_place": None}

    @property
    def n_in(self) -> int:
        """Number of inputs I."""
        return self._n_in

    @property
    def n_out(self) -> int:
        """Number of outputs O."""
        return self._n_out

    @property
    def activation(self) -> Activation:
        """Name of the activation."""
        return self._activation

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters: float32 or float64."""
        return self._dtype

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases: O * I + O."""
        return self.n_out * self.n_in + self.n_out

    @property
    def in_vae(self) -> bool:
        """Whether the layer belongs to a VAE, which then holds its parameters."""
        return self._place is not None

    @property
    def weight(self) -> NDArray[Any]:
        """The weights, shape (O, I): a read-only copy. Assign an array to change them."""
        weight = self.read()[0].copy()
        weight.flags.writeable = False
        return weight

    @weight.setter
    def weight(self, value: ArrayLike) -> None:
        self._write(checks.parameter(value, "weight", (self.n_out, self.n_in), self.dtype), None)

    @property
    def bias(self) -> NDArray[Any]:
        """The biases, shape (O,): a read-only copy. Assign an array to change them."""
        bias = self.read()[1].copy()
        bias.flags.writeable = False
        return bias

    @bias.setter
    def bias(self, value: ArrayLike) -> None:
        self._write(None, checks.parameter(value, "bias", (self.n_out,), self.dtype))

    @property
    def start_deviation(self) -> float:
        """The standard deviation that weights are drawn with: see the class."""
        # 1 / I throughout trains faster at first, but ends 0.8 nats worse on MNIST (10 epochs).
        linear = self.activation == "identity"
        return math.sqrt(1 / self.n_in if linear else 2 / (self.n_in + self.n_out))

    def initialise(self, seed: int, number: int = 0) -> None:
        """Draw the weights anew (see the class) and set the biases to 0.

        Parameters
        ----------
        seed : int
            Seed of the counter-based generator.
        number : int
            Number of the layer: layers of the same seed differ by it.
        """
        drawn_from = checks.seed(seed), checks.count(number, "number")
        if self._place is None:
            self._drawn_from, self._weight = drawn_from, None
            self._bias = np.zeros(self.n_out, self.dtype)
        else:
            self._write(self._draw(*drawn_from), np.zeros(self.n_out, self.dtype))

    def initialise_if_unassigned(self, seed: int, number: int) -> bool:
        """Like `initialise`, unless somebody assigned weights or biases; return whether it did."""
        if self._drawn_from is None:
            return False
        self.initialise(seed, number)
        return True

    def join(self, network: Network, layer: int, first: int) -> None:
        """Hand the parameters over to a VAE's network, where they live from now on.

        They are those of outputs `first` onwards of one of its layers. Weights that are still to be
        drawn are drawn in the network's dtype.
        """
        self._dtype = network.dtype
        weight, bias = self.read()
        self._place = network, layer, first
        self._drawn_from = self._weight = None
        self._write(weight.astype(self.dtype, copy=False), bias.astype(self.dtype, copy=False))

    def read(self, values: NDArray[Any] | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights (O, I) and biases (O,), for use as they are: nobody may write to them.

        Parameters
        ----------
        values : ndarray, optional
            In a VAE, an array laid out like its network's parameters, to read in their place.
        """
        if self._place is not None:
            network, layer, first = self._place
            return network.read_dense(layer, first, self.n_out, values)
        if self._weight is None:
            assert self._drawn_from is not None
            self._weight = self._draw(*self._drawn_from)
        return self._weight, self._bias

    def feedforward(self, x: ArrayLike) -> NDArray[Any]:
        """Return the layer's outputs and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, shape (B, I) or (I,)
            uint8 means pixels (value / 255).

        Returns
        -------
        ndarray, shape (B, O) or (O,)

        Raises
        ------
        TypeError, ValueError
            If x is not a real array of that shape.
        """
        rows = checks.layer_input(x, "x", self.n_in, self.dtype)
        y = np.empty((len(rows), self.n_out), self.dtype)
        weight, bias = self.read()
        kernels.dense_forward(y, rows, weight, bias, kernels.ACTIVATIONS[self.activation])
        self._pass = rows, y
        return y[0].copy() if checks.is_one_row(x) else y.copy()

    def backward(self, dy: ArrayLike) -> NDArray[Any]:
        """Return dL/dx and set `weight_grad` and `bias_grad`, summed over the rows.

        Parameters
        ----------
        dy : array_like, shape (B, O) or (O,)
            dL/dy for the outputs of the last `feedforward`.

        Returns
        -------
        ndarray, shape (B, I) or (I,)

        Raises
        ------
        RuntimeError
            If there was no `feedforward`.
        ValueError
            If dy has another shape than the last outputs.
        """
        if self._pass is None:
            raise RuntimeError("backward needs the outputs of a feedforward; call that first")
        x, y = self._pass
        given = checks.layer_input(dy, "dy", self.n_out, self.dtype, pixels=False)
        if given.shape != y.shape:
            raise ValueError(f"dy must have {len(y)} rows; got {len(given)}")
        delta = np.empty_like(given)
        kernels.activation_backward(delta, given, y, kernels.ACTIVATIONS[self.activation])
        dx = np.empty_like(x)
        weight_grad = np.empty((self.n_out, self.n_in), self.dtype)
        bias_grad = np.empty(self.n_out, self.dtype)
        kernels.dense_backward_weight(weight_grad, delta, x)
        kernels.dense_backward_bias(bias_grad, delta)
        kernels.dense_backward_input(dx, delta, self.read()[0])
        self.weight_grad, self.bias_grad = weight_grad, bias_grad
        return dx[0] if checks.is_one_row(dy) else dx

    def __repr__(self) -> str:
        return f"Dense({self.n_in}, {self.n_out}, {self.activation!r})"

    def _draw(self, seed: int, number: int) -> NDArray[Any]:
        """Initial weights, see the class."""
        weight = np.empty((self.n_out, self.n_in), self.dtype)
        kernels.normal(weight, seed, kernels.STREAM_WEIGHTS, number)
        weight *= self.start_deviation
        return weight

    def _write(self, weight: NDArray[Any] | None, bias: NDArray[Any] | None) -> None:
        if self._place is not None:
            network, layer, first = self._place
            network.write_dense(layer, weight, bias, first)
            return
        self._weight = self.read()[0] if weight is None else weight.copy()
        if bias is not None:
            self._bias = bias.copy()
        self._drawn_from = None


@checks.public
class MLP(Value):
    """Dense layers in a row.

    Parameters
    ----------
    layers : iterable of Dense
        Each layer's `n_in` must be the `n_out` of the one before.

    Raises
    ------
    TypeError
        If one of them is not a Dense layer.
    ValueError
        If sizes do not chain, or a layer is given twice.
    """

    _OWN = frozenset({"_layers"})

    def __init__(self, layers: Iterable[Dense] = ()) -> None:
        self._layers: list[Dense] = []
        for layer in layers:
            self.add_layer(layer)

    def __getstate__(self) -> dict[str, Any]:
        return self._state_with("_layers")

    @property
    def layers(self) -> tuple[Dense, ...]:
        """The layers, first to last."""
        return tuple(self._layers)

    def add_layer(self, layer: Dense) -> None:
        """Append a layer.

        Raises
        ------
        TypeError
            If it is not a Dense layer.
        ValueError
            If its inputs are not the last layer's outputs, it is in the MLP already, or one of
            the two belongs to a VAE.
        """
        if not isinstance(layer, Dense):
            raise TypeError(f"layer must be a Dense layer; got {type(layer).__name__}")
        if any(layer is other for other in self._layers):
            raise ValueError(f"{layer!r} is in this MLP already; each layer can be used once")
        if layer.in_vae or any(other.in_vae for other in self._layers):
            raise ValueError("the layers of a VAE are fixed; build a new MLP from new layers")
        if self._layers and layer.n_in != self._layers[-1].n_out:
            raise ValueError(
                f"layer {len(self._layers)} must have {self._layers[-1].n_out} inputs, "
                f"the outputs of the layer before; got {layer!r}"
            )
        layer.initialise_if_unassigned(layer.seed, len(self._layers))
        self._layers.append(layer)

    def feedforward(self, x: ArrayLike) -> NDArray[Any]:
        """Return the outputs of the last layer; without layers a copy of x.

        Parameters
        ----------
        x : array_like, shape (B, I) or (I,)
            uint8 means pixels (value / 255).

        Returns
        -------
        ndarray, shape (B, O) or (O,)

        Raises
        ------
        TypeError, ValueError
            If x is not a real array of that shape.
        """
        y: Any = x
        for layer in self._layers:
            y = layer.feedforward(y)
        return np.asarray(y) if self._layers else np.array(x)

    def backward(self, dy: ArrayLike) -> NDArray[Any]:
        """Return dL/dx and set each layer's gradients, summed over the rows.

        Parameters
        ----------
        dy : array_like, shape (B, O) or (O,)
            dL/dy for the outputs of the last `feedforward`.

        Returns
        -------
        ndarray, shape (B, I) or (I,)

        Raises
        ------
        RuntimeError
            If there was no `feedforward`.
        ValueError
            If dy has another shape than the last outputs.
        """
        dx: Any = dy
        for layer in reversed(self._layers):
            dx = layer.backward(dx)
        return np.asarray(dx)

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Dense]:
        return iter(self._layers)

    def __repr__(self) -> str:
        return f"MLP({self._layers!r})"
