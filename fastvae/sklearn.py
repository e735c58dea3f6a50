"""Estimators for scikit-learn; they live in `fastvae.estimators`."""

from fastvae.estimators.detector import VAEOutlierDetector
from fastvae.estimators.transformer import VAETransformer

__all__ = ["VAEOutlierDetector", "VAETransformer"]
