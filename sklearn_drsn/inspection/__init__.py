"""What a fitted estimator does and how well it holds up: numbers, and displays of them."""

from sklearn_drsn.inspection._denoising_display import DenoisingDisplay
from sklearn_drsn.inspection._importance import permutation_importance
from sklearn_drsn.inspection._importance_display import ImportanceDisplay
from sklearn_drsn.inspection._robustness import make_noise_scorer, noise_robustness
from sklearn_drsn.inspection._robustness_display import NoiseRobustnessDisplay
from sklearn_drsn.inspection._threshold_display import ThresholdDisplay
from sklearn_drsn.inspection._thresholds import thresholds
from sklearn_drsn.inspection._training_display import TrainingDisplay

__all__ = [
    "DenoisingDisplay",
    "ImportanceDisplay",
    "NoiseRobustnessDisplay",
    "ThresholdDisplay",
    "TrainingDisplay",
    "make_noise_scorer",
    "noise_robustness",
    "permutation_importance",
    "thresholds",
]
