"""Plain data as a JSON document and the arrays beside it, and back.

Only what is listed here passes: numbers, strings, None, lists, tuples, dicts, arrays of them, and
the scalers of this package. A document names a class by a word out of a table; nothing is imported
on its behalf.
"""

import math

import numpy as np

from sklearn_drsn.estimators._denoising import PatchScaler
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler

__all__ = ["decode", "encode"]

_ARRAY_TYPES = frozenset(
    np.dtype(kind)
    for kind in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)
_SCALERS = {cls.__name__: cls for cls in (InputScaler, PatchScaler, TargetScaler)}
_MOST_CHARACTERS = 2**26  # of an array of text, each string as wide as the longest
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(value, arrays, path):
    """JSON form of a value; arrays of numbers go to ``arrays`` under their path.

    Raises
    ------
    TypeError
        If something in it is no plain data; the message says where.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return _encode_items(value, arrays, path)
    if kind is tuple:
        return {"tuple": _encode_items(value, arrays, path)}
    if kind is dict:
        pairs = [
            [encode(key, arrays, path), encode(item, arrays, f"{path}.{key}")]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if kind in _SCALERS.values():
        return {"scaler": [kind.__name__, encode(vars(value), arrays, path)]}
    if isinstance(value, np.generic):
        return {"scalar": encode(np.asarray(value), arrays, path)}
    if kind is np.ndarray:
        return _encode_array(value, arrays, path)
    raise TypeError(
        f"{path} is no plain data and cannot be saved, got {value!r}; set another value with "
        "set_params before saving, or use pickle"
    )


def _encode_items(values, arrays, path):
    return [encode(item, arrays, f"{path}[{i}]") for i, item in enumerate(values)]


def _encode_array(array, arrays, path):
    native = array.dtype.newbyteorder("=")
    if native in _ARRAY_TYPES:
        while path in arrays:  # keys 0 and "0" look alike in a path
            path += "'"
        arrays[path] = np.array(array, native, order="C")
        return {"array": path}
    if array.dtype.kind in "UO":
        items = _encode_items(array.ravel().tolist(), arrays, path)
        return {"text" if array.dtype.kind == "U" else "objects": [list(array.shape), items]}
    raise TypeError(f"{path} holds values of dtype {array.dtype}, which cannot be saved")


def decode(node, arrays):
    """Inverse of :func:`encode`.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the document was not made by it.
    """
    if isinstance(node, list):
        return [decode(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    ((tag, content),) = node.items()
    return _DECODERS[tag](content, arrays)


def _decode_dict(pairs, arrays):
    return {decode(key, arrays): decode(item, arrays) for key, item in pairs}


def _decode_scaler(content, arrays):
    name, attributes = content
    scaler = _SCALERS[name].__new__(_SCALERS[name])
    vars(scaler).update(decode(attributes, arrays))
    return scaler


def _decode_objects(content, arrays):
    shape, items = content
    array = np.empty(len(items), object)
    array[:] = decode(items, arrays)
    return array.reshape(shape)


def _decode_text(content, arrays):
    array = _decode_objects(content, arrays)
    # As wide as the longest string, whatever a file may say.
    width = max(map(len, array.ravel()), default=1) or 1
    if array.size * width > _MOST_CHARACTERS:
        raise ValueError(
            f"expected text of at most {_MOST_CHARACTERS} characters, got {array.size} x {width}"
        )
    return array.astype(f"U{width}")


_DECODERS = {
    "array": lambda path, arrays: arrays.pop(path),
    "dict": _decode_dict,
    "float": lambda name, arrays: _NOT_FINITE[name],
    "objects": _decode_objects,
    "scalar": lambda node, arrays: decode(node, arrays)[()],
    "scaler": _decode_scaler,
    "text": _decode_text,
    "tuple": lambda items, arrays: tuple(decode(items, arrays)),
}
