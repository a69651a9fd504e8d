"""Keep fitted estimators: files that cannot execute anything, and ONNX for elsewhere."""

from sklearn_drsn.persistence._onnx import export_onnx
from sklearn_drsn.persistence._saving import load, save
from sklearn_drsn.persistence._trust import TRUSTED_TYPES

__all__ = ["TRUSTED_TYPES", "export_onnx", "load", "save"]
