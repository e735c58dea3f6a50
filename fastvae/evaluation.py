"""What is reported of a trained model; it lives in `fastvae.training`."""

from fastvae.training.diagnosis import Diagnosis, diagnose
from fastvae.training.evaluation import Evaluation, active_units, evaluate

__all__ = ["Diagnosis", "Evaluation", "active_units", "diagnose", "evaluate"]
