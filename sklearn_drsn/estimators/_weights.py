"""Published weights of networks, read without executing anything in the file."""

import pickle
import re
from pathlib import Path

import numpy as np
import torch

__all__ = ["read_dncnn_layers"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_KEY = re.compile(r"(?:module\.)?model\.(\d+)\.(weight|bias)")


def read_dncnn_layers(path):
    """Kernels ``(n_outputs, n_inputs, 3, 3)`` and biases of a DnCNN file, in order.

    ValueError if the file is damaged or of another layout.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(1024)
    try:
        return _read_mat(path) if _HDF5 in start else _read_state_dict(path)
    except (OSError, KeyError, TypeError, IndexError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is damaged or no file of DnCNN weights: {error}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds other things than weights: {error}") from error


def _read_mat(path):
    """MatConvNet's ``net.layers``; MATLAB's axes come in reverse, trailing ones of 1 are lost."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "reading .mat files needs h5py: pip install sklearn_drsn[hdf5]"
        ) from error
    layers = []
    with h5py.File(path) as file:
        for reference in file["net/layers"][()].ravel():
            layer = file[reference]
            if "".join(map(chr, layer["type"][()].ravel())) == "conv":
                kernel, bias = (file[item][()] for item in layer["weights"][()].ravel())
                kernel = kernel[None] if kernel.ndim == 3 else kernel
                layers.append((kernel.swapaxes(2, 3).astype(np.float32), bias.ravel()))
    return [(kernel, bias.astype(np.float32)) for kernel, bias in layers]


def _read_state_dict(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not state:
        raise TypeError(f"expected a state dict, got {type(state).__name__}")
    layers = {}
    for key, value in state.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise KeyError(f"expected keys such as model.0.weight, got {key!r}")
        layers.setdefault(int(match[1]), {})[match[2]] = value
    return [(layers[number]["weight"], layers[number]["bias"]) for number in sorted(layers)]
