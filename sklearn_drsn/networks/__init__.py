"""Networks as plain torch modules, one paper a file."""

from sklearn_drsn.networks._drsn import DRSN

__all__ = ["DRSN"]
