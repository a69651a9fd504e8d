"""Electrocardiograms and noise of PhysioNet that are already on disk."""

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_drsn.datasets._archives import read_archive
from sklearn_drsn.datasets._windows import sliding_windows

_MITBIH_BEATS = "mitbih_beats.npz"
_MITBIH_STRIPS = "mitbih_60s.npz"
_MITBIH_KEYS = {
    "beats": ("X", "y", "class_names", "record", "rr", "scale", "fs"),
    "strips": ("X", "record", "scale", "fs"),
}
_LONGEST_RR = 3.0  # s; longer gaps are stretches without beat marks

_MITBIH_DESCR = """\
MIT-BIH arrhythmia database: heartbeats and 60 s strips
-------------------------------------------------------
Electrocardiograms of ambulatory patients, lead MLII, 360 Hz, in mV, without any filter: the drift
of the base line and mains hum are real. Beats were marked by cardiologists and fall into the groups
of the AAMI: N (normal and bundle branch block), S (supraventricular ectopic), V (ventricular
ectopic), F (fusion of normal and ventricular) and Q (unclassifiable).

Beats of one patient look alike, so a random split would test on the patients that were trained on.
Here the test patients are others, and the classes are unevenly spread over patients: score with
balanced accuracy or per class, and with several choices of test records.

The rhythm is part of the diagnosis: a supraventricular beat looks normal but comes early.

References: G. B. Moody, R. G. Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE
Engineering in Medicine and Biology 20(3), 45-50, 2001, doi:10.1109/51.932724. A. L. Goldberger et
al., "PhysioBank, PhysioToolkit, and PhysioNet", Circulation 101(23), e215-e220, 2000,
doi:10.1161/01.CIR.101.23.e215. Distributed by PhysioNet.
"""

_NSTDB_KINDS = ("ma", "bw", "em")
_NSTDB_FILE = "nstdb_noise.npz"
_NSTDB_DESCR = """\
MIT-BIH noise stress test database: recorded noise
--------------------------------------------------
Electrodes on the limbs of active volunteers, placed where the electrocardiogram does not show; 360
Hz, two leads. Stretches were put together that hold mostly drift of the base line (bw), muscle
artefact (ma) or motion of the electrodes (em). Unit: mV at the usual gain of 200 steps per mV; the
recordings are uncalibrated, so scale them to a signal-to-noise ratio.

Most of the power, also that of the muscle artefact, is slow drift.

References: G. B. Moody, W. E. Muldrow, R. G. Mark, "A noise stress test for arrhythmia detectors",
Computers in Cardiology 11, 381-384, 1984. A. L. Goldberger et al., "PhysioBank, PhysioToolkit, and
PhysioNet", Circulation 101(23), e215-e220, 2000, doi:10.1161/01.CIR.101.23.e215.
"""


def load_mitbih(
    path,
    *,
    part="beats",
    classes=("N", "S", "V", "F"),
    test_records=None,
    window=None,
    step=None,
):
    """Load heartbeats or strips of the MIT-BIH arrhythmia database, split by patient.

    Parameters
    ----------
    path : str or path-like
        Folder of the compact files `mitbih_beats.npz` and `mitbih_60s.npz` (layout in the Notes),
        or the one that `part` needs. Nothing is downloaded.
    part : {'beats', 'strips'}, default='beats'
        - `'beats'`: one window around the R peak of each beat, with its class.
        - `'strips'`: one minute of each record, whole or cut into windows; clean signals for
          denoisers.
    classes : sequence of str, default=('N', 'S', 'V', 'F')
        Beats to load; the files also hold a few of class `'Q'`. Strips have no classes.
    test_records : sequence of int, default=None
        Numbers of the records to test on; all others are for training. None: every third of the
        sorted records, beginning with the third. With the 22 records of the Notes these are 108,
        114, 118, 124, 205, 209 and 223, which hold beats of every class.
    window : int, default=None
        Samples in the windows that strips are cut into. None leaves strips whole. Only for strips.
    step : int, default=None
        Samples between the starts of two windows. None means `window`: no overlap.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - `X_train`, `X_test` : ndarray of shape (n_windows, 1, length), float32, in mV, neither
          centred nor scaled. Beats have 256 samples, 100 of them before the R peak.
        - `groups_train`, `groups_test` : ndarray of int of shape (n_windows,), number of the
          record, one for each patient.
        - `y_train`, `y_test` : ndarray of str of shape (n_windows,), classes. Only beats.
        - `rr_train`, `rr_test` : ndarray of shape (n_windows, 2), seconds from the beat before and
          to the beat after, at most 3 (gaps without marks are longer). Only beats.
        - `sampling_rate` : in Hz.
        - `DESCR` : origin, pitfalls and citation.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist or lacks the file.
    ValueError
        If the file is damaged or lacks an array, `part` is unknown, a class or record is not in the
        file, all or no records are for testing, `window` exceeds a strip, `window` or `step` is
        given for beats, or `step` without `window`.

    Notes
    -----
    `mitbih_beats.npz` holds `X` (n, 256) and `scale` (mV per integer step), `y` (n,) as positions
    in `class_names`, `record` (n,), `rr` (n, 2) in s and `fs` in Hz; `mitbih_60s.npz` holds `X`
    (n_records, 21600), `record`, `scale` and `fs`. They are made of the records of set DS1 of [2]_,
    lead MLII, with at most 250 normal beats each: 101, 106, 108, 109, 112, 114, 115, 116, 118, 119,
    122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223 and 230.

    References
    ----------
    .. [1] G. B. Moody, R. G. Mark, "The impact of the MIT-BIH Arrhythmia Database", IEEE
       Engineering in Medicine and Biology 20(3), 45-50, 2001. :doi:`10.1109/51.932724`
    .. [2] P. de Chazal, M. O'Dwyer, R. B. Reilly, "Automatic classification of heartbeats using ECG
       morphology and heartbeat interval features", IEEE Transactions on Biomedical Engineering
       51(7), 1196-1206, 2004. :doi:`10.1109/TBME.2004.827359`

    Examples
    --------
    A file in the compact layout, here with made-up strips of three records:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_drsn.datasets import load_mitbih
    >>> strips = np.zeros((3, 21600), dtype=np.int16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mitbih_60s.npz"
    ...     np.savez(file, X=strips, record=[101, 106, 108], scale=0.005, fs=360.0)
    ...     data = load_mitbih(folder, part="strips", window=512, step=256)
    >>> data.X_train.shape, data.X_test.shape, np.unique(data.groups_test).tolist()
    ((166, 1, 512), (83, 1, 512), [108])
    """
    if part not in _MITBIH_KEYS:
        raise ValueError(f"expected part to be 'beats' or 'strips', got {part!r}")
    if part == "beats" and (window is not None or step is not None):
        raise ValueError(f"expected window and step for strips only, got {window=} and {step=}")
    if window is None and step is not None:
        raise ValueError(f"expected step together with window, got {step=} alone")
    name = _MITBIH_BEATS if part == "beats" else _MITBIH_STRIPS
    archive = read_archive(Path(path), name, _MITBIH_KEYS[part])
    fields = _beats(archive, classes) if part == "beats" else _strips(archive, window, step)
    is_test = np.isin(fields["groups"], _test_records(archive["record"], test_records))
    return Bunch(
        **{f"{name}_train": values[~is_test] for name, values in fields.items()},
        **{f"{name}_test": values[is_test] for name, values in fields.items()},
        sampling_rate=float(archive["fs"]),
        DESCR=_MITBIH_DESCR,
    )


def load_nstdb(path, *, kind="ma", train_fraction=0.5):
    """Load recorded noise of the MIT-BIH noise stress test database, split in time.

    The first `train_fraction` of the recording is for training, the rest for testing, so that
    denoisers meet noise in the test that they have not seen.
    :func:`~sklearn_drsn.noise.add_recorded_noise` adds it to signals.

    Parameters
    ----------
    path : str or path-like
        The compact file `nstdb_noise.npz` (layout in the Notes) or its folder. Nothing is
        downloaded.
    kind : {'ma', 'bw', 'em'}, default='ma'
        Muscle artefact, baseline wander or electrode motion, if the file holds it.
    train_fraction : float, default=0.5
        Share of the recording for training, between 0 and 1.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        - `noise_train`, `noise_test` : ndarray of shape (n_leads, n_values), float32, in mV. Their
          level is uncalibrated.
        - `sampling_rate` : in Hz.
        - `DESCR` : origin, pitfalls and citation.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist or lacks the file.
    ValueError
        If the file is damaged or lacks an array (the message lists those it holds), or
        `train_fraction` does not lie between 0 and 1.

    Notes
    -----
    The file holds one array of shape (n_values, n_leads) for each kind, `scale` (mV per integer
    step) and `fs` in Hz.

    References
    ----------
    .. [1] G. B. Moody, W. E. Muldrow, R. G. Mark, "A noise stress test for arrhythmia detectors",
       Computers in Cardiology 11, 381-384, 1984.

    Examples
    --------
    A file in the compact layout, here with silence:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_drsn.datasets import load_nstdb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "nstdb_noise.npz"
    ...     np.savez(file, ma=np.zeros((3600, 2), dtype=np.int16), scale=0.005, fs=360.0)
    ...     data = load_nstdb(folder, kind="ma")
    >>> data.noise_train.shape, data.noise_test.shape
    ((2, 1800), (2, 1800))
    """
    if not 0 < train_fraction < 1:
        raise ValueError(f"expected train_fraction between 0 and 1, got {train_fraction}")
    if kind not in _NSTDB_KINDS:
        raise ValueError(f"expected kind to be one of {_NSTDB_KINDS}, got {kind!r}")
    archive = read_archive(Path(path), _NSTDB_FILE, (kind, "scale", "fs"))
    noise = _in_units(archive, kind).T
    border = int(train_fraction * noise.shape[1])
    return Bunch(
        noise_train=noise[:, :border],
        noise_test=noise[:, border:],
        sampling_rate=float(archive["fs"]),
        DESCR=_NSTDB_DESCR,
    )


def _in_units(archive, key):
    return (archive[key] * archive["scale"]).astype(np.float32)


def _beats(archive, classes):
    y = archive["class_names"][archive["y"]]
    missing = [name for name in classes if name not in y]
    if isinstance(classes, str) or missing or not len(classes):
        raise ValueError(
            f"expected classes to be some of {np.unique(y).tolist()}, which the file holds, got "
            f"{classes!r}"
        )
    is_wanted = np.isin(y, classes)
    fields = {
        "X": _in_units(archive, "X")[:, None],
        "y": y,
        "groups": archive["record"],
        "rr": np.minimum(archive["rr"], _LONGEST_RR),
    }
    return {name: values[is_wanted] for name, values in fields.items()}


def _strips(archive, window, step):
    strips = _in_units(archive, "X")
    window = strips.shape[1] if window is None else window
    step = window if step is None else step
    windows = np.stack([sliding_windows(strip, window, step) for strip in strips])
    return {
        "X": windows.reshape(-1, 1, window),
        "groups": np.repeat(archive["record"], windows.shape[1]),
    }


def _test_records(held, wanted):
    held = np.unique(held)
    wanted = held[2::3] if wanted is None else np.unique(wanted)
    if not set(wanted) < set(held) or not len(wanted):
        raise ValueError(
            f"expected test_records to be some, not all, of {held.tolist()}, got {wanted.tolist()}"
        )
    return wanted
