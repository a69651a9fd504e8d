"""Files from which a fit that was killed goes on.

The files of a fit are named after what makes it the fit that it is: estimator, parameters, data,
seed and, if training goes on from a net, the weights of that. So fits side by side in one folder,
as those of a grid search are, never take what belongs to another.
"""

import errno
import hashlib
import json
import math
import os
import time
import warnings
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import sklearn
import torch

from sklearn_drsn._version import __version__
from sklearn_drsn.estimators._document import decode, encode
from sklearn_drsn.estimators._expectations import expect
from sklearn_drsn.estimators._files import write_atomically
from sklearn_drsn.estimators._streaming import Stream, in_parts

try:
    import fcntl
except ImportError:  # Windows, where fits of the same data and parameters do not see one another
    fcntl = None

__all__ = ["Checkpoint", "digest", "identify", "open_checkpoint"]

_SHARE_OF_TIME = 0.05  # of a fit, that writing may take
_BLOCK = 2**22  # bytes that are hashed at a time
_N_DIGEST, _N_LENGTH = 32, 8
_PARTS = ("identity", "circumstances", "state")
_STATE = {"seed": int, "first_epoch": int, "net": dict, "stopping": dict}
_FORMAT = 1
# What may be other when a fit goes on.
_IRRELEVANT = {"checkpoint_dir", "device", "random_state", "verbose"}


class Checkpoint:
    """Newest and previous state of one fit.

    Parameters
    ----------
    folder : Path
    identity : dict
        What makes a fit this one, of JSON values.
    circumstances : dict
        What must be as it was, or the result would be another; of JSON values.

    Attributes
    ----------
    state : dict or None
        What was read: the state to go on from.
    """

    def __init__(self, folder, identity, circumstances):
        self.identity, self.circumstances = identity, circumstances
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
        self.folder, self.name, self.state = folder, name, None
        self.newest = folder / f"{name}.checkpoint"
        self.previous = folder / f"{name}.previous"
        self._due, self._failed = 0.0, False

    def read(self):
        """Take the newest state there is; a damaged one makes way for the one before."""
        for path in (self.newest, self.previous):
            try:
                document = _from_bytes(path)
            except FileNotFoundError:
                continue
            except ValueError as error:
                path.unlink()
                warnings.warn(
                    f"the checkpoint {path} is damaged ({error}) and was removed; the fit goes on "
                    "from the one before, or from the start",
                    UserWarning,
                    stacklevel=8,
                )
                continue
            self._compare(document, path)
            self.state = document["state"]
            return

    def _compare(self, document, path):
        found = {**document["identity"], **document["circumstances"]}
        expected = {**self.identity, **self.circumstances}
        differing = [
            f"{name} ({found.get(name)!r:.80} then, {expected.get(name)!r:.80} now)"
            for name in sorted({*found, *expected})
            if found.get(name) != expected.get(name)
        ]
        if differing:
            raise ValueError(
                f"the checkpoint {path} is of another fit, it differs in {', '.join(differing)}; "
                "make them as they were, or remove the file to begin anew"
            )

    def is_due(self):
        """Whether writing now takes no more than its share of the time."""
        return time.perf_counter() >= self._due

    def write(self, state):
        """Keep a state beside the one before; a failure is a warning, once."""
        start = time.perf_counter()
        try:
            data = _to_bytes((self.identity, self.circumstances, state))
            with suppress(FileNotFoundError):
                self.newest.replace(self.previous)
            write_atomically(self.newest, data)
        except OSError as error:
            if not self._failed:
                warnings.warn(
                    f"a checkpoint could not be written: {error}; training goes on without",
                    UserWarning,
                    stacklevel=2,
                )
            self._failed = True
        now = time.perf_counter()
        self._due = now + (now - start) / _SHARE_OF_TIME

    def remove(self):
        """Leave no file of this fit behind, nor of a write that was killed."""
        for path in self.folder.glob(f"*{self.name}*"):
            if path.suffix != ".lock":
                _discard(path)


@contextmanager
def open_checkpoint(folder, identity, circumstances):
    """Give the :class:`Checkpoint` of a fit, or None while another fit has it.

    Raises
    ------
    OSError
        If nothing can be written to the folder.
    ValueError
        If there is a state of this fit, but from other circumstances.
    """
    checkpoint = Checkpoint(Path(folder), identity, circumstances)
    with _lock(checkpoint.folder, f"{checkpoint.name}.lock") as is_ours:
        if is_ours:
            checkpoint.read()
            yield checkpoint
            return
        warnings.warn(
            f"another fit of the same data and parameters has its checkpoint in {folder} at this "
            "moment; this one is trained without",
            UserWarning,
            stacklevel=7,
        )
        yield None


@contextmanager
def _lock(folder, name):
    """Hold a lock that ends with the process; tell whether it could be had."""
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"checkpoint_dir cannot be written to: {reason}"
        raise OSError(error.errno or errno.EIO, message, str(folder)) from error
    if file is None:
        yield False
        return
    try:
        yield True
    finally:
        if fcntl is None:  # Windows removes no open file
            file.close()
        _discard(path)
        file.close()


def _discard(path):
    """Remove a file; what cannot be removed is no reason to lose a fit."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"{path} could not be removed: {error}", UserWarning, stacklevel=2)


def _open_locked(path):
    """The locked file, or None if someone else has locked it."""
    while True:
        file = path.open("wb")
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samefile(path, file.fileno()):
                return file
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:  # removed by who had it, between opening and locking
            pass
        file.close()


# --- the file: checksum, length, and a JSON document, after its length, with arrays as they are ---
# No archive and no compression: what is read takes no more memory than the file has bytes.


def _to_bytes(parts):
    arrays = {}
    document = {
        name: encode(value, arrays, name) for name, value in zip(_PARTS, parts, strict=True)
    }
    kinds = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    text = json.dumps({**document, "arrays": kinds}).encode()
    parts = [array.tobytes() for array in arrays.values()]
    return _seal(b"".join([len(text).to_bytes(_N_LENGTH, "little"), text, *parts]))


def _seal(data):
    return hashlib.sha256(data).digest() + len(data).to_bytes(_N_LENGTH, "little") + data


def _from_bytes(path):
    """Document in a file; nothing in it is executed.

    ValueError if it is damaged, FileNotFoundError if there is none.
    """
    with path.open("rb") as file:
        checksum, length = file.read(_N_DIGEST), file.read(_N_LENGTH)
        expected = _N_DIGEST + _N_LENGTH + int.from_bytes(length, "little")
        found = path.stat().st_size
        if found != expected:
            raise ValueError(f"expected {expected} bytes, got {found}")
        data = file.read()
    if hashlib.sha256(data).digest() != checksum:
        raise ValueError("its checksum is another")
    try:
        end = _N_LENGTH + int.from_bytes(data[:_N_LENGTH], "little")
        document = json.loads(data[_N_LENGTH:end])
        arrays = _cut(data, end, document["arrays"])
        document = decode({name: document[name] for name in _PARTS}, arrays)
        kinds = {name: type(value) for name, value in document["state"].items()}
        expect(kinds == _STATE, f"a state of {_STATE}", kinds)
        return document
    except Exception as error:
        raise ValueError(f"it holds something else: {error!r}") from error


def _cut(data, start, kinds):
    """Arrays that lie one after the other from ``start`` to the end, of types and shapes given."""
    arrays = {}
    for name, (kind, shape) in kinds.items():
        dtype = np.dtype(kind)
        if dtype.kind not in "biuf":
            raise ValueError(f"expected numbers, got {dtype} in {name!r:.80}")
        arrays[name] = np.ndarray(shape, dtype, data, start)  # refuses what lies beyond the end
        start += arrays[name].nbytes
    if start != len(data):
        raise ValueError(f"expected arrays of {start} bytes, got {len(data)}")
    return arrays


# --- what makes a fit ----------------------------------------------------------------------------


def identify(estimator, seed, data, net_state=None):
    """Identity and circumstances of a fit.

    Parameters
    ----------
    estimator : estimator
    seed : int or None
        None if a checkpoint is to decide.
    data : dict
        All that ``fit`` was given, after validation: arrays, lists of them, None.
    net_state : dict or None
        State of the net that training goes on from.
    """
    parameters = estimator.get_params(deep=False)
    identity = {
        "estimator": type(estimator).__name__,
        **{name: _describe(parameters[name]) for name in parameters if name not in _IRRELEVANT},
        "seed": seed,
        **{name: _describe(value) for name, value in data.items()},
    }
    if net_state is not None:
        parts = {name: net_state[name] for name in ("module", "optimizer")}
        identity["weights to go on from"] = _describe(parts)
        identity["epochs before"] = len(net_state["history"])
    versions = {
        "sklearn_drsn": __version__,
        "torch": str(torch.__version__),  # of a type of its own
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    circumstances = {f"version of {name}": version for name, version in versions.items()}
    return identity, {"format": _FORMAT, **circumstances}


def _describe(value):
    """Short form of a value that JSON takes; code goes by its name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, bool | None):
        return value
    if isinstance(value, int | str):
        return int(value) if isinstance(value, int) else str(value)
    if isinstance(value, np.ndarray | Stream):
        return digest(value)
    if isinstance(value, dict):
        return [[_describe(key), _describe(item)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    named = value if hasattr(value, "__qualname__") else type(value)
    arguments = [getattr(value, name, None) for name in ("func", "args", "keywords")]
    name = f"{named.__module__}.{named.__qualname__}"
    return [name, *map(_describe, arguments)] if arguments[0] else name


def digest(array):
    """Hash of the type, shape and values of an array or a stream, of whatever layout."""
    result = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.kind == "O":
        result.update(repr(array.tolist()).encode())
        return result.hexdigest()
    if not array.ndim:
        array = array.reshape(1)
    n_rows = max(1, _BLOCK // max(1, array.dtype.itemsize * math.prod(array.shape[1:])))
    with closing(in_parts(array, n_rows)) as parts:
        for part in parts:
            result.update(part.tobytes())
    return result.hexdigest()
