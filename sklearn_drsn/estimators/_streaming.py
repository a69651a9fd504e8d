"""Arrays larger than memory: read block by block, ahead of their use, checked as they come."""

import math
import mmap
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

__all__ = ["Stream", "in_parts", "is_streamed", "read_ahead", "regroup"]

# Bytes of contiguous rows that are read at once, and of blocks that are shuffled together.
_BLOCK, _POOL = 2**21, 2**24
_LARGEST_CHUNK = 2**26  # that is read as a whole
_N_AHEAD = 2  # blocks that wait for their use


def is_streamed(X):
    """Whether X is an array outside of memory: with shape, type and slicing, but no ndarray."""
    if isinstance(X, np.memmap):
        # joblib hands large arrays in memory to its processes as files of its own.
        return X._mmap is not None and "joblib_memmapping_folder" not in str(X.filename)
    wanted = ("shape", "dtype", "ndim", "__getitem__")
    in_memory = ("__dlpack__", "iloc", "tocsr")  # tensors, data frames, sparse matrices
    try:
        return (
            not isinstance(X, np.ndarray | np.generic)
            and all(hasattr(X, name) for name in wanted)
            and not any(hasattr(X, name) for name in in_memory)
        )
    except Exception as error:  # of an HDF5 dataset whose file is closed, for one
        raise OSError(f"X cannot be read, got {X!r}: {error}") from error


class Stream:
    """Rows of an array outside of memory, which are read and checked when they are asked for.

    Parameters
    ----------
    array : memmap, zarr array, HDF5 dataset, dask array ...
        Anything with shape, dtype, ndim and slices that NumPy takes.
    sample_shape : tuple of int or None
        Shape to give to every sample, None for its own.

    Attributes
    ----------
    shape, ndim, size : as those of an array
    dtype : dtype
        Of what is read: the array's own or, where float32 and float64 hold less, float64.
    block : int
        Rows of a block: about 2 MiB and, if the array has chunks, whole ones.
    blocks_per_pool : int
        How many make a pool of samples that are shuffled together.
    is_one_pool : bool
        Whether that is all of it.
    may_read_ahead : bool
        Whether a thread of its own may read.
    """

    def __init__(self, array, sample_shape=None):
        self.array = array
        self._own_shape = tuple(array.shape[1:])
        self.shape = (*array.shape[:1], *(sample_shape or self._own_shape))
        if not all(isinstance(size, int | np.integer) for size in self.shape):
            raise ValueError(
                f"expected an X of known shape, got {self.shape} (compute_chunk_sizes() of a dask "
                "array finds it)"
            )
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.dtype = _type_to_read(array.dtype)
        n_bytes = max(1, self.dtype.itemsize * math.prod(self.shape[1:]))
        self.block = _rows_of_blocks(array, n_bytes)
        self.blocks_per_pool = max(1, _POOL // (self.block * n_bytes))
        self.is_one_pool = len(self) <= self.block * self.blocks_per_pool
        # Within a task of Dask another thread would wait for the place that the task itself takes.
        self.may_read_ahead = not hasattr(array, "__dask_graph__")

    def __len__(self):
        return self.shape[0]

    def reshape(self, n_rows, *sample_shape):
        """The same rows as samples of another shape, in which one size may be -1."""
        outline = np.broadcast_to(np.zeros((), bool), self.shape[1:])
        return Stream(self.array, outline.reshape(sample_shape).shape)

    def outline(self):
        """An array of zeros of this shape and type, which takes no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)

    def split(self, rows):
        """Positions of row numbers, those of a block together, blocks in ascending order."""
        ascending = np.argsort(rows, kind="stable")
        blocks = rows[ascending] // self.block
        return np.split(ascending, np.flatnonzero(np.diff(blocks)) + 1)

    def __getitem__(self, rows):
        """A slice of rows, or those of an array of row numbers in any order, as an array."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            firsts = [start, *range(start - start % self.block + self.block, stop, self.block)]
            blocks = list(map(self._read, firsts, [*firsts[1:], stop]))
            return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for positions in self.split(rows):
            first, last = int(rows[positions[0]]), int(rows[positions[-1]])
            taken[positions] = self._read(first, last + 1)[rows[positions] - first]
        return taken

    def parts(self, n_rows, rows=None):
        """All rows, or some in ascending order, ``n_rows`` at a time, read ahead."""
        if rows is None:
            n, starts = len(self), range(0, len(self), self.block)
            blocks = (self[start : start + self.block] for start in starts)
        else:
            n, blocks = len(rows), (self[rows[positions]] for positions in self.split(rows))
        counts = (min(n_rows, n - start) for start in range(0, n, n_rows))
        with closing(read_ahead(blocks, _N_AHEAD * self.may_read_ahead)) as blocks:
            yield from regroup(blocks, counts)

    def _read(self, start, stop):
        """Rows of one block, checked."""
        expected = (stop - start, *self._own_shape)
        try:
            self._check_file()
            given = self.array[start:stop]
            if np.ma.is_masked(given):
                raise ValueError("values are masked")
            block = np.asarray(given)
            if not np.can_cast(block.dtype, self.array.dtype, "safe"):
                raise TypeError(f"expected values of {self.array.dtype}, got {block.dtype}")
            block = np.array(block, dtype=self.dtype, order="C")
            if block.shape != expected:
                raise OSError(f"expected an array of shape {expected}, got {block.shape}")
        except MemoryError:
            raise
        except Exception as error:  # whatever the reader of a format raises
            reason = str(error) or repr(error)
            raise OSError(f"{self._place(start)} cannot be read: {reason}") from error
        block = block.reshape(-1, *self.shape[1:])
        if not _is_finite(block):
            finite = np.isfinite(block).all(axis=tuple(range(1, self.ndim)))
            row = start + int(np.argmin(finite))
            raise ValueError(
                f"Input X contains NaN or infinity in sample {row}: {self._place(row)}"
            )
        return block

    def _check_file(self):
        """Refuse a mapped file that has become shorter: reading on would end the process."""
        mapping = getattr(self.array, "_mmap", None)
        if isinstance(mapping, mmap.mmap):
            start = self.array.offset - self.array.offset % mmap.ALLOCATIONGRANULARITY
            expected, found = start + len(mapping), mapping.size()
            if found < expected:
                raise OSError(f"the file has shrunk from {expected} bytes to {found}")

    def _place(self, row):
        block = row // self.block
        first, last = block * self.block, min((block + 1) * self.block, len(self)) - 1
        return f"block {block} of X (samples {first} to {last})"


def _type_to_read(dtype):
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise ValueError(f"expected an X of real numbers, got X.dtype={dtype}")
    fits = dtype.itemsize < 8 or dtype == np.float64
    return dtype.newbyteorder("=") if fits else np.dtype(np.float64)


def _rows_of_blocks(array, n_bytes):
    """Rows of about ``_BLOCK`` bytes, a multiple of those of a chunk if its size is moderate."""
    n_rows = max(1, _BLOCK // n_bytes)
    chunks = getattr(array, "chunks", None)
    if isinstance(chunks, tuple) and chunks:
        n_chunk = int(np.max(chunks[0]))  # dask gives the size of each, others of all
        if 0 < n_chunk * n_bytes <= _LARGEST_CHUNK:
            return math.ceil(n_rows / n_chunk) * n_chunk
    return n_rows


def _is_finite(block):
    if block.dtype == np.float16:  # whose isfinite takes ten times as long
        return not len(block) or (block.view(np.int16) & 0x7C00).max() < 0x7C00
    return block.dtype.kind != "f" or np.isfinite(block).all()


def in_parts(X, n_rows, rows=None):
    """X, or some of its rows, ``n_rows`` at a time; those of a stream are read ahead.

    Rows of a stream have to ascend, unless one part takes them all.
    """
    n = len(X) if rows is None else len(rows)
    if isinstance(X, Stream) and n > n_rows:
        yield from X.parts(n_rows, rows)
        return
    for start in range(0, n, n_rows):
        chosen = slice(start, start + n_rows)
        yield X[chosen if rows is None else rows[chosen]]


def read_ahead(items, n_ahead):
    """Go through ``items``, up to ``n_ahead`` of which a thread of its own makes ready, if any.

    The thread ends with the generator, which a caller that may stop early has to close; its errors
    come to the caller.
    """
    if not n_ahead:
        yield from items
        return
    items, end = iter(items), object()
    thread = ThreadPoolExecutor(1, "sklearn_drsn read ahead")
    try:
        ready = deque(thread.submit(next, items, end) for _ in range(n_ahead))
        while (item := ready.popleft().result()) is not end:
            ready.append(thread.submit(next, items, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


def regroup(arrays, counts):
    """The rows of arrays one after the other, as arrays of so many rows each."""
    arrays, rest = iter(arrays), ()
    for count in counts:
        parts, missing = [], count
        while missing:
            if not len(rest):
                rest = ()  # lets go of an array that is used up before the next one is made
                rest = next(arrays)
            parts.append(rest[:missing])
            rest = rest[len(parts[-1]) :]
            missing -= len(parts[-1])
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)
