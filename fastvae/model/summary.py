"""The printed summary of a model: its layers, their shapes and parameter counts."""

from collections.abc import Iterable

from fastvae.files.seed_format import PRINTED_ACTIVATIONS
from fastvae.model.layers import MLP, Dense
from fastvae.model.sampler import Sampler


def dense_summary(layer: Dense) -> str:
    """The block that describes one layer."""
    title = f"DENSE {layer.n_in} -> {layer.n_out} [{PRINTED_ACTIVATIONS[layer.activation]}]"
    rule = "-" * (len(title) + 1)
    return "\n".join(
        [
            rule,
            title,
            rule,
            f"Total parameters: {layer.n_parameters}",
            f"---> WEIGHTS: ({layer.n_out}, {layer.n_in})",
            f"---> BIASES: ({layer.n_out},)",
            rule,
        ]
    )


def vae_summary(
    encoder: MLP, sampler: Sampler, decoder: MLP, n_sigmas: int = 0, prior: Dense | None = None
) -> str:
    """The summary of a whole model, with so many trained sigmas, and the layer of its prior."""
    layers = [*encoder, sampler.mean, sampler.log_var, *decoder]
    n_parameters = sum(layer.n_parameters for layer in layers) + n_sigmas
    of_classes = [_part("PRIOR", [("LABEL", prior)])] if prior is not None else []
    n_parameters += 0 if prior is None else prior.n_parameters
    likelihood = [f"{_headline('LIKELIHOOD')}\n\n---> SIGMA: ({n_sigmas},)"] if n_sigmas else []
    return "\n\n".join(
        [
            "-" * 20 + " VARIATIONAL AUTOENCODER (VAE) " + "-" * 20,
            f"TOTAL PARAMETERS = {n_parameters}",
            _part("ENCODER", _numbered(encoder)),
            _part("SAMPLER", [("MEAN", sampler.mean), ("LOG_VAR", sampler.log_var)]),
            _part("DECODER", _numbered(decoder)),
            *likelihood,
            *of_classes,
            "-" * 70,
        ]
    )


def _numbered(layers: Iterable[Dense]) -> list[tuple[str, Dense]]:
    return [(f"{number}.", layer) for number, layer in enumerate(layers, start=1)]


def _part(name: str, layers: list[tuple[str, Dense]]) -> str:
    """One of the three parts: a headline and its layers' blocks."""
    blocks = [f" *** {title} Layer: ***\n{dense_summary(layer)}" for title, layer in layers]
    return "\n\n".join([_headline(name), *blocks])


def _headline(name: str) -> str:
    rule = "#" * (len(name) + 8)
    return f"{rule}\n#   {name}   #\n{rule}"
