"""Simulated data (`make_*`) and readers of recordings on disk (`load_*`)."""

from sklearn_drsn.datasets._cwru import load_cwru
from sklearn_drsn.datasets._donoho import make_donoho_signals
from sklearn_drsn.datasets._ecg import make_ecg_beats
from sklearn_drsn.datasets._physionet import load_mitbih, load_nstdb
from sklearn_drsn.datasets._synthetic import (
    FAULT_CLASSES,
    bearing_frequencies,
    make_digit_canvas,
    make_fault_signals,
)
from sklearn_drsn.datasets._windows import sliding_windows

__all__ = [
    "FAULT_CLASSES",
    "bearing_frequencies",
    "load_cwru",
    "load_mitbih",
    "load_nstdb",
    "make_digit_canvas",
    "make_donoho_signals",
    "make_ecg_beats",
    "make_fault_signals",
    "sliding_windows",
]
