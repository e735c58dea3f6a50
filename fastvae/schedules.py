"""Schedules of the learning rate and of beta; they live in `fastvae.training.schedules`."""

from fastvae.training.schedules import (
    Constant,
    Cosine,
    Cyclical,
    LinearWarmup,
    Schedule,
    Step,
    Warmup,
)

__all__ = ["Constant", "Cosine", "Cyclical", "LinearWarmup", "Schedule", "Step", "Warmup"]
