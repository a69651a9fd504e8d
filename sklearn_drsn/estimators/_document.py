"""Plain data as a JSON document and the arrays beside it, and back.

Only what is listed here passes: numbers, strings, None, lists, tuples, dicts, arrays of them, and
the scalers of this package. A document names a class by a word out of a table; nothing is imported
on its behalf.
"""

import math

import numpy as np

from sklearn_drsn.estimators._denoising import PatchScaler
from sklearn_drsn.estimators._expectations import naming
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler

__all__ = ["decode", "encode"]

_ARRAY_TYPES = frozenset(
    np.dtype(kind)
    for kind in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)
_SCALERS = {cls.__name__: cls for cls in (InputScaler, PatchScaler, TargetScaler)}
_MOST_CHARACTERS = 2**26  # of all arrays of text, each string as wide as the longest
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
    kind = array.dtype.kind
    if array.dtype in _ARRAY_TYPES:
        while path in arrays:  # keys 0 and "0" look alike in a path
            path += "'"
        arrays[path] = np.array(array, order="C")
        return {"array": path}
    if kind not in "OUmMiuf":
        raise TypeError(f"{path} holds values of dtype {array.dtype}, which cannot be saved")
    plain = array if kind == "O" else _in_plain_type(array)
    if plain.dtype != array.dtype:
        return {"typed": [array.dtype.str, _encode_array(plain, arrays, path)]}
    items = _encode_items(array.ravel().tolist(), arrays, path)
    return {"objects" if kind == "O" else "text": [list(array.shape), items]}


def _in_plain_type(array):
    """The same values in a type that a document has, of which there is one for each other type."""
    kind = array.dtype.kind
    if kind in "mM":
        return array.astype(np.int64)
    if kind == "f" and array.dtype.itemsize > 8:  # the same bits are other numbers elsewhere
        return _in_plain_type(array.astype(str))
    if kind == "U":
        width = max(map(len, array.ravel().tolist()), default=1) or 1
        return array.astype(f"U{width}")
    return array.astype(array.dtype.newbyteorder("="))


def decode(nodes, arrays):
    """Inverse of :func:`encode` for every value of a dict.

    Raises
    ------
    ValueError
        If the document was not made by it; the message names the value.
    """
    value_of, values = _Decoder(arrays), {}
    for name, node in nodes.items():
        with naming(name):
            values[name] = value_of(node)
    return values


class _Decoder:
    """Values of nodes, each array used once, and text in all no wider than memory allows."""

    def __init__(self, arrays):
        self.arrays, self.room = arrays, _MOST_CHARACTERS

    def __call__(self, node):
        if isinstance(node, list):
            return [self(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((tag, content),) = node.items()
        return _TAGS[tag](self, content)

    def _array(self, path):
        return self.arrays.pop(path)

    def _dict(self, pairs):
        return {self(key): self(item) for key, item in pairs}

    def _scaler(self, content):
        name, attributes = content
        scaler = _SCALERS[name].__new__(_SCALERS[name])
        vars(scaler).update(self(attributes))
        return scaler

    def _objects(self, content):
        shape, items = content
        array = np.empty(len(items), object)
        array[:] = self(items)
        return array.reshape(shape)

    def _text(self, content):
        array = self._objects(content)
        # As wide as the longest string, whatever a file may say.
        width = max(map(len, array.ravel()), default=1) or 1
        return self._as_text(array, np.dtype(f"U{width}"))

    def _typed(self, content):
        name, node = content
        dtype, array = np.dtype(name), self(node)
        if dtype.str != name or dtype.kind not in "UmMiuf":
            raise ValueError(f"expected a type of numbers, dates or text, got {name!r:.40}")
        plain = _in_plain_type(np.empty(0, dtype))
        if not isinstance(array, np.ndarray) or array.dtype.kind != plain.dtype.kind:
            raise ValueError(f"expected values of kind {plain.dtype.kind!r} for {dtype}")
        return self._as_text(array, dtype) if dtype.kind == "U" else array.astype(dtype)

    def _as_text(self, array, dtype):
        self.room -= array.size * dtype.itemsize // 4
        if self.room < 0:
            raise ValueError(
                f"expected text of at most {_MOST_CHARACTERS} characters, each string as wide as "
                f"the longest, got an array of {array.size} and {dtype}"
            )
        return array.astype(dtype)


_TAGS = {
    "array": _Decoder._array,
    "dict": _Decoder._dict,
    "float": lambda decoder, name: _NOT_FINITE[name],
    "objects": _Decoder._objects,
    "scalar": lambda decoder, node: decoder(node)[()],
    "scaler": _Decoder._scaler,
    "text": _Decoder._text,
    "tuple": lambda decoder, items: tuple(decoder(items)),
    "typed": _Decoder._typed,
}
