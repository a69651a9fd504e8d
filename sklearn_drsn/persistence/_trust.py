"""What skops may build of this package."""

from sklearn_drsn.estimators._denoising import PatchScaler
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler
from sklearn_drsn.persistence._schema import ESTIMATORS

__all__ = ["TRUSTED_TYPES"]

TRUSTED_TYPES = tuple(
    sorted(
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in (*ESTIMATORS.values(), InputScaler, PatchScaler, TargetScaler)
    )
)
"""Names of the classes that a fitted estimator of this package consists of.

To be given to ``skops.io.load(path, trusted=TRUSTED_TYPES)`` for pipelines with steps of
scikit-learn. None of them runs code when it is built: a network is made from names, numbers and
arrays.
"""
