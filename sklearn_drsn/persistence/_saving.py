"""One file for a fitted estimator: weights in safetensors, the rest in JSON, nothing executable."""

import hashlib
import json
import os
import platform
import warnings
from pathlib import Path

import numpy as np
import sklearn
import torch

from sklearn_drsn._version import __version__
from sklearn_drsn.estimators._document import decode, encode
from sklearn_drsn.estimators._files import write_atomically
from sklearn_drsn.estimators._samples import resolve_device
from sklearn_drsn.persistence._schema import ESTIMATORS, check_state

__all__ = ["load", "save"]

_FORMAT = 1
_KEY = "sklearn_drsn"  # of the document in the metadata of safetensors
_NO_CHECKSUM = "0" * 64
_LONGEST_HEADER = 100_000_000  # what safetensors takes


def save(estimator, path):
    """Write an estimator to one file, from which :func:`load` makes the same again.

    The file is a safetensors file: weights, optimizer state and statistics are its tensors, and
    parameters, names and numbers are JSON in its metadata. It holds no pickle and names no code.
    What could not be loaded again is not written.

    Parameters
    ----------
    estimator : estimator
        Any estimator of this package, fitted or not. Pipelines go through skops, see
        :data:`TRUSTED_TYPES`.
    path : str or path-like
        Of the file, replaced if there is one. It appears whole or not at all.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ImportError
        If safetensors is missing.
    TypeError
        If the estimator is none of this package's, or holds something that is no plain data: a
        function to augment with, callbacks, a class of optimizers. The message names it.
    ValueError
        If a parameter is out of range, or the estimator is one that :func:`load` would refuse, such
        as one with NaN among its weights.

    Notes
    -----
    Labels come back as they were, in type and value: numbers of every width and byte order,
    booleans, strings as wide as they were, dates and durations in their unit.

    Metadata requests, such as those of ``set_fit_request``, are left out, with a UserWarning: they
    are to be set again after :func:`load`.

    See Also
    --------
    export_onnx : Predict elsewhere, without this package.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_drsn import SoftThresholdTransformer
    >>> from sklearn_drsn.persistence import load, save
    >>> X = np.random.default_rng(0).normal(size=(5, 64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(SoftThresholdTransformer().fit(X), f"{folder}/denoiser.safetensors")
    ...     load(f"{folder}/denoiser.safetensors").transform(X).shape
    (5, 64)
    """
    name = type(estimator).__name__
    if ESTIMATORS.get(name) is not type(estimator):
        raise TypeError(
            f"save takes estimators of sklearn_drsn, {', '.join(sorted(ESTIMATORS))}, got {name}; "
            "a pipeline goes through skops.io with sklearn_drsn.persistence.TRUSTED_TYPES"
        )
    state = dict(estimator.__getstate__())
    if isinstance(folder := state.get("checkpoint_dir"), os.PathLike):
        state["checkpoint_dir"] = os.fspath(folder)
    _refuse_callbacks(state)
    requests = state.pop("_metadata_request", None)
    data = _to_bytes(name, state)
    _read(data)
    if requests is not None:
        warnings.warn(
            f"metadata requests, such as those of set_fit_request, are not saved: {name} has some; "
            "set them again on what load gives",
            UserWarning,
            stacklevel=2,
        )
    write_atomically(path, data)


def load(path, device="auto"):
    """Read an estimator that :func:`save` wrote.

    Nothing in the file is executed or imported, and nothing is built before the whole file has
    been checked: its length, its checksum, the names, types and shapes of all that it holds, that
    its numbers are some that a fit can give. It takes memory in proportion to the file's length.

    Parameters
    ----------
    path : str or path-like
    device : str, default="auto"
        Where the network is to be: a torch device such as "cpu" or "cuda:0", whatever it was
        fitted on, or "auto" for the best that this machine has.

    Returns
    -------
    estimator

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If safetensors is missing.
    ValueError
        If the file is damaged, tampered with, of a version yet unknown or none of :func:`save`'s,
        or the device is not available.

    Notes
    -----
    The checksum finds accidents. It is no signature: who can replace the file can make you load
    another model, though not run code.

    Examples
    --------
    See :func:`save`.
    """
    device = str(resolve_device(device))
    try:
        return _build(*_read(_read_bytes(Path(path))), device)
    except (ImportError, OSError):
        raise
    except Exception as error:  # of all the ways in which a hostile file may be wrong
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path} cannot be loaded: {reason}") from error


def _build(cls, state, device):
    if "_settings" in state:
        state["_settings"]["device"] = device
    estimator = cls.__new__(cls)
    estimator.__setstate__(state)
    return estimator


def _refuse_callbacks(state):
    for name in ("callbacks", "_skl_callbacks"):
        if state.get(name):
            raise TypeError(
                f"{name.removeprefix('_skl_')} are code and cannot be saved, got {state[name]!r}; "
                "take them off, or use pickle"
            )


# --- the file ------------------------------------------------------------------------------------


def _to_bytes(name, state):
    arrays = {}
    document = {
        "format": _FORMAT,
        "checksum": _NO_CHECKSUM,
        "class": name,
        "versions": {
            "sklearn_drsn": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "torch": torch.__version__,
        },
        "state": {key: encode(value, arrays, key) for key, value in state.items()},
    }
    data = _safetensors().save(arrays, {_KEY: json.dumps(document, allow_nan=False)})
    return data.replace(_NO_CHECKSUM.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def _read(data):
    """Class and checked state of the bytes of a file."""
    metadata = _header(data).get("__metadata__", {})
    if set(metadata) != {_KEY}:
        raise ValueError("it was not written by sklearn_drsn.persistence.save")
    document = _json(metadata[_KEY])
    if document["format"] != _FORMAT:
        raise ValueError(
            f"its format is {document['format']!r:.40}, sklearn_drsn {__version__} reads {_FORMAT}"
        )
    checksum = document["checksum"].encode()
    blank = data.replace(checksum, _NO_CHECKSUM.encode(), 1)
    if hashlib.sha256(blank).hexdigest().encode() != checksum:
        raise ValueError("it is damaged: its checksum is another")
    cls = ESTIMATORS.get(document["class"])
    if cls is None:
        raise ValueError(f"sklearn_drsn has no estimator {document['class']!r:.80}")
    arrays = _safetensors().load(data)
    state = decode(document["state"], arrays)
    if arrays:
        raise ValueError(f"it holds tensors that belong nowhere: {sorted(arrays)[:3]}")
    check_state(cls, state)
    return cls, state


def _read_bytes(path):
    """The file, if its length is what its header says."""
    with path.open("rb") as file:
        start = file.read(8)
        n_bytes = int.from_bytes(start, "little")
        if len(start) < 8 or n_bytes > _LONGEST_HEADER:
            raise ValueError("it is no safetensors file")
        start += file.read(n_bytes)
        length = 8 + n_bytes + _data_length(_header(start))
        found = os.fstat(file.fileno()).st_size
        if found != length:
            raise ValueError(f"it is damaged: expected {length} bytes, got {found}")
        return start + file.read()


def _header(data):
    end = 8 + int.from_bytes(data[:8], "little")
    if end > len(data):
        raise ValueError(f"it is damaged: expected a header of {end} bytes, got {len(data)}")
    try:
        return _json(data[8:end])
    except ValueError as error:
        raise ValueError(f"it is damaged: its header is no JSON, {error}") from error


def _data_length(header):
    tensors = (tensor for name, tensor in header.items() if name != "__metadata__")
    return max((tensor["data_offsets"][1] for tensor in tensors), default=0)


def _json(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no number of JSON")

    return json.loads(text, parse_constant=refuse)


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save and load need safetensors: pip install sklearn_drsn[safe]"
        ) from error
    return safetensors.numpy
