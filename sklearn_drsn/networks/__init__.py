"""Networks as plain torch modules, one paper a file."""

from sklearn_drsn.networks._cssfn import CSSFN
from sklearn_drsn.networks._denoiser import DenoisingDRSN
from sklearn_drsn.networks._dncnn import DnCNN
from sklearn_drsn.networks._drsn import DRSN
from sklearn_drsn.networks._macr import MACR
from sklearn_drsn.networks._msrn import MSRN

__all__ = ["CSSFN", "DRSN", "MACR", "MSRN", "DenoisingDRSN", "DnCNN"]
