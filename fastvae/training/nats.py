"""How sums of the engine become figures in nats."""

from typing import Any, NamedTuple


class Nats(NamedTuple):
    """How what the engine sums up for a row becomes figures.

    Attributes
    ----------
    weight : float
        What the sum is multiplied by where the loss is minimised.
    factor, offset : float
        -log p(x | z) in nats is factor * sum + offset.
    constant : float
        What the loss has beside weight * sum + beta * kl.
    """

    weight: float
    factor: float = 1.0
    offset: float = 0.0
    constant: float = 0.0

    def reconstruction(self, sums: Any, n_rows: float = 1.0) -> Any:
        """-log p(x | z) in nats: of a row, of rows in an array, or of `n_rows` taken together."""
        return self.factor * sums + n_rows * self.offset

    def loss(self, sums: Any, kl: Any, beta: float) -> Any:
        """What is minimised."""
        return self.weight * sums + beta * kl + self.constant
