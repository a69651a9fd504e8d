"""Scikit-learn estimators around the networks."""

from sklearn_drsn.estimators._classifier import DRSNClassifier
from sklearn_drsn.estimators._denoiser import SoftThresholdDenoiser
from sklearn_drsn.estimators._regressor import DRSNRegressor
from sklearn_drsn.estimators._restorers import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    MACRDeblurrer,
    MSRNSuperResolver,
)
from sklearn_drsn.estimators._transformer import SoftThresholdTransformer

__all__ = [
    "CSSFNSuperResolver",
    "DRSNClassifier",
    "DRSNRegressor",
    "DnCNNDenoiser",
    "MACRDeblurrer",
    "MSRNSuperResolver",
    "SoftThresholdDenoiser",
    "SoftThresholdTransformer",
]
