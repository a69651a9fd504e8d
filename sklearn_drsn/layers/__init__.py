"""Building blocks: adaptive thresholds, squeeze-and-excitation, the shrinkage unit, columns."""

from sklearn_drsn.layers._columns import ColumnLinear, PiecewiseLinear
from sklearn_drsn.layers._dropout import Dropout
from sklearn_drsn.layers._excitation import SqueezeExcitation
from sklearn_drsn.layers._threshold import SHRINKING_MODES, AdaptiveThreshold
from sklearn_drsn.layers._unit import DOWNSAMPLINGS, THRESHOLD_MODES, ShrinkageUnit

__all__ = [
    "DOWNSAMPLINGS",
    "SHRINKING_MODES",
    "THRESHOLD_MODES",
    "AdaptiveThreshold",
    "ColumnLinear",
    "Dropout",
    "PiecewiseLinear",
    "ShrinkageUnit",
    "SqueezeExcitation",
]
