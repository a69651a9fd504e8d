"""What the sweeping benchmarks share: measured cells on disk, a process for each, statistics."""

import ast
import ctypes
import functools
import gc
import hashlib
import inspect
import json
import math
import multiprocessing
import os
import platform
import resource
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.stats import t as student

import sklearn_drsn

# --- cells on disk -------------------------------------------------------------------------------


class CellStore:
    """Results of cells in a file of JSON lines, each added as soon as it is measured.

    A cell is named by a dict, its key; whatever changes a result belongs into it. The last line
    of a key counts. A line that an interruption cut short is passed over and measured again.
    """

    def __init__(self, path, ignored=()):
        self.path, self.ignored, self.cells = Path(path), frozenset(ignored), {}
        if self.path.exists():
            for line in self.path.read_text("utf-8").splitlines():
                self._read(line)

    def _read(self, line):
        try:
            cell = json.loads(line)
        except json.JSONDecodeError:
            return
        self.cells[self._name(cell["key"])] = cell["result"]

    def _name(self, key):
        return json.dumps({k: v for k, v in key.items() if k not in self.ignored}, sort_keys=True)

    def __contains__(self, key):
        return self._name(key) in self.cells

    def __getitem__(self, key):
        return self.cells[self._name(key)]

    def __setitem__(self, key, result):
        self.cells[self._name(key)] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            line = json.dumps({"key": key, "result": result}) + "\n"
            file.write(b"\n" * self._is_torn(file) + line.encode())

    @staticmethod
    def _is_torn(file):
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


# --- one process a cell --------------------------------------------------------------------------


def in_child(function, *arguments):
    """Result of a call in a process of its own, which leaves memory and state of ours alone.

    RuntimeError with the child's traceback if it fails, or with its exit code if it is killed.
    """
    # A fork has imported everything already; nothing here has started threads.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        process.join()
        result, error = None, f"the process ended with exit code {process.exitcode}"
    except BaseException:  # an interruption
        process.terminate()
        raise
    process.join()
    if error:
        raise RuntimeError(error)
    return result


def _answer(sender, function, arguments):
    try:
        sender.send((function(*arguments), None))
    except Exception:
        sender.send((None, traceback.format_exc()))


class Cost:
    """CPU seconds of a block and, on Linux, MiB by which its peak exceeds what was resident."""

    def __enter__(self):
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # freed memory would hide what the block allocates
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._start, self._before = time.process_time(), memory_mib("VmRSS")
        return self

    def __exit__(self, *_):
        self.seconds = time.process_time() - self._start
        self.mib = memory_mib("VmHWM") - self._before


def memory_mib(field):
    """A field of Linux's process status; elsewhere the highest resident size so far."""
    if sys.platform != "linux":
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 2**10


# --- what was measured, and where ----------------------------------------------------------------


_ROOTS = (Path(sklearn_drsn.__file__).parents[1], Path(__file__).parent)


@functools.cache
def fingerprint(path, roots=_ROOTS):
    """Short hash of the code that a file runs through, comments and docstrings apart."""
    code = sorted(ast.dump(_without_docstrings(_parsed(of))) for of in imported_files(path, roots))
    return hashlib.sha1("".join(code).encode()).hexdigest()[:10]


def imported_files(path, roots=_ROOTS):
    """A file, what it imports from below ``roots``, what that imports, and so on.

    A package counts only where something is imported from the package itself.
    """
    found, waiting = set(), [Path(path)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += (file for name in _imported(_parsed(path)) for file in _files(name, roots))
    return found


def _parsed(path):
    return ast.parse(path.read_text("utf-8"))


def _imported(tree):
    """Dotted names of modules, or of what may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name, roots):
    for root in roots:
        place = root.joinpath(*name.split("."))
        yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))


def _without_docstrings(tree):
    for node in ast.walk(tree):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            del node.body[0]
    return tree


def setting(*packages, **more):
    """Versions and machine, for the head of a table and the JSON file."""
    names = ("scikit-learn", "torch", "numpy", "scipy", *packages)
    return {
        "sklearn_drsn": sklearn_drsn.__version__,
        "code": fingerprint(inspect.getfile(sklearn_drsn.DRSNClassifier)),
        **{name: version(name) for name in names},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": 1,
        **more,
    }


def version(package):
    """Installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def print_setting(values):
    print("  ".join(f"{key} {value}" for key, value in values.items()), flush=True)


# --- statistics ----------------------------------------------------------------------------------


def mean_and_spread(values):
    """Mean and standard deviation over seeds, NaN for one of them."""
    values = np.asarray(values, dtype=float)
    spread = values.std(ddof=1) if len(values) > 1 else math.nan
    return float(values.mean()), float(spread)


def paired_interval(ours, others, confidence=0.95):
    """Mean difference of paired values and half the width of its t-interval, NaN for one pair."""
    mean, spread = mean_and_spread(np.subtract(ours, others))
    n = len(ours)
    quantile = student.ppf(0.5 + confidence / 2, n - 1) if n > 1 else math.nan
    return mean, float(quantile * spread / math.sqrt(n))


def show(mean, spread, digits=3, sign=""):
    """`0.962 ±0.004`, without the spread where there is none."""
    tail = "" if math.isnan(spread) else f" ±{spread:.{digits}f}"
    return f"{mean:{sign}.{digits}f}{tail}"


def print_table(title, header, rows):
    """Rows of strings under a header, the first column flush left."""
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *others = (cell.ljust(w) if i == 0 else cell.rjust(w)
                          for i, (cell, w) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
        print("  " + "  ".join([first, *others]).rstrip())
    sys.stdout.flush()


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
    print(f"\nwritten: {path}")
