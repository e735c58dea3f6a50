"""Learning-rate schedules; they live in `fastvae.training.schedules`."""

from fastvae.training.schedules import Constant, Cosine, Schedule, Step, Warmup

__all__ = ["Constant", "Cosine", "Schedule", "Step", "Warmup"]
