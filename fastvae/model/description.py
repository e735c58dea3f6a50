"""What a model says of itself: its layers, its settings and counts, as text and in notebooks."""

from __future__ import annotations

from abc import abstractmethod
from html import escape
from typing import Any

import numpy as np

from fastvae.checks.quoting import printable
from fastvae.files.storage import RAW_SIGMA
from fastvae.model.layers import MLP, Dense
from fastvae.model.posterior import Posterior
from fastvae.model.summary import vae_summary
from fastvae.model.trained import Trained
from fastvae.model.value import Seeded

_MAX_CLASSES = 200  # characters of their names
_HEADINGS = ("layer", "inputs -> outputs", "activation", "weights", "parameters")


class Text(str):
    """A text that a prompt or a notebook shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Described(Posterior, Trained, Seeded):
    """Base of a model: what it is made of, in words and tables."""

    beta: float
    reconstruction_weight: float
    _parts: Any

    @property
    @abstractmethod
    def encoder(self) -> MLP:
        """The layers from the features to the sampler."""

    @property
    @abstractmethod
    def decoder(self) -> MLP:
        """The layers from the latent to the features."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters."""

    @property
    @abstractmethod
    def sigma_value(self) -> Any:
        """What sigma is at present: a number, several, or None."""

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases, and of trained sigmas."""
        n_dense = sum(layer.n_parameters for layer in self.named_layers().values())
        return n_dense + self.network.n_raws

    def named_layers(self) -> dict[str, Dense]:
        """The layers by the names that gradients and model files use: encoder.0, sampler.mean."""
        named = {f"encoder.{i}": layer for i, layer in enumerate(self.encoder)}
        named |= {"sampler.mean": self.sampler.mean, "sampler.log_var": self.sampler.log_var}
        named |= {f"decoder.{i}": layer for i, layer in enumerate(self.decoder)}
        return named if self.prior_layer is None else named | {"prior": self.prior_layer}

    def summary(self) -> Text:
        """Return the long text: layers, settings, counts and memory.

        At a prompt and in a notebook it shows without `print`. `str` of a model is a shorter text,
        `repr` a line.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If the model is empty.
        """
        lines = [self._title(), "", *_aligned([_HEADINGS, *self._rows()]), ""]
        described = facts(self)
        width = max(map(len, described)) + 2
        lines += [f"{name:{width}}{what}" for name, what in described.items()]
        return Text("\n".join(lines))

    def _repr_html_(self) -> str | None:
        """The layers and settings as tables, for notebooks; an empty model has its `repr` only."""
        if self._parts is None:
            return None
        rows = "".join(_html_row("td", row) for row in self._rows())
        described = "".join(_html_row("td", fact) for fact in facts(self).items())
        caption = f"<caption style='text-align:left'>{escape(self._title())}</caption>"
        return (
            f"<div><table>{caption}<thead>{_html_row('th', _HEADINGS)}</thead>"
            f"<tbody>{rows}</tbody></table><table><tbody>{described}</tbody></table></div>"
        )

    def __str__(self) -> str:
        if self._parts is None:
            return repr(self)
        return vae_summary(
            self.encoder, self.sampler, self.decoder, self.network.n_raws, self.prior_layer
        )

    def __repr__(self) -> str:
        if self._parts is None:
            return "VAE()"
        return f"<{self._title()}, likelihood {self.network.likelihood.name!r}>"

    def _title(self) -> str:
        sizes = [self.n_features, *(layer.n_out for layer in self.encoder), self.n_latent]
        sizes += [layer.n_out for layer in self.decoder]
        return f"VAE {'-'.join(map(str, sizes))}"

    def _rows(self) -> list[tuple[str, ...]]:
        """The cells of the table of layers, without its headings."""
        rows: list[tuple[str, ...]] = [
            (
                name,
                f"{layer.n_in} -> {layer.n_out}",
                layer.activation,
                f"({layer.n_out}, {layer.n_in})",
                f"{layer.n_parameters:,}",
            )
            for name, layer in self.named_layers().items()
        ]
        if self.network.n_raws:
            rows.append((RAW_SIGMA, "", "", "", f"{self.network.n_raws:,}"))
        return [*rows, ("total", "", "", "", f"{self.n_parameters:,}")]


def facts(model: Described) -> dict[str, str]:
    """What a model is beside its layers, as texts by their names."""
    n_bytes = model.network.parameters.nbytes
    found = {
        "likelihood": printable(str(model.network.likelihood)),
        "classes": _classes(model),
        "prior": "of each class its own" if model.prior == "label" else "",
        "sigma": _range(model.sigma_value),
        "beta": f"{model.beta:g}",
        "reconstruction weight": f"{model.reconstruction_weight:g}",
        "dtype": model.dtype.name,
        "seed": str(model.seed),
        "trained": f"{model.epochs} epochs, {model.updates:,} updates",
        "posterior": _posterior(model),
        "memory": f"{_megabytes(n_bytes)} of parameters, {_megabytes(3 * n_bytes)} with what "
        "Adam keeps of each",
    }
    return {name: what for name, what in found.items() if what}


def _posterior(model: Described) -> str:
    """What `sample` can draw of, beside the prior; nothing where there is no mixture."""
    mixture = model.posterior_mixture
    return "" if mixture is None else f"{mixture}, for samples"


def _classes(model: Described) -> str:
    """How many classes a conditional model has, and their names; nothing of another."""
    if not model.n_classes:
        return ""
    names = "" if model.class_names is None else f": {', '.join(model.class_names)}"
    return printable(f"{model.n_classes}{names}", _MAX_CLASSES)


def _range(value: Any) -> str:
    """A number, or the least and the largest of several; nothing for None."""
    if value is None:
        return ""
    ends = np.unique([np.min(value), np.max(value)])
    return " to ".join(f"{end:g}" for end in ends)


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.3g} kB"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines; the last column, of numbers, is aligned on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*map(str.ljust, row[:-1], widths), row[-1].rjust(widths[-1])]) for row in rows
    ]


def _html_row(tag: str, cells: tuple[str, ...]) -> str:
    """A row of a table: all cells begin on the left."""
    inner = (f"<{tag} style='text-align:left'>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{''.join(inner)}</tr>"
