"""Shapes and devices of samples, and their way to the network in batches and blocks."""

import math
import warnings
from contextlib import closing
from numbers import Integral

import numpy as np
import torch
from sklearn import get_config

from sklearn_drsn.estimators._streaming import Stream, in_parts, read_ahead, regroup

__all__ = [
    "BatchedSet",
    "SampleSet",
    "StreamedSet",
    "batch_slices",
    "check_finite",
    "check_out",
    "check_sample_shape",
    "default_convolutions",
    "free_sample_shape",
    "in_kind_of",
    "make_sample_set",
    "on_host",
    "prediction_blocks",
    "reshape_rows",
    "resolve_device",
    "rows_per_block",
    "rows_per_part",
    "spread_out",
    "warn_if_transposed",
]

# Values scaled at once for prediction; block by block takes longer than the forward pass may.
_CHUNK = 2**17
# Batches of a stream that wait for their use, and bytes of them, from the second one on.
_N_AHEAD, _AHEAD = 64, 2**22
# Stretches of neighbouring rows that a look at few of them consists of.
_N_STRETCHES = 64
# Values of X whose results are written at once.
_PART = 2**21


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


@np.errstate(over="ignore", invalid="ignore")
def check_out(out, shape, result):
    """Refuse an array of another shape, or of a type that does not hold the result."""
    found, kind = getattr(out, "shape", None), getattr(out, "dtype", None)
    if found != shape or not _holds(kind, result):
        raise ValueError(
            f"expected out to have the shape {shape} and a type that holds {result.dtype}, got "
            f"{type(out).__name__} of shape {found} and type {kind}"
        )


def _holds(kind, result):
    """Whether a type holds a result: labels as they are, floats rounded."""
    try:
        rule = "same_kind" if result.dtype.kind in "fiu" else "safe"
        if not np.can_cast(result.dtype, kind, rule):
            return False
    except TypeError:  # no type of NumPy's
        return False
    held = result.astype(kind)
    if result.dtype.kind != "f":
        return np.array_equal(held, result)
    return held.dtype.kind in "fc" and bool(np.isfinite(held).all())


def in_kind_of(X, result):
    """Give numbers back as a tensor beside X, if X is one and array API dispatch is on."""
    wanted = isinstance(X, torch.Tensor) and get_config()["array_api_dispatch"]
    if not wanted or result.dtype.kind not in "biuf":
        return result
    return torch.from_numpy(result).to(X.device)


def free_sample_shape(n_features, n_dims):
    """Shape of a sample whose positions, but not those of a table, may be any number."""
    return n_features, *{2: (), 3: ("length",), 4: ("height", "width")}[n_dims]


def check_sample_shape(X, expected, owner, name="X"):
    """ValueError unless samples have the shape of those in ``fit``, where a word is any size.

    What is wrong with rows of a table X, scikit-learn says better: it knows their names.
    """
    shape = tuple((X if hasattr(X, "shape") else np.asarray(X)).shape)
    of_table = len(shape) <= 2 and len(expected) == 1
    if _fits(shape[1:], expected) or (of_table and name == "X"):
        return
    wanted = str(expected).replace("'", "")
    hint = f". Reshape your data using {name}[np.newaxis] if it contains a single sample"
    raise ValueError(
        f"{name} has samples of shape {shape[1:]}, but {owner} is expecting samples of shape "
        f"{wanted}, as in fit{hint * _fits(shape, expected)}"
    )


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        size == wanted or isinstance(wanted, str)
        for size, wanted in zip(shape, expected, strict=True)
    )


def warn_if_transposed(X, stacklevel):
    """UserWarning about series that have very many channels and hardly any length."""
    if X.ndim == 3 and X.shape[2] < 16 and X.shape[1] >= 64:
        warnings.warn(
            f"X has {X.shape[1]} channels of {X.shape[2]} values each, expected samples of shape "
            "(n_channels, length); transpose X if the channels come last",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


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
    """Kernel sizes, first stride and what shortcuts pass on for samples of this shape."""
    size = min(input_shape[1:], default=1)
    if len(input_shape) == 2:
        stem = (31, 4) if size >= 512 else (15, 2 if size >= 128 else 1)
        values = 9, *stem, "subsample"
    else:
        values = 5, 3, 2 if size >= 64 else 1, "average"
    names = "kernel_size", "stem_kernel_size", "stem_stride", "downsampling"
    return dict(zip(names, values, strict=True))


class BatchedSet(torch.utils.data.Dataset):
    """What epochs are cut from; a subclass says in which ``order``, and gives batches by number."""

    def batches(self, generator, batch_size):
        """Sample numbers and batch, for every batch of an epoch."""
        order = self.order(generator)
        for rows in batch_slices(len(self), batch_size):
            yield order[rows], self[order[rows]]


class SampleSet(BatchedSet):
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
        n_bytes = 4 * math.prod(X.shape[1:]) * len(rows)
        if device.type != "cpu" and n_bytes < 0.5 * _free_memory(device):
            self.uploaded = self._upload()

    def __len__(self):
        return len(self.rows)

    def order(self, generator):
        """Sample numbers in the order of an epoch, where the samples are."""
        order = _permutation(len(self), generator)
        return order.numpy() if self.uploaded is None else order.to(self.device)

    def __getitem__(self, index):
        """Batch ``(X, (y, weight))`` of an array of sample numbers."""
        if self.uploaded is not None:
            batch = self.uploaded[index]
        else:
            batch = self._scale(self.X[self.rows[index]]).to(self.device)
        return batch, self._targets(index)

    def _targets(self, index):
        return self.y[index], None if self.weight is None else self.weight[index]

    def _scale(self, X):
        return torch.from_numpy(self.scaler.transform(X))

    def _upload(self):
        return self._scale(self.X[self.rows]).to(self.device)


class StreamedSet(SampleSet):
    """Rows of a stream: an epoch reads blocks that lie apart and shuffles their samples together.

    The order is a matter of the generator and the sizes of the blocks alone. Where they make one
    pool, it is that of an array.
    """

    def order(self, generator):
        """Sample numbers in the order of an epoch."""
        order = np.concatenate(self._pools(generator))
        return order if self.uploaded is None else torch.from_numpy(order).to(self.device)

    def batches(self, generator, batch_size):
        """Sample numbers and batch, for every batch of an epoch, made ready by a thread."""
        if self.uploaded is not None:
            yield from super().batches(generator, batch_size)
            return
        pools = self._pools(generator)
        order, slices = np.concatenate(pools), batch_slices(len(self), batch_size)
        n_bytes = 4 * batch_size * math.prod(self.X.shape[1:])
        n_ahead = max(2, min(_N_AHEAD, _AHEAD // n_bytes)) * self.X.may_read_ahead
        with closing(read_ahead(self._scaled(pools, slices), n_ahead)) as scaled:
            for rows, batch in zip(slices, scaled, strict=True):
                yield order[rows], (batch.to(self.device), self._targets(order[rows]))

    def _pools(self, generator):
        """Sample numbers of one pool of blocks after the other, each shuffled."""
        blocks = self.X.split(self.rows)
        n_pools = math.ceil(len(blocks) / self.X.blocks_per_pool)
        if n_pools == 1:
            return [_permutation(len(self), generator).numpy()]
        order = _permutation(len(blocks), generator).numpy()
        chosen = np.array_split(order, n_pools)
        pools = [np.concatenate([blocks[i] for i in numbers]) for numbers in chosen]
        return [pool[_permutation(len(pool), generator).numpy()] for pool in pools]

    def _scaled(self, pools, slices):
        """Scaled batches of the samples of all pools, which are read in turn."""
        arrays = (self.X[self.rows[pool]] for pool in pools)
        for part in regroup(arrays, (rows.stop - rows.start for rows in slices)):
            yield self._scale(part)

    def _upload(self):
        """Scaled samples on the device, a part at a time."""
        uploaded = torch.empty(
            (len(self), *self.X.shape[1:]), dtype=torch.float32, device=self.device
        )
        ascending = np.argsort(self.rows, kind="stable")
        with closing(in_parts(self.X, self.X.block, self.rows[ascending])) as parts:
            first = 0
            for part in parts:
                places = torch.from_numpy(ascending[first : first + len(part)]).to(self.device)
                uploaded[places] = self._scale(part).to(self.device)
                first += len(part)
        return uploaded


def make_sample_set(X, *arguments):
    """The set of samples that suits X, an array or a stream."""
    return (StreamedSet if isinstance(X, Stream) else SampleSet)(X, *arguments)


def spread_out(rows, n_rows):
    """Ascending positions of about ``n_rows`` of the row numbers, neighbours read together."""
    n_stretches = min(_N_STRETCHES, n_rows)
    stretches = np.array_split(np.argsort(rows, kind="stable"), n_stretches)
    size = math.ceil(min(n_rows, len(rows)) / n_stretches)
    return np.concatenate([stretch[:size] for stretch in stretches])


def _permutation(n, generator):
    # Where the generator is, whatever torch's default device may be.
    return torch.randperm(n, generator=generator, device=generator.device)


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
    step = size * max(1, _CHUNK // (size * math.prod(X.shape[1:])))
    with closing(in_parts(X, step, rows)) as parts:
        for part in parts:
            whole = np.zeros((math.ceil(len(part) / size) * size, *X.shape[1:]), np.float32)
            whole[: len(part)] = scaler.transform(part)
            yield from torch.from_numpy(whole).to(device).split(size)


def rows_per_block(sample_shape):
    """Rows of a forward pass at prediction, a function of the sample shape alone.

    Blocks of one size make a row's result independent of how many rows came with it. What a row of
    series or images costs goes by its positions: the network has channels of its own.
    """
    n_positions = math.prod(sample_shape[1:] or sample_shape)
    return max(1, min(256, 8192 // n_positions, 2**20 // math.prod(sample_shape)))


def rows_per_part(sample_shape):
    """Rows whose results are written at once: whole blocks, of about ``_PART`` values."""
    size = rows_per_block(sample_shape)
    return size * max(1, _PART // (size * math.prod(sample_shape)))
