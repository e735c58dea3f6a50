"""The way of parameters to and from other programs: a mapping of arrays by PyTorch's names.

The names are those of a module whose `encoder` and `decoder` are `torch.nn.Sequential`s of
Linear, activation, Linear, activation and so on, with two Linear heads, `mean` and `log_var`.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvae import checks
from fastvae.checks import foreign
from fastvae.checks.quoting import MAX_QUOTED, printable, quoted
from fastvae.files.state_files import StateFile, open_state
from fastvae.model.network import Network

_Take = Callable[[str, str, tuple[int, ...]], Any]
_MAX_NAMES = 10_000  # characters of what strangers named


class Exchange:
    """Base of a model: its parameters by the names that PyTorch gives them."""

    @property
    @abstractmethod
    def network(self) -> Network:
        """What holds the parameters."""

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return all parameters by name, as copies.

        A PyTorch module takes them, `torch.from_numpy` of each, with `load_state_dict`, if its
        `encoder` and `decoder` are Sequentials of Linear and activation in turn, and its heads are
        Linear layers `mean` and `log_var`: see docs/exchange.md.

        Returns
        -------
        dict of ndarray
            encoder.0.weight, encoder.0.bias, encoder.2.weight, ..., mean.weight, mean.bias,
            log_var.weight, log_var.bias, decoder.0.weight, ...: weights (out, in), biases (out,).
            Odd numbers are the activations, which have no parameters. Where sigma is "learned"
            or one per "feature", also raw_sigma, with sigma = 0.001 + exp(raw_sigma).
        """
        network = self.network
        with network.gate.reading:
            values = network.parameters.copy()
        arrays = network.to_arrays(values)
        return {name: arrays[key][rows].copy() for name, (key, rows) in _places(network).items()}

    def load_state_dict(
        self,
        mapping: Mapping[str, Any] | str | os.PathLike[str],
        names: Mapping[str, str | None] | None = None,
    ) -> None:
        """Set all parameters to those of a mapping or of a safetensors file; or change nothing.

        Nothing but the parameters changes: `epochs`, `updates` and `card` stay. In a callback the
        next update goes by them, and other threads see all old ones or all new ones.

        Parameters
        ----------
        mapping : mapping of array_like, or path
            What `state_dict` of this or of a PyTorch module returns; or the safetensors file of
            one. Arrays and CPU tensors of any real type, float16 and bfloat16 too. Weights are
            (out, in): those of Keras must be transposed, `array.T`.
        names : mapping of str, optional
            Which of the mapping's names stand for which of `state_dict`, {theirs: ours}; None in
            the place of ours leaves one out. Names that it does not hold stay as they are.

        Raises
        ------
        TypeError, ValueError
            If names are missing or unexpected, or an array has another shape than it must, is not
            finite or not of real numbers: all of that in one error. If the file is no safetensors
            file: files of `torch.save` are never read, since they can run code.
        OSError
            If the file cannot be read.
        """
        network = self.network
        if isinstance(mapping, (str, os.PathLike)):
            with open_state(mapping) as state:
                try:
                    found = _matched(state.held, _from_file(state), network, names)
                except ValueError as error:
                    hint = "; fastvae.load reads it, a model file" if state.is_model else ""
                    where = printable(os.fspath(mapping))
                    raise ValueError(f"{where}: {error}{hint}") from error
        elif isinstance(mapping, Mapping):

            def take(their: str, *_: Any) -> Any:
                return foreign.without_bfloat16(mapping[their])

            try:
                found = _matched(mapping, take, network, names)
            except ValueError as error:
                inner = _inner(mapping)
                if inner is None:
                    raise
                raise ValueError(f"{error}; {quoted(inner)} holds a mapping: give that") from error
        else:
            hint = "; give its state_dict()" if hasattr(mapping, "state_dict") else ""
            raise TypeError(
                f"parameters are loaded from a mapping of arrays or the path of a safetensors "
                f"file; got {quoted(mapping)}{hint}"
            )
        arrays = network.to_arrays(network.new_arena())
        for name, (key, rows) in _places(network).items():
            arrays[key][rows] = found[name]
        network.overwrite(network.from_arrays(arrays))


def _places(network: Network) -> dict[str, tuple[str, slice]]:
    """Where the array of each name is: its key in `Network.to_arrays`, and which of its rows."""
    head, n_latent, everything = network.n_encoder, network.n_latent, slice(None)
    dense = [(f"encoder.{2 * i}", i, everything) for i in range(head)]
    dense += [("mean", head, slice(n_latent)), ("log_var", head, slice(n_latent, None))]
    n_layers = network.n_dense
    dense += [(f"decoder.{2 * i}", head + 1 + i, everything) for i in range(n_layers - head - 1)]
    dense += [("prior", len(network.layers) - 1, everything)] if network.has_prior else []
    places = {
        f"{name}.{part}": (f"{layer}.{part}", rows)
        for name, layer, rows in dense
        for part in ("weight", "bias")
    }
    return places | ({"raw_sigma": (f"{n_layers}.bias", everything)} if network.n_raws else {})


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The shape of the array of each name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (key, rows) in _places(network).items():
        layer, part = key.split(".")
        n_in, n_out, _ = network.layers[int(layer)]
        n_rows = len(range(n_out)[rows])
        shapes[name] = (n_rows, n_in) if part == "weight" else (n_rows,)
    return shapes


def _from_file(state: StateFile) -> _Take:
    """What reads a tensor of a file, after its shape was looked at."""

    def take(their: str, name: str, shape: tuple[int, ...]) -> Any:
        _check_shape(state.held[their].shape, shape, name)
        try:
            return state.read(their)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    return take


def _matched(
    given: Iterable[Any],
    take: _Take,
    network: Network,
    names: Mapping[str, str | None] | None,
) -> dict[str, NDArray[Any]]:
    """The arrays by our names, all there, of the right shapes and finite.

    Parameters
    ----------
    given : iterable
        Their names.
    take : function
        Gives the array of one of their names, for our name and the shape that it must have.

    Raises
    ------
    TypeError, ValueError
        With all that is wrong.
    """
    shapes, dtype = _shapes(network), network.dtype
    theirs, problems = _renamed(dict.fromkeys(given).keys(), {} if names is None else names)
    missing = [ours for ours in shapes if ours not in theirs]
    others = {ours: their for ours, their in theirs.items() if ours not in shapes}
    if missing:
        listed = ", ".join(f"{ours} {shapes[ours]}" for ours in missing)
        problems.append(ValueError(f"missing {listed}"))
    if others:
        listed = printable(
            ", ".join(_both(their, ours) for ours, their in others.items()), _MAX_NAMES
        )
        problems.append(ValueError(f"unexpected {listed}"))
        problems.append(ValueError(_advice_on_names(missing, others)))
    found = {}
    for ours, their in theirs.items():
        if ours in shapes:
            try:
                found[ours] = _checked(take(their, ours, shapes[ours]), ours, shapes[ours], dtype)
            except (TypeError, ValueError) as error:
                as_theirs = "" if ours == their else f"{quoted(their)}: "
                problems.append(type(error)(f"{as_theirs}{error}"))
    if problems:
        only_types = all(isinstance(problem, TypeError) for problem in problems)
        kind = TypeError if only_types else ValueError
        raise kind(f"the parameters do not fit this model: {'; '.join(map(str, problems))}")
    return found


def _renamed(
    given: KeysView[Any], names: Mapping[str, str | None]
) -> tuple[dict[Any, Any], list[Exception]]:
    """Their names by ours, and what is wrong with the map of names."""
    if not isinstance(names, Mapping):
        raise TypeError(f"names must be a mapping {{theirs: ours}}; got {quoted(names)}")
    for ours in names.values():
        if ours is not None and not isinstance(ours, str):
            raise TypeError(f"names must stand for names, or None; got {quoted(ours)}")
    problems: list[Exception] = [
        ValueError(f"names holds {quoted(their)}, which is not there")
        for their in names
        if their not in given
    ]
    theirs: dict[Any, Any] = {}
    for their in given:
        ours = names.get(their, their)
        if ours is None:
            continue
        if ours in theirs:
            twice = f"{quoted(theirs[ours])} and {quoted(their)}"
            problems.append(ValueError(f"{twice} both stand for {quoted(ours)}"))
        theirs[ours] = their
    return theirs, problems


def _advice_on_names(missing: Sequence[str], others: Mapping[Any, Any]) -> str:
    """What `names` does about the names that are not expected, which are the keys of `others`."""
    if not missing:
        return f"names={{{quoted(next(iter(others.values())))}: None}} leaves one out"
    for name, their in others.items():
        if isinstance(name, str) and name == their and name.endswith(missing[0]):
            prefix = name.removesuffix(missing[0])
            if len(prefix) < MAX_QUOTED and all(prefix + ours in others for ours in missing):
                return (
                    f"they are there after {quoted(prefix)}: "
                    f"names={{{quoted(prefix)} + name: name for name in vae.state_dict()}}"
                )
    return "names={theirs: ours} says which stands for which"


def _inner(mapping: Mapping[Any, Any]) -> Any:
    """The name of what is meant: a mapping of weights in a mapping, as checkpoints have them."""
    if not isinstance(mapping, dict):  # which might read it all again
        return None
    for name, value in mapping.items():
        if isinstance(value, Mapping) and any(str(key).endswith("mean.weight") for key in value):
            return name
    return None


def _both(their: Any, ours: Any) -> str:
    """A name that is not expected, with what it stands for."""
    return quoted(their) if ours == their else f"{quoted(their)} as {quoted(ours)}"


def _checked(values: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array as the model takes it, of the right shape and finite."""
    array = checks.as_array(values, name)
    _check_shape(array.shape, shape, name)
    return checks.parameter(array, name, shape, dtype)


def _check_shape(found: tuple[int, ...], shape: tuple[int, ...], name: str) -> None:
    if found != shape:
        hint = " (transpose it: weights are (out, in))" if found == shape[::-1] else ""
        raise ValueError(f"{name} must have shape {shape}; got {found}{hint}")
