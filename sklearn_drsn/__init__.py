"""Deep residual shrinkage networks for noisy data, as scikit-learn estimators."""

from sklearn_drsn._version import __version__
from sklearn_drsn.estimators import (
    DRSNClassifier,
    DRSNRegressor,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)

__all__ = [
    "DRSNClassifier",
    "DRSNRegressor",
    "SoftThresholdDenoiser",
    "SoftThresholdTransformer",
    "__version__",
]
