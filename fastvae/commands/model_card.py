"""The text of a model card: a README.md in the form that the Hugging Face Hub reads.

Only what is known is written: of the model itself, of its card and settings, and of figures. Card
and settings may be of strangers, and their texts end no line, no quotation and no code, whatever
they hold: YAML has them in double quotes, Markdown as code or with backslashes.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastvae import VAE
from fastvae.checks.quoting import printable
from fastvae.commands.arguments import DATASETS
from fastvae.data.variants import VARIANTS
from fastvae.model.description import facts as facts_of

INSTALL = "pip install fastvae-cpu"
_TAGS = ("variational-autoencoder", "vae", "safetensors")
_TASK = "density-estimation"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*", re.ASCII)
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#|~&$:^]|(?<=www)\.", re.IGNORECASE)
_MAX_TEXT, _MAX_LINES, _MAX_NUMBER = 200, 60, 1e15
# What has a place of its own, and is not listed among the settings.
_PLACED = ("name", "description", "license", "datasets", "tags", "test", "variant")
_FIGURES = {
    "elbo": (
        "ELBO, nats per row",
        "the evidence lower bound, -(reconstruction + KL): log p(x) is not below it",
    ),
    "reconstruction": ("reconstruction, nats per row", "-log p(x given z), constants included"),
    "kl": ("KL, nats per row", "divergence of the posterior from the prior"),
    "log_likelihood": ("log p(x), nats per row", "estimated by importance sampling"),
    "mean_squared_error": (
        "mean squared error per value",
        "of what is decoded from the posterior's mean",
    ),
    "active_units": (
        "active latent units",
        "those whose posterior mean has a variance above 0.01 over the rows",
    ),
}


class Figures(NamedTuple):
    """What a model was evaluated to.

    Attributes
    ----------
    values : dict of float
        By the names of `_FIGURES`, as far as they are known.
    notes : dict of str
        What else is known of a figure.
    dataset, rows, variant : str or None
        Of which data: the name, "test" or "training", and a name of `VARIANTS`.
    n_rows : int or None
    """

    values: dict[str, float]
    notes: dict[str, str]
    dataset: str | None
    rows: str | None
    variant: str | None
    n_rows: int | None


def figures_of(found: Any, settings: Mapping[str, Any]) -> Figures:
    """Return the figures that ``test.json``, ``evaluation.json`` or a card's "test" holds.

    Parameters
    ----------
    found : object
        What was read; what is not as it should be counts as unknown.
    settings : mapping
        What is known of the training, which names the data where `found` does not.
    """
    found = found if isinstance(found, dict) else {}
    bound, likelihood = found.get("elbo"), found.get("log_likelihood")
    parts = found | (bound if isinstance(bound, dict) else {})
    notes: dict[str, str] = {}
    if isinstance(likelihood, dict):
        parts["log_likelihood"] = likelihood.get("value")
        samples = _number(likelihood.get("samples"))
        error = _number(likelihood.get("standard_error"))
        notes["log_likelihood"] = f"; {samples:,} samples a row" if samples else ""
        notes["log_likelihood"] += f"; standard error {_shown(error)}" if error else ""
    if n_latent := _number(found.get("n_latent")):
        notes["active_units"] = f"; of {n_latent:,}"
    values = {name: value for name in _FIGURES if (value := _number(parts.get(name))) is not None}
    variant, n_rows = found.get("variant", settings.get("variant")), _number(found.get("n_rows"))
    return Figures(
        values,
        notes,
        _data_name(found.get("dataset", settings.get("dataset"))),
        rows if (rows := found.get("rows", "test")) in ("test", "training") else None,
        variant if isinstance(variant, str) and variant in VARIANTS else None,
        None if n_rows is None else int(n_rows),
    )


def model_card(vae: VAE, name: str, load: str, settings: Mapping[str, Any], found: Any) -> str:
    """Return the text of a model's README.md.

    Parameters
    ----------
    vae : VAE
    name : str
        What the model is called, where its card does not say it.
    load : str
        What `fastvae.load` is to be given.
    settings : mapping
        Its card, and of a run the settings.
    found : object
        Figures, as they were read: see `figures_of`.
    """
    name = _text(settings.get("name")) or name
    figures = figures_of(found, settings)
    sections = [
        "\n".join(["---", *_front_matter(name, settings, figures), "---"]),
        f"# {_prose(name)}",
        *_what_it_is(vae, settings),
        *_training(vae, settings),
        *_results(vae, figures),
        *_use(vae, load),
        *_limits(vae, figures),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(name: str, settings: Mapping[str, Any], figures: Figures) -> Iterator[str]:
    """The lines of YAML."""
    yield "library_name: fastvae"
    licence = (_text(settings.get("license")) or "").lower()
    if _LICENCE.fullmatch(licence):
        yield f"license: {_yaml(licence)}"
    yield "tags:"
    tags = [tag for tag in _listed(settings.get("tags")) if tag not in _TAGS]
    yield from (f"- {_yaml(tag)}" for tag in (*_TAGS, *tags))
    datasets = [text for text in _listed(settings.get("datasets")) if _HUB_NAME.fullmatch(text)]
    if not datasets and settings.get("dataset") in DATASETS:
        datasets = [settings["dataset"]]
    if datasets:
        yield "datasets:"
        yield from (f"- {_yaml(text)}" for text in datasets)
    if not figures.values or figures.dataset is None:
        return
    data = _yaml(figures.dataset)
    yield from ("model-index:", f"- name: {_yaml(name)}", "  results:", "  - task:")
    yield from (f"      type: {_TASK}", "    dataset:", f"      type: {data}")
    yield f"      name: {data}"
    if figures.rows is not None:
        yield f"      split: {figures.rows}"
    yield "    metrics:"
    for figure, value in figures.values.items():
        title = f'"{_FIGURES[figure][0]}"'
        yield from (
            f"    - type: {figure}",
            f"      name: {title}",
            f"      value: {_shown(value)}",
        )


def _what_it_is(vae: VAE, settings: Mapping[str, Any]) -> Iterator[str]:
    if words := _text(settings.get("description"), 2000):
        yield _prose(words)
    sizes = [vae.n_features, *(layer.n_out for layer in vae.encoder), vae.n_latent]
    sizes += [layer.n_out for layer in vae.decoder]
    yield (
        f"A variational autoencoder of dense layers for rows of {vae.n_features:,} values, trained "
        "and used on CPUs with [fastvae](https://github.com/fastvae/fastvae)."
    )
    activations = dict.fromkeys(layer.activation for layer in [*vae.encoder, *vae.decoder])
    described = facts_of(vae)
    named = ("classes", "prior", "sigma", "posterior")
    facts: dict[str, str] = {
        "layers": f"{'-'.join(map(str, sizes))}, of which {vae.n_latent:,} are the latents",
        "activations": ", ".join(activations),
        "likelihood": _code(str(vae.network.likelihood)),
        **{name: described[name] for name in named if name in described},
        "beta": f"{vae.beta:g}",
        "reconstruction weight": f"{vae.reconstruction_weight:g}",
        "parameters": f"{vae.n_parameters:,}, {vae.dtype.name}",
    }
    if licence := _text(settings.get("license")):
        facts["licence"] = _code(licence)
    yield "\n".join(f"- {title}: {fact}" for title, fact in facts.items())


def _training(vae: VAE, settings: Mapping[str, Any]) -> Iterator[str]:
    yield "## How it was trained"
    counts = ((vae.epochs, "epoch"), (vae.updates, "update"))
    if any(n for n, _ in counts):
        epochs, updates = (f"{n:,} {what}{'s' * (n != 1)}" for n, what in counts)
        yield f"{epochs}, {updates} of the weights."
    else:
        yield "How long is not recorded in the model."
    lines = [
        f"- {_code(key)}: {_code(_value(key, value))}"
        for key, value in settings.items()
        if key not in _PLACED and value is not None and value is not False
    ]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f"- and {len(lines) - _MAX_LINES:,} more entries in the model's card"]
    if lines:
        yield "\n".join(lines)


def _results(vae: VAE, figures: Figures) -> Iterator[str]:
    yield "## Figures"
    if not figures.values:
        yield "None are recorded."
        return
    count = "" if figures.n_rows is None else f"{figures.n_rows:,} "
    part = "" if figures.rows is None else f"{figures.rows} "
    of_data = "" if figures.dataset is None else f" of {_code(figures.dataset)}"
    yield f"Of {count}{part}rows{of_data}."
    lines = ["| figure | value | what it is |", "|---|---:|---|"]
    for name, value in figures.values.items():
        title, meaning = _FIGURES[name]
        lines.append(f"| {title} | {_shown(value)} | {meaning}{figures.notes.get(name, '')} |")
    yield "\n".join(lines)
    if figures.variant is not None:
        yield f"Data variant {VARIANTS[figures.variant]}."
    kinds = {kind for kind, _ in vae.network.likelihood.kinds(vae.n_features)}
    if "bernoulli" in kinds and figures.variant in (None, "grey"):
        yield (
            "A Bernoulli likelihood gives probabilities to values of 0 and 1. On grey pixels, "
            "values between, these nats are no probability of the data, and not to be compared "
            "with those of binary images."
        )
    if kinds & {"gaussian", "continuous_bernoulli"}:
        yield (
            "The likelihood is a density: its nats depend on the units of the data, and are to be "
            "compared only between models of the same data, in the same units."
        )


def _use(vae: VAE, load: str) -> Iterator[str]:
    yield "## How to use it"
    yield f"```bash\n{INSTALL}\n```"
    yield (
        "```python\nimport fastvae\n\n"
        f"vae = fastvae.load({json.dumps(printable(load), ensure_ascii=False)})\n"
        f"{_calls(vae)}\n```"
    )
    yield "Loading reads numbers and JSON; nothing in the file is executed."


def _calls(vae: VAE) -> str:
    """What can be done with a model, as code."""
    likelier = ""
    if vae.posterior_mixture is not None:
        likelier = (
            'likelier = vae.sample(16, seed=0, source="posterior")'
            "    # more like the data, as a rule\n"
        )
    if vae.n_classes:
        return (
            f"samples = vae.sample(16, seed=0, label=0)  # (16, {vae.n_features}), of class 0\n"
            f"{likelier}\n"
            f"rows = ...    # yours: an array of shape (n, {vae.n_features})\n"
            f"labels = ...  # and their classes, from 0 to {vae.n_classes - 1}, of shape (n,)\n"
            "mean, log_var = vae.encode(rows, labels=labels)  # their posteriors, "
            f"(n, {vae.n_latent}) each\n"
            "again = vae.decode(mean, labels=labels)"
        )
    return (
        f"samples = vae.sample(16, seed=0)    # (16, {vae.n_features})\n"
        f"{likelier}\n"
        f"rows = ...                          # yours: an array of shape (n, {vae.n_features})\n"
        f"mean, log_var = vae.encode(rows)    # their posteriors, (n, {vae.n_latent}) each\n"
        "again = vae.decode(mean)"
    )


def _limits(vae: VAE, figures: Figures) -> Iterator[str]:
    yield "## Limits"
    lines = [
        f"It takes rows of exactly {vae.n_features:,} values, in the order and the units of its "
        "training rows"
        + ("; `uint8` means pixels and is read as value / 255." if _is_pixels(vae) else ".")
    ]
    lines.append(
        "What it makes of rows unlike its training rows says little; the ELBO alone is no proof "
        "that a row is an outlier, or none."
    )
    if "log_likelihood" not in figures.values and figures.values:
        lines.append("The ELBO is a lower bound; how far log p(x) is above it was not estimated.")
    yield "\n".join(f"- {line}" for line in lines)


def _is_pixels(vae: VAE) -> bool:
    return vae.likelihood in ("bernoulli", "continuous_bernoulli")


def _number(value: Any) -> float | int | None:
    """A number of a stranger, if it is one that can be shown."""
    if type(value) is int:
        return value if abs(value) < _MAX_NUMBER else None
    if type(value) is float and math.isfinite(value) and abs(value) < _MAX_NUMBER:
        return value
    return None


def _shown(value: float) -> str:
    """A number as Markdown and every version of YAML take it."""
    text = str(value) if isinstance(value, int) else f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text


def _text(value: Any, limit: int = _MAX_TEXT) -> str | None:
    """A text of a stranger in one line without control characters, if it is one."""
    if not isinstance(value, str):
        return None
    return printable(" ".join(value.split()), limit) or None


def _listed(value: Any) -> list[str]:
    """The texts of a list, each once."""
    found = map(_text, value[:_MAX_LINES]) if isinstance(value, list) else []
    return list(dict.fromkeys(text for text in found if text))


def _data_name(value: Any) -> str | None:
    """The name of a data set; of a file without the folders, which are nobody's business."""
    text = _text(value, 4 * _MAX_TEXT)
    return None if text is None else printable(re.split(r"[/\\]", text.rstrip("/\\"))[-1], 80)


def _value(key: str, value: Any) -> str:
    if key == "dataset" and (name := _data_name(value)):
        return name
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _yaml(text: str) -> str:
    """A printable text as YAML: double quotes, as JSON has them."""
    return json.dumps(text, ensure_ascii=False)


def _prose(text: str) -> str:
    """A printable text that Markdown shows as it is, within a line."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def _code(text: str) -> str:
    """A text as code in a line of Markdown, whatever it holds."""
    text = printable(" ".join(text.split()), _MAX_TEXT) or "(empty)"
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{space}{text}{space}{fence}"
