"""The history that `VAE.fit` returns, and its table."""

from typing import Any, NoReturn

from fastvae.checks import did_you_mean, public
from fastvae.checks.quoting import quoted
from fastvae.data.variants import VARIANTS

Figures = dict[str, float]
"""What one epoch gave, by the keys of the history."""

# The columns of the printed table, of what is there: side by side they fit into 80 characters.
# The loss is in the ELBO and its parts, the speed in the seconds.
_SHOWN = ("bound", "elbo", "reconstruction", "kl", "active_units", "val_elbo", "seconds")
_MOST_ROWS = 20
_WIDTH = 80


@public
class History(dict[str, list[float]]):
    """What `fit` measured: a dict of lists with one entry per finished epoch.

    The keys are `loss, elbo, reconstruction, kl` (nats per sample, from the epoch's own passes
    while the weights changed), `active_units`, `seconds` (the epoch without validation),
    `samples_per_second` and, with validation rows, `val_loss, val_elbo, val_reconstruction,
    val_kl` (after the epoch). Where the objective is a bound of several latents, there are `bound`
    and `val_bound`, in nats, beside the ELBO.

    Attributes
    ----------
    variant : str or None
        Which variant of the data the figures are of, where `fit` measured them: "binary" (all
        values are 0 or 1), "dynamic", "threshold", "fixed" (made so, as `fit(binarize=...)` says),
        "grey" (other values under a Bernoulli likelihood, of which these nats are no probability)
        or "values" (of other likelihoods).

    objective : str or None
        What `fit` maximised: "elbo", "iwae, 5 samples", "elbo, 0.1 free nats a latent", ...

    Notes
    -----
    It prints as a table, and notebooks show curves. `pandas.DataFrame(history)` has a column for
    each key, and `json.dumps(history)` works.
    """

    variant: str | None = None
    objective: str | None = None

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return min(map(len, self.values()), default=0)

    def __missing__(self, name: Any) -> NoReturn:
        hint = did_you_mean(name, self)
        if isinstance(name, str) and name.startswith("val_"):
            hint = " (fit(..., validation=rows) measures it)"
        raise KeyError(f"no {quoted(name)} in the history, which has {', '.join(self)}{hint}")

    def append(self, figures: Figures) -> None:
        """Add the figures of one epoch."""
        for name, value in figures.items():
            self.setdefault(name, []).append(value)

    def records(self) -> list[dict[str, Any]]:
        """A dict for each epoch: its number under `epoch`, counted from 1, and its figures."""
        rows = zip(*self.values(), strict=False)
        return [
            {"epoch": epoch} | dict(zip(self, row, strict=True))
            for epoch, row in enumerate(rows, start=1)
        ]

    def __repr__(self) -> str:
        n_epochs = self.n_epochs
        if n_epochs == 0:
            return "History of no finished epoch"
        shown = [name for name in _SHOWN if name in self] or list(self)
        kept = list(range(n_epochs))
        if n_epochs > _MOST_ROWS:
            kept[_MOST_ROWS // 2 : -_MOST_ROWS // 2] = []
        columns = [_column("epoch", [str(i + 1) for i in kept])]
        columns += [_column(name, _texts([self[name][i] for i in kept])) for name in shown]
        lines = ["  ".join(cells) for cells in zip(*columns, strict=True)]
        if n_epochs > _MOST_ROWS:
            lines.insert(1 + _MOST_ROWS // 2, "...".rjust(len(columns[0][0])))
        left_out = [name for name in self if name not in shown]
        if left_out:
            lines += _wrapped(["not shown:", *left_out])
        if self.variant is not None:
            lines += _wrapped(["data:", *VARIANTS.get(self.variant, self.variant).split()])
        if self.objective not in (None, "elbo"):
            lines += _wrapped(["objective:", *self.objective.split()])
        return "\n".join(lines)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """The curves of loss, reconstruction and KL, and the table below them, for notebooks."""
        from html import escape  # which nothing but notebooks needs

        from fastvae.training.curves import curves

        table = f"<pre>{escape(repr(self))}</pre>"
        n_epochs = max(map(len, self.values()), default=0)
        if n_epochs == 0:
            return table
        folded = f"<details><summary>table</summary>{table}</details>"
        return f"<div>{curves(self, n_epochs)}{folded}</div>"


def _column(name: str, texts: list[str]) -> list[str]:
    """The name and the texts below it, aligned on the right."""
    width = max(map(len, (name, *texts)))
    return [text.rjust(width) for text in (name, *texts)]


def _texts(values: list[float]) -> list[str]:
    """Values with two decimals, those that are all below 1 with four, whole numbers with none."""
    if all(float(value).is_integer() for value in values):
        return [f"{value:.0f}" for value in values]
    decimals = 2 if max(map(abs, values)) >= 1 else 4
    return [f"{value:.{decimals}f}" for value in values]


def _wrapped(words: list[str]) -> list[str]:
    """The words in lines that are not too long."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append(" " * len(words[0]))
        lines[-1] += f" {word}"
    return lines
