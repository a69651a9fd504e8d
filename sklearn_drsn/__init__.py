"""Deep residual shrinkage networks for noisy data, as scikit-learn estimators."""

from sklearn_drsn._version import __version__

__all__ = ["__version__"]
