"""Parts of a model as ONNX files, for runtimes that know nothing of fastvae.

A file holds all that the model does with its input: what the encoder takes for missing values and
counts, the bounds of log_var, and the mean of each kind of columns. The operators are those of an
old set, and only such as runtimes have for float64, too; formulas are those of the kernels
(`kernels/maths/activations.py`, `kernels/maths/row_likelihoods.py`), in which nothing overflows.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fastvae import kernels
from fastvae.files.storage import SavedLayer, check_finite
from fastvae.files.writing import check_file, write_file
from fastvae.kernels.maths.activations import LEAKY_SLOPE
from fastvae.kernels.maths.row_likelihoods import LOG_RATE_MAX

if TYPE_CHECKING:
    import onnx

Part: TypeAlias = Literal["encoder", "decoder", "reconstruct"]
PARTS: tuple[Part, ...] = get_args(Part)
OPSET, IR_VERSION = 13, 7
"""Of 2020: what is older than runtimes in use, and younger than operators with axes as inputs."""
MAX_BYTES = 2**31 - 2**20
"""Of weights: a file is one message of protobuf, which has less than 2 GB."""

# coth(l / 2) / 2 - 1 / l = sum over n >= 1 of B_2n l^(2n - 1) / (2n)!, by Bernoulli numbers; what
# is left out is below 1e-12 where |l| < 1/2.
_SMALL_LOGIT = 0.5
_NEAR_HALF = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)

_OF_MODELS = (".safetensors", ".npz")


class Port(NamedTuple):
    """An input or output: its name, its columns, and what it is."""

    name: str
    n_columns: int
    text: str


@dataclass
class Exported:
    """What is written of a model.

    Attributes
    ----------
    layers : dict
        By the names encoder.0, ..., sampler.mean, sampler.log_var, decoder.0, ..., and prior.
    kinds : list
        The kind and the columns of each block of a row.
    nan_is_missing : bool
        Whether the encoder takes 0 for NaN.
    facts : dict
        What the file says of itself: plain data by name; what is None is left out.
    n_classes : int
        Of a conditional model, whose parts take one-hot labels, too.
    """

    layers: dict[str, SavedLayer]
    kinds: list[tuple[str, int]]
    nan_is_missing: bool
    facts: dict[str, Any]
    n_classes: int = 0

    @property
    def n_features(self) -> int:
        """Columns of a row."""
        return sum(n for _, n in self.kinds)

    @property
    def n_latent(self) -> int:
        """Number of latents."""
        return len(self.layers["sampler.mean"].bias)

    def stack(self, part: str) -> list[tuple[str, SavedLayer]]:
        """The layers of the encoder or the decoder, with their names, in their order."""
        names = (f"{part}.{i}" for i in itertools.count())
        known = itertools.takewhile(self.layers.__contains__, names)
        return [(name, self.layers[name]) for name in known]


def ports(
    part: Part, n_features: int, n_latent: int, n_classes: int = 0
) -> tuple[list[Port], list[Port]]:
    """The inputs and outputs of a part; each is a matrix of some rows."""
    y = [Port("y", n_classes, "their labels, one-hot")] if n_classes else []
    x = Port("x", n_features, "rows of the data")
    z = Port("z", n_latent, "latents")
    x_mean = Port("x_mean", n_features, "means of x given the latent")
    mean = Port("mean", n_latent, "means of the latents' posterior")
    log_var = Port("log_var", n_latent, "logarithms of the variances of the latents' posterior")
    return {
        "encoder": ([x, *y], [mean, log_var]),
        "decoder": ([z, *y], [x_mean]),
        "reconstruct": ([x, *y], [x_mean]),
    }[part]


def write(path: str | os.PathLike[str], model: Exported, part: Part) -> None:
    """Write a part of a model; a reader sees the old file or the new one, whole.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ValueError
        If the name is one of a model file, which would be lost; if a weight is not finite, or
        there are more of them than a file can hold.
    OSError
        If the file cannot be written; an old one stays.
    """
    target = check_file(path)
    if target.suffix.lower() in _OF_MODELS:
        raise ValueError(f"{target} is the name of a model file; name one that ends in .onnx")
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"ONNX files need the package onnx: pip install 'fastvae-cpu[onnx]' "
            f"(in a clone: pip install '.[onnx]'; {error})"
        ) from error
    check_finite(model.layers)
    proto = _proto(model, part)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()

    def verify(temporary: Path) -> None:
        if temporary.read_bytes() != content:
            raise OSError("what was written reads back otherwise: the disk is at fault")

    write_file(target, content, verify)


@dataclass
class _Graph:
    """Nodes and constants as they are added; values go by their names."""

    dtype: np.dtype[Any]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: dict[str, onnx.TensorProto] = field(default_factory=dict)
    n_bytes: int = 0

    def add(self, op: str, *inputs: str | float, **attributes: Any) -> str:
        """Add a node of one output, and return its name; inputs are names, or numbers."""
        return self.add_many(op, inputs, 1, **attributes)[0]

    def add_many(
        self, op: str, inputs: Iterable[str | float], n_outputs: int, **attributes: Any
    ) -> list[str]:
        """Add a node of several outputs, and return their names."""
        from onnx import helper

        number = len(self.nodes)
        outputs = [f"{op.lower()}_{number}_{k}" for k in range(n_outputs)]
        names = [i if isinstance(i, str) else self._number(i) for i in inputs]
        self.nodes.append(helper.make_node(op, names, outputs, f"{op}_{number}", **attributes))
        return outputs

    def name(self, value: str, name: str) -> None:
        """Give a value the name of an output."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name], f"Identity_{name}"))

    def hold(self, name: str, array: NDArray[Any]) -> str:
        """Keep an array in the file, and return its name."""
        from onnx import numpy_helper

        self.n_bytes += array.nbytes
        if self.n_bytes > MAX_BYTES:
            raise ValueError(f"the weights have more than the {MAX_BYTES:,} bytes of an ONNX file")
        self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _number(self, value: float) -> str:
        name = f"number_{value!r}"
        return name if name in self.tensors else self.hold(name, np.array(value, self.dtype))


_Function: TypeAlias = Callable[[_Graph, str], str]


def _proto(model: Exported, part: Part) -> onnx.ModelProto:
    """A part of a model as ONNX has it."""
    from onnx import helper

    dtype = model.layers["sampler.mean"].weight.dtype
    graph = _Graph(dtype)
    inputs, outputs = ports(part, model.n_features, model.n_latent, model.n_classes)
    first, *labels = [port.name for port in inputs]
    values = [first]
    if part != "decoder":
        values = _encoder(graph, model, [first, *labels], outputs)
    if part != "encoder":
        values = [_decoder(graph, model, [values[0], *labels])]
    for value, port in zip(values, outputs, strict=True):
        graph.name(value, port.name)
    code = helper.np_dtype_to_tensor_dtype(dtype)
    infos = {
        port.name: helper.make_tensor_value_info(
            port.name, code, ["batch", port.n_columns], port.text
        )
        for port in (*inputs, *outputs)
    }
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            part,
            [infos[port.name] for port in inputs],
            [infos[port.name] for port in outputs],
            list(graph.tensors.values()),
        ),
        producer_name="fastvae",
        producer_version=model.facts["fastvae"],
        doc_string=f"{part} of a variational autoencoder: "
        f"{' and '.join(port.text for port in inputs)} to "
        f"{' and '.join(port.text for port in outputs)}",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    facts = {"part": part} | {k: v for k, v in model.facts.items() if v is not None}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    helper.set_model_props(made, texts)
    return made


def _encoder(graph: _Graph, model: Exported, given: list[str], wanted: list[Port]) -> list[str]:
    """The posterior's mean of rows, with their labels, and its log_var where that is wanted."""
    x = _beside(graph, [_row_inputs(graph, model, given[0]), *given[1:]])
    for name, layer in model.stack("encoder"):
        x = _ACTIVATIONS[layer.activation](graph, _dense(graph, name, layer, x))
    mean = _dense(graph, "sampler.mean", model.layers["sampler.mean"], x)
    prior_mean, prior_log_var = "", ""
    if "prior" in model.layers:
        # The head says the posterior relative to the prior, see `kernels/engine/label_tasks.py`.
        prior_mean, prior_log_var = _prior(graph, model, given[1])
        scale = graph.add("Exp", graph.add("Mul", prior_log_var, 0.5))
        mean = graph.add("Add", prior_mean, graph.add("Mul", scale, mean))
    if len(wanted) == 1:
        return [mean]
    log_var = _bounded(graph, _dense(graph, "sampler.log_var", model.layers["sampler.log_var"], x))
    return [mean, graph.add("Add", log_var, prior_log_var) if prior_log_var else log_var]


def _prior(graph: _Graph, model: Exported, y: str) -> list[str]:
    """Mean and log_var of the prior of each label."""
    layer, n = model.layers["prior"], model.n_latent
    halves = [
        SavedLayer(layer.weight[part], layer.bias[part], "identity")
        for part in (slice(n), slice(n, None))
    ]
    mean, log_var = (
        _dense(graph, f"prior.{name}", half, y)
        for name, half in zip(("mean", "log_var"), halves, strict=True)
    )
    return [mean, _bounded(graph, log_var)]


def _bounded(graph: _Graph, log_var: str) -> str:
    above = graph.add("Max", log_var, kernels.LOG_VAR_MIN)
    return graph.add("Min", above, kernels.LOG_VAR_MAX)


def _beside(graph: _Graph, columns: list[str]) -> str:
    """Matrices side by side."""
    return columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)


def _decoder(graph: _Graph, model: Exported, given: list[str]) -> str:
    """The mean of x of latents, with their labels; what is said of sigma is left out."""
    z = _beside(graph, given)
    *hidden, (name, last) = model.stack("decoder")
    for inner, layer in hidden:
        z = _ACTIVATIONS[layer.activation](graph, _dense(graph, inner, layer, z))
    n = model.n_features
    z = _dense(graph, name, SavedLayer(last.weight[:n], last.bias[:n], last.activation), z)
    means = _MEANS | {"gaussian": _ACTIVATIONS[last.activation]}
    return _by_columns(graph, z, [(means[kind], n) for kind, n in model.kinds])


def _row_inputs(graph: _Graph, model: Exported, x: str) -> str:
    """What the encoder takes for rows of the data."""
    if model.nan_is_missing:
        x = graph.add("Where", graph.add("IsNaN", x), 0.0, x)
    taken = [(_log1p if kind == "poisson" else _identity, n) for kind, n in model.kinds]
    return _by_columns(graph, x, taken)


def _by_columns(graph: _Graph, x: str, functions: Iterable[tuple[_Function, int]]) -> str:
    """Functions of so many columns each, side by side; neighbours of the same are taken at once."""
    runs: list[tuple[_Function, int]] = []
    for function, n in functions:
        if runs and runs[-1][0] is function and function is not _softmax:
            n += runs.pop()[1]
        runs.append((function, n))
    if len(runs) == 1:
        return runs[0][0](graph, x)
    widths = np.array([n for _, n in runs], np.int64)
    sizes = graph.hold(f"columns_{len(graph.nodes)}", widths)
    pieces = graph.add_many("Split", [x, sizes], len(runs), axis=1)
    done = [function(graph, piece) for (function, _), piece in zip(runs, pieces, strict=True)]
    return graph.add("Concat", *done, axis=1)


def _dense(graph: _Graph, name: str, layer: SavedLayer, x: str) -> str:
    weight = graph.hold(f"{name}.weight", layer.weight)
    return graph.add("Gemm", x, weight, graph.hold(f"{name}.bias", layer.bias), transB=1)


def _identity(graph: _Graph, x: str) -> str:
    return x


def _relu(graph: _Graph, x: str) -> str:
    return graph.add("Relu", x)


def _leaky_relu(graph: _Graph, x: str) -> str:
    return graph.add("Max", x, graph.add("Mul", x, LEAKY_SLOPE))


def _tanh(graph: _Graph, x: str) -> str:
    return graph.add("Tanh", x)


def _sigmoid(graph: _Graph, x: str) -> str:
    return graph.add("Sigmoid", x)


def _softplus(graph: _Graph, x: str) -> str:
    """max(x, 0) + log(1 + exp(-|x|)); ONNX's own overflows in some runtimes."""
    rest = _log1p(graph, graph.add("Exp", graph.add("Neg", graph.add("Abs", x))))
    return graph.add("Add", graph.add("Relu", x), rest)


def _log1p(graph: _Graph, x: str) -> str:
    return graph.add("Log", graph.add("Add", x, 1.0))


def _softmax(graph: _Graph, x: str) -> str:
    return graph.add("Softmax", x, axis=1)


def _bounded_exp(graph: _Graph, x: str) -> str:
    return graph.add("Exp", graph.add("Min", x, LOG_RATE_MAX))


def _continuous_bernoulli_mean(graph: _Graph, logit: str) -> str:
    """1 / (1 - exp(-l)) - 1 / l, near 0 by its series; see `continuous_bernoulli_mean` of the
    kernels."""
    size = graph.add("Abs", logit)
    small = graph.add("Less", size, _SMALL_LOGIT)
    a = graph.add("Where", small, 1.0, size)
    e = graph.add("Exp", graph.add("Neg", a))
    # 1 / a - e / (1 - e), the distance from 0 or 1
    rest = graph.add("Sub", graph.add("Div", 1.0, a), graph.add("Div", e, graph.add("Sub", 1.0, e)))
    is_negative = graph.add("Less", logit, 0.0)
    large = graph.add("Where", is_negative, rest, graph.add("Sub", 1.0, rest))
    near = graph.add("Where", small, logit, 0.0)  # the series of what is large would overflow
    square = graph.add("Mul", near, near)
    series: str | float = _NEAR_HALF[-1]
    for coefficient in reversed(_NEAR_HALF[:-1]):
        series = graph.add("Add", graph.add("Mul", series, square), coefficient)
    around = graph.add("Add", graph.add("Mul", series, near), 0.5)
    return graph.add("Where", small, around, large)


_ACTIVATIONS: dict[str, _Function] = {
    "identity": _identity,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}
# The mean of x of each kind of columns, of what the decoder says; Gaussian ones have an activation.
_MEANS: dict[str, _Function] = {
    "bernoulli": _sigmoid,
    "continuous_bernoulli": _continuous_bernoulli_mean,
    "poisson": _bounded_exp,
    "categorical": _softmax,
}
