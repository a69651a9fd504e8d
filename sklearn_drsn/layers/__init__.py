"""Building blocks: adaptive thresholds, squeeze-and-excitation, the residual shrinkage unit."""

from sklearn_drsn.layers._dropout import Dropout
from sklearn_drsn.layers._excitation import SqueezeExcitation
from sklearn_drsn.layers._threshold import SHRINKING_MODES, AdaptiveThreshold
from sklearn_drsn.layers._unit import THRESHOLD_MODES, ShrinkageUnit

__all__ = [
    "SHRINKING_MODES",
    "THRESHOLD_MODES",
    "AdaptiveThreshold",
    "Dropout",
    "ShrinkageUnit",
    "SqueezeExcitation",
]
