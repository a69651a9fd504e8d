"""Bearing recordings of the Case Western data centre that are already on disk."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat
from scipy.signal import firwin, resample_poly
from sklearn.utils import Bunch

from sklearn_drsn.datasets._archives import naming_damage, read_archive
from sklearn_drsn.datasets._windows import sliding_windows

_COMPACT_FILE = "cwru_12k_de.npz"
_SAMPLING_RATE = 12000.0

# File numbers of the data centre for the loads 0, 1, 2 and 3 hp; outer race: fault at 6 o'clock.
_FILE_NUMBERS = {
    "Normal": (97, 98, 99, 100),
    "IR007": (105, 106, 107, 108),
    "IR014": (169, 170, 171, 172),
    "IR021": (209, 210, 211, 212),
    "B007": (118, 119, 120, 121),
    "B014": (185, 186, 187, 188),
    "B021": (222, 223, 224, 225),
    "OR007": (130, 131, 132, 133),
    "OR014": (197, 198, 199, 200),
    "OR021": (234, 235, 236, 237),
}
_RECORDS = {
    number: (name, load)
    for name, numbers in _FILE_NUMBERS.items()
    for load, number in enumerate(numbers)
}

_DESCR = """\
Case Western Reserve University bearing vibration
-------------------------------------------------
Acceleration at the drive end of a 2 hp motor whose drive-end bearing (SKF 6205) carries one
electro-discharge machined fault, recorded at 12 kHz under loads of 0 to 3 hp (about 1797 to
1730 turns per minute). Unit: g, as scaled by the data centre.

Classes: Normal; a fault of 0.007, 0.014 or 0.021 inch diameter in the inner race (IR), on a ball
(B) or in the outer race at 6 o'clock (OR). One recording for each class and load.

The data centre recorded the normal condition at 48 kHz only. Here it is decimated by 4 with
a linear-phase filter; left at 48 kHz it would be recognised by its sampling rate.

Recordings differ in gain, so scale every window to zero mean and unit variance; otherwise its
amplitude names the class. There is one physical bearing for each class, so good scores on the rest
of a recording say little of other bearings: also test on loads that were not trained on.

Made by K. A. Loparo, Case Western Reserve University Bearing Data Center,
https://engineering.case.edu/bearingdatacenter. Licence: not stated.

Reference: W. A. Smith, R. B. Randall, "Rolling element bearing diagnostics using the Case Western
Reserve University data: A benchmark study", Mechanical Systems and Signal Processing 64-65,
100-131, 2015, doi:10.1016/j.ymssp.2015.04.021
"""


def load_cwru(
    path,
    *,
    load=0,
    classes=None,
    window=1024,
    train_fraction=0.6,
    train_step=512,
    test_step=1024,
    max_samples=120_000,
):
    """Load windows of the Case Western bearing recordings, split in time.

    The first `train_fraction` of every recording gives the training windows and the rest the test
    windows, so that no window lies on both sides and no two windows of the two sets overlap. Random
    splits of overlapping windows would put nearly the same data into both.

    Parameters
    ----------
    path : str or path-like
        A compact file `cwru_12k_de.npz` (layout in the Notes), a folder that holds it, or a folder
        of the data centre's MAT files, searched with its subfolders. Nothing is downloaded.
    load : int or sequence of int, default=0
        Motor load or loads in hp, 0 to 3.
    classes : sequence of str, default=None
        Names of the classes to load, see the Notes. None means all ten.
    window : int, default=1024
        Samples in a window.
    train_fraction : float, default=0.6
        Share of each recording that training windows come from, between 0 and 1.
    train_step, test_step : int, default=512, 1024
        Samples between the starts of two windows. Test windows do not overlap by default.
    max_samples : int, default=120_000
        Each recording is cut to this many samples first. None takes it whole.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - `X_train`, `X_test` : ndarray of shape (n_windows, 1, window), float32, in g, not scaled.
        - `y_train`, `y_test` : ndarray of shape (n_windows,), names of the classes.
        - `groups_train`, `groups_test` : ndarray of shape (n_windows,), the recording each window
          was cut from, as `'<class>_L<load>'`.
        - `target_names` : list of the names of the loaded classes.
        - `sampling_rate` : 12000.0, in Hz.
        - `DESCR` : origin, pitfalls and citation.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist or holds neither the compact file nor MAT files.
    ValueError
        If a class or load is not in the files (the message lists what is), a file that is needed is
        damaged (the message names it), `train_fraction` does not lie between 0 and 1, or a part of
        a recording is shorter than `window`.

    Notes
    -----
    Files whose name begins with a dot are passed over, so are MAT files of anything else.

    Drive-end recordings at 12 kHz, identified in MAT files by the number in the name of their
    variable, `X105_DE_time` (where a file holds two recordings, by the file name as well):

    ====== ======== ======== ======== ========
    class  0 hp     1 hp     2 hp     3 hp
    ====== ======== ======== ======== ========
    Normal 97       98       99       100
    IR007  105      106      107      108
    IR014  169      170      171      172
    IR021  209      210      211      212
    B007   118      119      120      121
    B014   185      186      187      188
    B021   222      223      224      225
    OR007  130      131      132      133
    OR014  197      198      199      200
    OR021  234      235      236      237
    ====== ======== ======== ======== ========

    The MAT files of the normal condition (97 to 100) are sampled at 48 kHz. They are decimated by 4
    with a linear-phase FIR filter of 601 taps (Kaiser window, beta 8, cut-off 5.6 kHz); compact
    files hold them already decimated.

    The compact file is an `.npz` of integer arrays, one for each recording, and of `meta`, a JSON
    list of objects with at least `key` (name of the array), `scale` (g per integer step), `name`
    (class) and `load`.

    References
    ----------
    .. [1] W. A. Smith, R. B. Randall, "Rolling element bearing diagnostics using the Case Western
       Reserve University data: A benchmark study", Mechanical Systems and Signal Processing 64-65,
       100-131, 2015. :doi:`10.1016/j.ymssp.2015.04.021`

    Examples
    --------
    A folder in the compact layout, here with two short made-up recordings:

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_drsn.datasets import load_cwru
    >>> meta = [
    ...     {"key": f"{name}_L0", "scale": 0.01, "name": name, "load": 0}
    ...     for name in ("Normal", "IR007")
    ... ]
    >>> records = {m["key"]: np.arange(5000, dtype=np.int16) for m in meta}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "cwru_12k_de.npz", meta=json.dumps(meta), **records)
    ...     data = load_cwru(folder, classes=["Normal", "IR007"])
    >>> data.X_train.shape, data.X_test.shape, data.target_names
    ((8, 1, 1024), (2, 1, 1024), ['Normal', 'IR007'])
    """
    if not 0 < train_fraction < 1:
        raise ValueError(f"expected train_fraction between 0 and 1, got {train_fraction}")
    records = _select(_find_records(Path(path)), classes, load)
    train, test = [], []
    for (name, hp), read in records.items():
        x = read()[:max_samples]
        border = int(train_fraction * len(x))
        train.append(_cut(x[:border], window, train_step, name, hp))
        test.append(_cut(x[border:], window, test_step, name, hp))
    return Bunch(
        **_stack(train, "train"),
        **_stack(test, "test"),
        target_names=list(dict.fromkeys(name for name, _ in records)),
        sampling_rate=_SAMPLING_RATE,
        DESCR=_DESCR,
    )


def _find_records(path):
    """Map (class, load) to a function that reads the recording at 12 kHz."""
    if not path.exists():
        raise FileNotFoundError(f"expected a file or folder at {path}, found nothing")
    compact = path / _COMPACT_FILE if path.is_dir() else path
    if compact.suffix == ".npz" and compact.is_file():
        return _index_compact(compact)
    found = _index_mat(path)
    if not found:
        raise FileNotFoundError(
            f"expected {_COMPACT_FILE} or MAT files with variables such as X105_DE_time in {path}, "
            "found neither"
        )
    return found


def _index_compact(path):
    meta = read_archive(path, _COMPACT_FILE, ("meta",))["meta"]
    with naming_damage(path, "compact"):
        return {
            (m["name"], m["load"]): partial(_read_compact, path, m["key"], float(m["scale"]))
            for m in json.loads(str(meta))
        }


def _read_compact(path, key, scale):
    return read_archive(path, _COMPACT_FILE, (key,))[key] * scale


def _index_mat(folder):
    files = [path for path in sorted(folder.rglob("*.mat")) if not path.name.startswith(".")]
    held = {path: _numbers_in_file(path) for path in files}
    numbers = {path: _file_number(path, held[path]) for path in files}
    return {
        _RECORDS[numbers[path]]: partial(_read_mat, path, numbers[path])
        for path in sorted(files, key=lambda path: held[path] is not None)  # before damaged ones
        if numbers[path] is not None
    }


def _numbers_in_file(path):
    """Numbers of the recordings of the table in a MAT file, None if nothing can be read."""
    try:
        names = [name for name, *_ in whosmat(path)]
    except NotImplementedError:  # HDF5, as none of the table is
        return set()
    except Exception:  # of all the ways in which a file may be damaged
        return None
    if not names:  # cut off behind its header
        return None
    matches = (re.fullmatch(r"X(\d{3})_DE_time", name) for name in names)
    return {int(match[1]) for match in matches if match} & set(_RECORDS)


def _file_number(path, held):
    """Find the number of the recording in a MAT file, None if it is not one of the table."""
    if held is None:
        return _number_in_name(path.stem, _RECORDS)
    # Some published files also hold the variables of their neighbour: there, the file name decides.
    return next(iter(held)) if len(held) == 1 else _number_in_name(path.stem, held)


def _number_in_name(stem, held):
    names = {number: {str(number), _record_name(number)} for number in held}
    return next((number for number in sorted(held) if stem in names[number]), None)


def _record_name(number):
    """Title of a recording at the data centre: Normal_1, IR007_0, OR007@6_3."""
    name, load = _RECORDS[number]
    return f"{name}@6_{load}" if name.startswith("OR") else f"{name}_{load}"


def _read_mat(path, number):
    variable = f"X{number:03d}_DE_time"
    with naming_damage(path, "MAT"):
        x = loadmat(str(path), variable_names=[variable])[variable].ravel()
    return _decimate(x) if number in _FILE_NUMBERS["Normal"] else x


def _decimate(x):
    """48 kHz to 12 kHz without delay."""
    taps = firwin(601, 5600.0, window=("kaiser", 8.0), fs=4 * _SAMPLING_RATE)
    return resample_poly(x, up=1, down=4, window=taps)


def _select(records, classes, load):
    """Keep the wanted recordings, ordered by class, then load."""
    if isinstance(classes, str):
        raise ValueError(
            f"expected classes to be a sequence of names, some of {list(_FILE_NUMBERS)}, got "
            f"{classes!r}"
        )
    classes = list(_FILE_NUMBERS) if classes is None else list(classes)
    loads = np.atleast_1d(load).tolist()
    wanted = [(name, hp) for name in classes for hp in loads]
    missing = [pair for pair in wanted if pair not in records]
    if missing or not wanted:
        raise ValueError(
            f"expected recordings of the classes {classes} at the loads {loads}, got none for "
            f"[{_keys(missing)}]; the files hold [{_keys(sorted(records))}]"
        )
    return {pair: records[pair] for pair in wanted}


def _keys(pairs):
    return ", ".join(f"{name}_L{load}" for name, load in pairs)


def _cut(x, window, step, name, load):
    group = _keys([(name, load)])
    if window > len(x):
        raise ValueError(
            f"expected parts of at least window={window} samples, got {len(x)} in {group}"
        )
    windows = sliding_windows(x, window, step)[:, None].astype(np.float32)
    return windows, [name] * len(windows), [group] * len(windows)


def _stack(parts, suffix):
    fields = zip(("X", "y", "groups"), zip(*parts, strict=True), strict=True)
    return {f"{field}_{suffix}": np.concatenate(arrays) for field, arrays in fields}
