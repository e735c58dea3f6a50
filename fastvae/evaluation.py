"""What is reported of a trained model; it lives in `fastvae.training.evaluation`."""

from fastvae.training.evaluation import Evaluation, active_units, evaluate

__all__ = ["Evaluation", "active_units", "evaluate"]
