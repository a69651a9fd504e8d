"""Simulated data (`make_*`) and readers of published recordings (`load_*`)."""

from sklearn_drsn.datasets._real import load_cwru
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
    "make_digit_canvas",
    "make_fault_signals",
    "sliding_windows",
]
