"""Scikit-learn estimators around the networks."""

from sklearn_drsn.estimators._classifier import DRSNClassifier
from sklearn_drsn.estimators._regressor import DRSNRegressor

__all__ = ["DRSNClassifier", "DRSNRegressor"]
