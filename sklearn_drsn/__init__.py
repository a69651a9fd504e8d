"""Deep residual shrinkage networks for noisy data, as scikit-learn estimators."""

from sklearn_drsn._version import __version__
from sklearn_drsn.estimators import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)

__all__ = [
    "CSSFNSuperResolver",
    "DRSNClassifier",
    "DRSNRegressor",
    "DnCNNDenoiser",
    "MACRDeblurrer",
    "MSRNSuperResolver",
    "SoftThresholdDenoiser",
    "SoftThresholdTransformer",
    "__version__",
]
