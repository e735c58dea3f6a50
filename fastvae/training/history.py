"""The history that `VAE.fit` returns."""

from collections.abc import Iterator, Mapping

from fastvae.checks import public

Figures = Mapping[str, float]
"""What one epoch gave, by the keys of the history."""


@public
class History(Mapping[str, list[float]]):
    """What `fit` measured: a mapping of lists with one entry per finished epoch.

    The keys are `loss, elbo, reconstruction, kl` (nats per sample, from the epoch's own passes
    while the weights changed), `active_units`, `seconds` (the epoch without validation),
    `samples_per_second` and, with validation rows, `val_loss, val_elbo, val_reconstruction,
    val_kl` (after the epoch).
    """

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = {}

    def append(self, figures: Figures) -> None:
        """Add the figures of one epoch."""
        for name, value in figures.items():
            self._figures.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"History({self._figures!r})"
