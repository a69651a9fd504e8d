"""Published weights of networks, read without executing anything in the file."""

import re
from pathlib import Path

import numpy as np
import torch

__all__ = ["read_dncnn_layers"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_OLD_MATLAB = b"MATLAB 5.0"
_KEY = re.compile(r"(?:module\.)?model\.(\d+)\.(weight|bias)")
_LARGEST = 2**24  # numbers in an array, which a damaged header may claim to be huge


def read_dncnn_layers(path):
    """Kernels ``(n_outputs, n_inputs, 3, 3)`` and biases of a DnCNN file, in order.

    ValueError if the file is damaged or of another layout.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(_OLD_MATLAB):
        raise ValueError(f"{path} is of an old MATLAB version; expected 7.3 (save it with '-v7.3')")
    try:
        layers = _read_mat(path) if _HDF5 in start else _read_state_dict(path)
        for number, arrays in enumerate(layers):
            if not all(torch.as_tensor(array).isfinite().all() for array in arrays):
                raise ValueError(f"layer {number} holds NaN or infinity")
        return layers
    except (ImportError, MemoryError):
        raise
    except ValueError as error:
        raise ValueError(f"{path} is no file of DnCNN weights: {error}") from error
    except Exception as error:
        # Damaged bytes make readers raise whatever they like; some advise to trust the file.
        raise ValueError(f"{path} is damaged or holds other things than weights") from error


def _read_mat(path):
    """MatConvNet's ``net.layers``; MATLAB's axes come in reverse order."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "reading .mat files needs h5py: pip install 'sklearn_drsn[hdf5]'"
        ) from error
    layers = []
    with h5py.File(path) as file:
        for reference in _read(file["net/layers"]).ravel():
            layer = file[reference]
            kind = "".join(map(chr, _read(layer["type"]).ravel()))
            if kind not in ("conv", "relu", "loss"):
                raise ValueError(f"expected convolutions, ReLUs and a loss, got a layer {kind!r}")
            if kind == "conv":
                kernel, bias = (
                    _read(file[item]).astype(np.float32) for item in _read(layer["weights"]).ravel()
                )
                if kernel.ndim == 3:  # an axis of length one is lost
                    kernel = np.expand_dims(kernel, 0 if bias.size == 1 else 1)
                layers.append((kernel.swapaxes(2, 3), bias.ravel()))
    return layers


def _read(dataset):
    if dataset.size > _LARGEST:
        raise ValueError(f"expected arrays of at most {_LARGEST} numbers, got {dataset.shape}")
    return dataset[()]


def _read_state_dict(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not state:
        raise ValueError(f"expected a state dict, got {type(state).__name__}")
    layers = {}
    for key, value in state.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"expected keys such as model.0.weight, got {key!r}")
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"expected tensors, got {type(value).__name__} for {key!r}")
        if value.layout != torch.strided or value.device.type != "cpu" or value.numel() > _LARGEST:
            raise ValueError(
                f"expected dense tensors of at most {_LARGEST} numbers, got {key!r} of shape "
                f"{tuple(value.shape)}, {value.layout}, on {value.device}"
            )
        layers.setdefault(int(match[1]), {})[match[2]] = value
    for number, layer in layers.items():
        if len(layer) < 2:
            raise ValueError(f"expected a weight and a bias of model.{number}, got {list(layer)}")
    return [(layers[number]["weight"], layers[number]["bias"]) for number in sorted(layers)]
