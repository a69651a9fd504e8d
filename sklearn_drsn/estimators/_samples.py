"""Shapes and devices of samples, and their way to the network in batches and blocks."""

import math
from numbers import Integral

import numpy as np
import torch
from sklearn import get_config

__all__ = [
    "SampleSet",
    "batch_slices",
    "check_finite",
    "default_convolutions",
    "in_kind_of",
    "on_host",
    "prediction_blocks",
    "reshape_rows",
    "resolve_device",
    "rows_per_block",
]

# Values scaled at once for prediction; block by block takes longer than the forward pass may.
_CHUNK = 2**17


def resolve_device(name):
    """Torch device for ``"auto"`` or a device string; ValueError if this machine lacks it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0', got {name!r}"
        ) from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise ValueError(f"device {name!r} is not available on this machine")
    return device


def on_host(array):
    """Tensors as NumPy arrays, from whatever device; anything else as it is."""
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def check_finite(X, problem):
    """ValueError that names the first sample of X with NaN or infinity."""
    if np.isfinite(X.sum(dtype=np.float64)):  # one pass without a copy
        return
    finite = np.isfinite(X).all(axis=tuple(range(1, X.ndim)))
    if not finite.all():
        raise ValueError(f"{problem} in sample {int(np.argmin(finite))}")


def in_kind_of(X, result):
    """Give numbers back as a tensor beside X, if X is one and array API dispatch is on."""
    wanted = isinstance(X, torch.Tensor) and get_config()["array_api_dispatch"]
    if not wanted or result.dtype.kind not in "biuf":
        return result
    return torch.from_numpy(result).to(X.device)


def reshape_rows(X, input_shape):
    """Rows of a 2-D X as samples of ``input_shape``, in which one size may be -1."""
    if X.ndim != 2:
        raise ValueError(
            f"input_shape={input_shape!r} reshapes the rows of a 2-D X, got X of shape {X.shape}"
        )
    sizes = list(input_shape)
    integers = all(isinstance(size, Integral) and (size > 0 or size == -1) for size in sizes)
    if not (2 <= len(sizes) <= 3 and integers and sizes.count(-1) <= 1):
        raise ValueError(
            "input_shape must be (n_channels, length) or (n_channels, height, width) of positive "
            f"integers, one of which may be -1, got {input_shape!r}"
        )
    known = int(np.prod([size for size in sizes if size != -1]))
    divides = X.shape[1] % known == 0 if -1 in sizes else X.shape[1] == known
    if not divides:
        raise ValueError(
            f"rows of {X.shape[1]} features cannot be given the input_shape {input_shape!r}"
        )
    return X.reshape(len(X), *sizes)


def default_convolutions(input_shape):
    """Kernel sizes and first stride for samples of this shape."""
    size = min(input_shape[1:], default=1)
    if len(input_shape) == 2:
        stem = (31, 4) if size >= 512 else (15, 2 if size >= 128 else 1)
        return {"kernel_size": 9, "stem_kernel_size": stem[0], "stem_stride": stem[1]}
    return {"kernel_size": 3, "stem_kernel_size": 3, "stem_stride": 2 if size >= 64 else 1}


class SampleSet(torch.utils.data.Dataset):
    """Rows of X, with targets and weights, scaled and sent to the device batch by batch.

    On an accelerator with room for them they are scaled and uploaded once instead.
    """

    def __init__(self, X, rows, y, weight, scaler, device):
        self.X, self.rows, self.scaler, self.device = X, rows, scaler, device
        self.y = torch.as_tensor(y, device=device)
        self.weight = None
        if weight is not None:
            self.weight = torch.as_tensor(weight, dtype=torch.float32, device=device)
        self.uploaded = None
        if device.type != "cpu" and 4 * X[0].size * len(rows) < 0.5 * _free_memory(device):
            self.uploaded = torch.from_numpy(scaler.transform(X[rows])).to(device)

    def __len__(self):
        return len(self.rows)

    def order(self, generator):
        """Sample numbers in the order of an epoch, where the samples are."""
        order = torch.randperm(len(self), generator=generator)
        return order.numpy() if self.uploaded is None else order.to(self.device)

    def __getitem__(self, index):
        """Batch ``(X, (y, weight))`` of an array of sample numbers."""
        if self.uploaded is not None:
            batch = self.uploaded[index]
        else:
            scaled = self.scaler.transform(self.X[self.rows[index]])
            batch = torch.from_numpy(scaled).to(self.device)
        return batch, (self.y[index], None if self.weight is None else self.weight[index])


def _free_memory(device):
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()


def batch_slices(n_samples, batch_size):
    """Consecutive slices of ``batch_size`` rows; a last one of one row joins its neighbour."""
    starts = list(range(0, n_samples, batch_size))
    if len(starts) > 1 and n_samples - starts[-1] == 1:
        del starts[-1]
    return [slice(*ends) for ends in zip(starts, [*starts[1:], n_samples], strict=True)]


def prediction_blocks(X, scaler, device, rows=None):
    """Scaled X, or some rows of it, in blocks of :func:`rows_per_block` rows on the device.

    The last one is filled up with zeros.
    """
    size = rows_per_block(X.shape[1:])
    n_rows = len(X) if rows is None else len(rows)
    step = size * max(1, _CHUNK // (size * math.prod(X.shape[1:])))
    for start in range(0, n_rows, step):
        chosen = slice(start, start + step)
        part = scaler.transform(X[chosen if rows is None else rows[chosen]])
        whole = np.zeros((math.ceil(len(part) / size) * size, *X.shape[1:]), np.float32)
        whole[: len(part)] = part
        yield from torch.from_numpy(whole).to(device).split(size)


def rows_per_block(sample_shape):
    """Rows of a forward pass at prediction, a function of the sample shape alone.

    Blocks of one size make a row's result independent of how many rows came with it. What a row of
    series or images costs goes by its positions: the network has channels of its own.
    """
    n_positions = math.prod(sample_shape[1:] or sample_shape)
    return max(1, min(256, 8192 // n_positions, 2**20 // math.prod(sample_shape)))
