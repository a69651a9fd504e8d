"""Noisy tasks on real data: who is trained on what, tested on what, and how noise is added."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

from sklearn_drsn.datasets import load_cwru, load_mitbih, load_nstdb, make_digit_canvas
from sklearn_drsn.noise import add_noise, add_recorded_noise

DRAWN = ("gaussian", "laplacian", "pink")
RECORDED = ("recorded",)
OF_TABLES = ("gaussian", "laplacian", "columns")
# Columns of noise for every real one.
COLUMN_LEVELS = (1.0, 4.0)


@dataclass(frozen=True)
class Data:
    """Clean samples, with a channel axis unless in a table, and targets.

    Patients, speakers and stretches of a recording are on one side only.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    recordings: dict = field(default_factory=dict)  # of noise, for "train" and "test"


@dataclass(frozen=True)
class Task:
    """A data set, split by seed, and the kinds of noise that make sense on it.

    ``version`` goes up whenever the protocol changes, so that old cells no longer count.
    """

    name: str
    load: Callable[[Path, int], Data]
    shape: str  # "series", "image" or "table"
    target: str = "class"  # or "value"
    kinds: tuple = DRAWN
    imbalanced: bool = False  # accuracy says little: print macro-F1 as well
    version: int = 1


# --- series --------------------------------------------------------------------------------------


def bearing(folder, seed, *, train, test, **windows):
    """Vibration of ten conditions: early part of the records of one load, late part of another."""
    data = load_cwru(folder / "cwru", load=train, **windows)
    late = data if train == test else load_cwru(folder / "cwru", load=test, **windows)
    return Data(data.X_train, data.y_train, late.X_test, late.y_test)


def bearing_inner(folder, seed, *, load):
    """The training windows of one load; the late quarter of every record tested.

    The window that would lie on both sides is left out.
    """
    data = load_cwru(folder / "cwru", load=load)
    early, late = [], []
    for record in np.unique(data.groups_train):
        rows = np.flatnonzero(data.groups_train == record)
        border = 3 * len(rows) // 4
        early.extend(rows[: border - 1])
        late.extend(rows[border:])
    X, y = data.X_train, data.y_train
    return Data(X[early], y[early], X[late], y[late])


def ecg_beats(folder, seed, *, at_most=100, fewest=10):
    """Heartbeats, a third of the patients tested; ``at_most`` of a class from one patient."""
    beats = load_mitbih(folder / "mitbih")
    X, y, patient = (
        np.concatenate([beats[f"{name}_train"], beats[f"{name}_test"]])
        for name in ("X", "y", "groups")
    )
    rng = np.random.default_rng([seed, 1])
    rows = _few_of_each(np.char.add(patient.astype(str), y), at_most, rng)
    X, y, patient = X[rows], y[rows], patient[rows]
    patients, is_test = np.unique(patient), np.zeros(len(y), bool)
    while min(_fewest(y[is_test], y), _fewest(y[~is_test], y)) < fewest:
        is_test = np.isin(patient, rng.permutation(patients)[: len(patients) // 3])
    noise = load_nstdb(folder / "nstdb", kind="ma")
    # Centred, for at a given ratio the power of an offset would let the noise drown the beat.
    split = _split(X - X.mean(axis=-1, keepdims=True), y, is_test)
    return replace(split, recordings={"train": noise.noise_train, "test": noise.noise_test})


def _few_of_each(kinds, at_most, rng):
    order = rng.permutation(len(kinds))
    return np.sort(np.concatenate([order[kinds[order] == k][:at_most] for k in np.unique(kinds)]))


def _fewest(y, of_all):
    return min(np.sum(y == label) for label in np.unique(of_all))


def digits_spoken(folder, seed, *, length=4096, choosing=False):
    """Ten spoken digits; one of four speakers tested, the next one with the next seed.

    For choosing that speaker is left out and the next one tested.
    """
    with np.load(folder / "fsdd" / "fsdd.npz") as archive:
        ends, audio = archive["offsets"], archive["audio"].astype(np.float32)
        y, speaker = archive["y"].astype(int), archive["speaker"]
    pieces = np.split(audio, ends[1:-1])
    X = np.stack([_centred(piece, length) for piece in pieces])[:, None]
    speakers = np.unique(speaker)
    left_out, tested = (speakers[(seed + i) % len(speakers)] for i in range(2))
    if not choosing:
        return _split(X, y, speaker == left_out)
    kept = speaker != left_out
    return _split(X[kept], y[kept], speaker[kept] == tested)


def _centred(x, length):
    """The middle of a recording, with silence on both sides of a short one."""
    x = x[max(0, len(x) - length) // 2 :][:length]
    before = (length - len(x)) // 2
    return np.pad(x, (before, length - len(x) - before))


def ecg5000(folder, seed):
    """Heartbeats of one patient, four classes (the fifth has two rows); two fifths tested."""
    with np.load(folder / "ecg5000" / "ecg5000_train.npz") as archive:
        X, y = archive["X"], archive["y"].astype(int)
    X, y = X[y != 5, None], y[y != 5]
    return _random_split(X, y, seed, share=0.4, stratify=y)


# --- images and tables ---------------------------------------------------------------------------


def digit_canvas(folder, seed):
    """Digits anywhere on a canvas of 16 x 16 among two distractors; a third tested."""
    X, y = make_digit_canvas(n_distractors=2, random_state=seed)
    return Data(X[:1200], y[:1200], X[1200:], y[1200:])


def photographs(folder, seed, *, choosing=False):
    """Which of twenty photographs a patch is from, 40 to learn from each, 30 tested.

    Patches lie anywhere, those to learn from in the left three fifths of a photograph, the others
    in the rest. Every second photograph is kept for choosing; a seed draws from the others.
    """
    from matplotlib.image import imread

    files = sorted((folder / "images" / "train400").glob("*.png"))[not choosing :: 2]
    if len(files) < 20:
        raise FileNotFoundError(
            "expected 40 pictures or more in images/train400, every second to be drawn from, "
            f"found {len(files)} of these"
        )
    rng = np.random.default_rng(seed)
    train, test = [], []
    for file in rng.choice(files, 20, replace=False):
        photograph = imread(file)
        border = 3 * photograph.shape[1] // 5
        train.append(_patches(photograph[:, :border], 40, rng))
        test.append(_patches(photograph[:, border:], 30, rng))
    y_train, y_test = (np.repeat(range(20), len(of[0])) for of in (train, test))
    return Data(np.concatenate(train), y_train, np.concatenate(test), y_test)


def _patches(photograph, n, rng):
    """Squares at places drawn evenly, centred so that their offsets let no noise drown them."""
    views = np.lib.stride_tricks.sliding_window_view(photograph, (24, 24))
    rows, columns = (rng.integers(size, size=n) for size in views.shape[:2])
    patches = views[rows, columns]
    return (patches - patches.mean(axis=(1, 2), keepdims=True))[:, None]


def table(folder, seed, *, load):
    X, y = load(return_X_y=True)
    return _random_split(X, y, seed, share=0.3, stratify=y)


def uci(folder, seed, *, name):
    """A regression table; a fifth tested."""
    with np.load(folder / "uci_regression" / "uci_regression.npz") as archive:
        if f"{name}__X" not in archive.files:
            raise FileNotFoundError(f"expected {name} in the file, it holds {archive.files}")
        X, y = archive[f"{name}__X"].astype(float), archive[f"{name}__y"].astype(float)
    return _random_split(X, y, seed, share=0.2)


def inner(folder, seed, *, load):
    """The training samples of a task, a third of them tested."""
    data = load(folder, seed)
    return _random_split(data.X_train, data.y_train, seed, share=1 / 3, stratify=data.y_train)


def _random_split(X, y, seed, share, stratify=None):
    rows = train_test_split(
        np.arange(len(y)), test_size=share, stratify=stratify, random_state=seed
    )
    return _split(X, y, np.isin(np.arange(len(y)), rows[1]))


def _split(X, y, is_test):
    return Data(X[~is_test], y[~is_test], X[is_test], y[is_test])


# --- noise ---------------------------------------------------------------------------------------


def noisy_rows(task, data, side, kind, level, seed):
    """Rows of one side of the data in noise; samples that have a gain are scaled one by one.

    A seed gives the same draw at all levels, so that curves differ by nothing else.
    """
    X = getattr(data, f"X_{side}")
    rng = np.random.default_rng([seed, ("train", "test").index(side)])
    if kind == "columns":
        return np.hstack([X, rng.standard_normal((len(X), round(level * X.shape[1])))])
    if task.shape == "table":
        return X if kind == "none" else _noisy_table(X, data.X_train, kind, level, rng)
    if kind == "recorded":
        X = add_recorded_noise(X, data.recordings[side], snr_db=level, random_state=rng)
    elif kind != "none":
        X = add_noise(X, kind, snr_db=level, random_state=rng)
    return _scaled(X.reshape(len(X), -1))


def _noisy_table(X, X_train, kind, level, rng):
    """Noise of a standard deviation in units of the column's in training."""
    return add_noise(X, kind, sigma=X_train.std(axis=0) * 10 ** (-level / 20), random_state=rng)


def _scaled(X):
    """Zero mean and unit variance for every sample, so that its gain tells nothing."""
    X = X - X.mean(axis=1, keepdims=True)
    deviation = X.std(axis=1, keepdims=True)
    return (X / np.where(deviation > 0, deviation, 1.0)).astype(np.float32)


# --- the lists ------------------------------------------------------------------------------------

_SERIES = [
    Task("bearing", partial(bearing, train=0, test=0), "series"),
    Task("bearing_1", partial(bearing, train=1, test=1), "series"),
    Task("bearing_01", partial(bearing, train=0, test=1), "series"),
    Task("bearing_10", partial(bearing, train=1, test=0), "series"),
    Task("ecg_beats", ecg_beats, "series", kinds=RECORDED, imbalanced=True),
    Task("digits_spoken", digits_spoken, "series"),
    Task("ecg5000", ecg5000, "series", imbalanced=True),
]
_IMAGES = [
    Task("digit_canvas", digit_canvas, "image"),
    Task("photographs", photographs, "image"),
]
_TABLES = [
    Task(f"table_{name}", partial(table, load=load), "table", kinds=OF_TABLES)
    for name, load in (
        ("breast_cancer", load_breast_cancer),
        ("wine", load_wine),
        ("digits", load_digits),
    )
]
_VALUES = [
    Task(f"value_{name}", partial(uci, name=name), "table", "value", OF_TABLES)
    for name in ("concrete", "energy", "yacht", "kin8nm")
]
TASKS = {task.name: task for task in (*_SERIES, *_IMAGES, *_TABLES, *_VALUES)}
# Parts of the training samples of the same seed alone, to choose on.
_CHOOSING = [
    Task(f"bearing_{load}_choosing", partial(bearing_inner, load=load), "series", version=2)
    for load in (0, 1)
] + [
    Task("digits_spoken_choosing", partial(digits_spoken, choosing=True), "series"),
    Task("ecg5000_choosing", partial(inner, load=ecg5000), "series"),
    Task("digit_canvas_choosing", partial(inner, load=digit_canvas), "image"),
    Task("photographs_choosing", partial(photographs, choosing=True), "image"),
]
CHOOSING = {task.name: task for task in _CHOOSING}
# The paper's length of a window and, as there, several operating conditions in one set.
PAPER = Task(
    "bearing_paper",
    partial(bearing, train=(0, 1), test=(0, 1), window=2048, train_step=1024, test_step=2048),
    "series",
)
