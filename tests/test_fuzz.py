"""Any parameters with any data: a case says whether it is valid, and then it works or is refused.

The examples are the same in every run; ``FUZZ=random`` in the environment draws others, and
``FUZZ_EXAMPLES`` says how many of each kind.
"""

import os
import tempfile
import threading
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)
from sklearn_drsn.estimators import _denoiser, _restoration

one_of = st.sampled_from


@dataclass
class Case:
    """An estimator, what it is fitted to, and what is expected of it."""

    estimator: object
    X: object
    y: object = None
    options: dict = field(default_factory=dict)
    shapes: tuple = ()  # of the predictions
    problem: str | None = None  # pattern of the message if it is to be refused

    def __repr__(self):
        X = f"{type(self.X).__name__}{np.shape(self.X)} {getattr(self.X, 'dtype', '')}"
        return f"{self.estimator} on {X}, y={self.y!r:.300}, {self.options}: {self.problem}"


# --- data ----------------------------------------------------------------------------------------


def constant_column(X, rng):
    X[:, rng.integers(X.shape[1])] = rng.choice([0.0, -7.0, 1e9, 0.1])
    return X


def outlier(X, rng):
    X[tuple(rng.integers(X.shape))] = 1e9
    return X


MODEST = {  # which a network takes as they are
    "normal": lambda X, rng: X,
    "whole numbers": lambda X, rng: np.round(3 * X),
    "zero": lambda X, rng: 0 * X,
    "constant": lambda X, rng: 0 * X + 0.1,
    "repeated rows": lambda X, rng: X[rng.integers(max(1, len(X) // 3), size=len(X))],
    "binary": lambda X, rng: (X > 0).astype(float),
    "tiny": lambda X, rng: 1e-30 * X,
    "denormal": lambda X, rng: 1e-310 * X,
}
QUIRKS = {  # which need scaling
    **MODEST,
    "huge": lambda X, rng: 1e100 * X,
    "constant column": constant_column,
    "outlier": outlier,
    "offset": lambda X, rng: X + 1e6,
    "columns of other units": lambda X, rng: (
        X * 10.0 ** rng.integers(-100, 100, (X.shape[1], *(1,) * (X.ndim - 2)))
    ),
}


@st.composite
def numbers(draw, shape, quirks=QUIRKS):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return QUIRKS[draw(one_of(sorted(quirks)))](rng.normal(size=shape), rng)


def memory_mapped(X):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, X.dtype, "w+", shape=X.shape)
    mapped[...] = X
    return mapped


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


LAYOUTS = {
    "as it is": lambda X: X,
    "float32": lambda X: np.clip(X, -1e30, 1e30).astype(np.float32),
    "float16": lambda X: np.clip(X, -6e4, 6e4).astype(np.float16),
    "int8": lambda X: np.clip(X, -100, 100).astype(np.int8),
    "bool": lambda X: X > 0,
    "big-endian": lambda X: X.astype(">f8"),
    "objects": lambda X: X.astype(object),
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=-1)[..., ::2],
    "backwards": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(X),
}


def named(X, name):
    return pd.DataFrame(X, columns=[name(i) for i in range(X.shape[1])])


TABLES = {
    **LAYOUTS,
    "pandas": lambda X: named(X, lambda i: f"column {i}"),
    "pandas, numbered": lambda X: named(X, lambda i: i),
    "pandas, odd names": lambda X: named(X, lambda i: f"{i} ß\n<&>" if i else ""),
    "pandas nullable": lambda X: pd.DataFrame(X).astype("Float64"),
    "polars": lambda X: pl.DataFrame(X, schema=[f"ß{i}" for i in range(X.shape[1])]),
}


@st.composite
def laid_out(draw, X):
    kinds = TABLES if X.ndim == 2 else LAYOUTS
    return kinds[draw(one_of(sorted(kinds)))](X)


LABELS = {
    "integers": lambda c: c,
    "from one": lambda c: c + 1,
    "far apart": lambda c: c * 2**40 - 5,
    "small integers": lambda c: c.astype(np.uint8),
    "whole floats": lambda c: c.astype(float),
    "strings": lambda c: np.array(["a", "ß", "", "long name\n", "0"])[c],
    "objects": lambda c: np.array(["a", "b", "c", "d", "e"], dtype=object)[c],
    "list": lambda c: [int(i) for i in c],
    "series": lambda c: pd.Series(c, index=range(7, 7 + len(c))),
    "categories": lambda c: pd.Series(np.array(list("abcde"))[c], dtype="category"),
}


# --- valid cases ---------------------------------------------------------------------------------

TRAINING = {
    "optimizer": one_of(["adamw", "adam", "nadam", "sgd"]),
    "lr": one_of([1e-8, 1e-3, 0.01]),
    "lr_schedule": one_of(["one_cycle", "step", "constant"]),
    "weight_decay": one_of([0, 0.01]),
    "max_epochs": st.integers(1, 2),
    "batch_size": one_of([2, 7, 32, 10**6]),
    "precision": one_of(["float32", "float32", "bfloat16"]),
    "random_state": one_of([0, 2**32 - 1, None, np.random.RandomState(0)]),
    "verbose": one_of([0, False]),
}
NETWORK = {
    "depth": st.integers(1, 4),
    "width": st.integers(1, 6),
    "threshold_mode": one_of(
        ["channel_wise", "channel_shared", "proportional", "squeeze_excitation", None]
    ),
    "kernel_size": one_of([1, 3, 7]),
}


@st.composite
def parameters(draw, choices):
    """Some of the parameters, the others as they are by default."""
    names = draw(st.sets(one_of(sorted(choices)), max_size=6))
    return {"max_epochs": 1, **{name: draw(choices[name]) for name in sorted(names)}}


@st.composite
def samples(draw, most=4):
    """Shape of a sample, with at least one value."""
    axes = draw(st.integers(1, 3))
    return tuple(draw(st.integers(1, most if i < 2 else 6)) for i in range(axes))


@st.composite
def supervised(draw):
    """Estimator and X of the classifier and the regressor, not too large to be quick."""
    shape = draw(samples(9))
    table = len(shape) == 1
    params = draw(
        parameters(
            {
                **TRAINING,
                **NETWORK,
                "stem_kernel_size": one_of([None, 1, 9]),
                "stem_stride": one_of([None, 1, 3]),
                "n_pieces": st.one_of(st.just("auto"), st.integers(1, 4)),
                "screen_columns": one_of([True, False]),
                "downsampling": one_of([None, "average", "subsample"]),
                "pooling": one_of(["auto", "average", "log_power"]),
                "dropout": one_of([0.0, 0.5, 0.99]),
                "n_views": one_of([1, 8]),
                "augment": one_of(
                    [None, "auto", "noise", ("noise",), ()]
                    + (
                        []
                        if table
                        else [
                            "auto",
                            "mild_noise",
                            "nudge",
                            "occasional_noise",
                            "shift",
                            ("sign_flip", "shift"),
                        ]
                    )
                ),
                "normalize": one_of(["channel", None] if table else ["channel", "sample", None]),
            }
        )
    )
    quirks = MODEST if params.get("normalize", "") is None else QUIRKS
    n_samples = draw(st.integers(2, 40))
    X = draw(numbers((n_samples, *shape), quirks))
    if not table and draw(st.booleans()):
        X, params["input_shape"] = X.reshape(n_samples, -1), (shape[0], -1, *shape[2:])
    return params, draw(laid_out(X)), n_samples


@st.composite
def weights(draw, n_samples):
    """Options of fit."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weight = rng.random(n_samples) + 0.1
    return draw(one_of([{}, {"sample_weight": weight}, {"sample_weight": 1e-20 * weight}]))


@st.composite
def classifiers(draw):
    params, X, n_samples = draw(supervised())
    n_classes = draw(st.integers(2, min(5, n_samples)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    codes = rng.integers(n_classes, size=n_samples)
    if draw(st.booleans()):
        codes[:] = 0  # one sample of each class but the first
    codes[:n_classes] = range(n_classes)
    kinds = sorted(LABELS)
    y = LABELS[draw(one_of(kinds))](codes)
    params["class_weight"] = draw(one_of([None, "balanced"]))
    if min(np.bincount(codes)) > 2 and n_samples > 20:
        params["early_stopping"], params["validation_fraction"] = True, 0.3
    estimator = DRSNClassifier(**{**params, "device": "cpu"})
    shapes = {"predict": (n_samples,), "predict_proba": (n_samples, n_classes)}
    return Case(estimator, X, y, draw(weights(n_samples)), shapes)


@st.composite
def regressors(draw):
    params, X, n_samples = draw(supervised())
    params["loss"] = draw(one_of(["squared_error", "absolute_error", "huber"]))
    shape = draw(one_of([(n_samples,), (n_samples, 1), (n_samples, 3)]))
    y = draw(numbers((*shape, 1)))[..., 0] if len(shape) == 1 else draw(numbers(shape))
    if n_samples > 20:
        params["early_stopping"] = draw(st.booleans())
    estimator = DRSNRegressor(**{**params, "device": "cpu"})
    return Case(estimator, X, y, draw(weights(n_samples)), {"predict": shape})


@st.composite
def denoisers(draw):
    n_samples, shape = draw(st.integers(1, 12)), draw(samples(40))
    if len(shape) > 1:
        shape = (min(shape[0], 3), *shape[1:])
    X = draw(numbers((n_samples, *shape)))
    params = draw(
        parameters(
            {
                **TRAINING,
                **NETWORK,
                "supervision": one_of(["auto", "self", "synthetic", "clean"]),
                "self_loss": one_of(["sure", "blind_spot"]),
                "noise": one_of(["gaussian", ("pink", "impulse"), ["laplacian"]]),
                "snr_db": one_of([(-5.0, 15.0), (0, 0), [3, 4.5]]),
                "window_length": one_of([None, 2, 8, 1000]),
                "tile_length": one_of([None, 2, 8, 1000]),
            }
        )
    )
    y = draw(one_of([None, X.copy(), "labels"]))
    if params.get("supervision") == "clean":
        y = X.copy()
    if isinstance(y, str):
        y = np.arange(n_samples)
    estimator = SoftThresholdDenoiser(**{**params, "device": "cpu"})
    shapes = {"predict": X.shape, "transform": X.shape}
    return Case(estimator, X if y is not None else draw(laid_out(X)), y, {}, shapes)


@st.composite
def transformers(draw):
    axes = draw(st.integers(1, 2))
    shape = (draw(st.integers(1, 12)), *(draw(st.integers(1, 70)) for _ in range(axes)))
    params = draw(
        parameters(
            {
                "rule": one_of(
                    ["fdr", "universal", "sure", "minimax", "bayes", "neighblock", 0, 2.5]
                ),
                "domain": one_of(["wavelet", "dct", None]),
                "boundary": one_of(["periodization", "symmetric", "reflect", "zero"]),
                "wavelet": one_of(["haar", "sym4", "bior2.2", "db8"]),
                "n_shifts": one_of(["all", 1, 3]),
                "level_dependent": st.booleans(),
                "noise_level": one_of(["sample", "pooled", 0, 0.3]),
                "q": one_of([1e-6, 0.5]),
            }
        )
    )
    del params["max_epochs"]
    if params.get("n_shifts", "all") == "all":
        params.pop("boundary", None)
    if params.get("rule") == "neighblock":
        params["domain"] = "wavelet"
    X = draw(numbers(shape))
    estimator = SoftThresholdTransformer(**params)
    return Case(estimator, draw(laid_out(X)), None, {}, {"transform": X.shape})


RESTORERS = [
    lambda **params: DnCNNDenoiser(2, 2, **params),
    lambda **params: DnCNNDenoiser(3, 3, sigma=(0, 0.5), residual=False, **params),
    lambda **params: DnCNNDenoiser(2, 2, tasks=("jpeg", "super_resolution", "noise"), **params),
    lambda **params: MACRDeblurrer(1, 1, 4, **params),
    lambda **params: MSRNSuperResolver(2, 1, 2, **params),
    lambda **params: MSRNSuperResolver(3, 1, 2, attention="threshold", **params),
    lambda **params: CSSFNSuperResolver(2, 1, 4, 2, downsampling="kspace", **params),
]


@st.composite
def restorers(draw):
    params = draw(parameters({**TRAINING, "self_ensemble": st.booleans()}))
    make = draw(one_of(RESTORERS))
    estimator = make(**{**params, "patch_size": 12, "device": "cpu"})
    scale = getattr(estimator, "scale", 1)
    size = [scale * draw(st.integers(12, 20)) for _ in range(2)]
    n_images = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    X = rng.random((n_images, *size)).astype(draw(one_of([np.float64, np.float32])))
    X = draw(one_of([X, 0 * X, 0 * X + 1, np.asfortranarray(X), read_only(X), X[::-1, ::-1]]))
    enlarged = [scale * length for length in size]
    return Case(estimator, X, None, {}, {"predict": (n_images, *enlarged)})


CASES = {
    "classifier": classifiers(),
    "regressor": regressors(),
    "denoiser": denoisers(),
    "transformer": transformers(),
    "restorer": restorers(),
}


# --- invalid cases -------------------------------------------------------------------------------


def with_params(problem, **params):
    return lambda case: replace(
        case, estimator=case.estimator.set_params(**params), problem=problem
    )


def with_data(problem, change):
    return lambda case: replace(case, X=change(np.array(case.X, dtype=float)), problem=problem)


def spoilt(value):
    def change(X):
        X[(-1,) * X.ndim] = value
        return X

    return change


def with_targets(problem, change):
    return lambda case: replace(case, y=change(np.asarray(case.y)), problem=problem)


def with_options(problem, make):
    return lambda case: replace(case, options=make(len(case.y)), problem=problem)


DATA = [
    with_data(r"NaN|finite|\[0, 1\]", spoilt(np.nan)),
    with_data(r"infinity|finite|\[0, 1\]", spoilt(np.inf)),
    with_data(r"0 sample|empty|no image|minimum of 1", lambda X: X[:0]),
    with_data(r"0 feature|empty|dimension", lambda X: X[..., :0]),
    with_data(r"dim|shape|array", lambda X: X.reshape(X.shape + (1,) * (5 - X.ndim))),
    with_data(r"dim|shape|scalar|array", lambda X: X.ravel()),
    with_data(r"complex|Complex|real", lambda X: X + 1j),
    with_data(r"string|convert|numeric|floating|numbers", lambda X: np.full(X.shape, "word")),
    with_data(r"[Ss]parse|list of images", lambda X: scipy.sparse.csr_array(X.reshape(len(X), -1))),
    with_data(r"None|scalar|dim|NoneType", lambda X: None),
]
LEARNED = [
    with_params(name, **{name: value})
    for name, values in {
        "optimizer": ["x", None, 3],
        "lr": [0, -1.0, np.nan, "0.1", None],
        "lr_schedule": ["x", None],
        "weight_decay": [-1e-9, np.nan, "0"],
        "max_epochs": [0, -1, 1.5, None, "2"],
        "batch_size": [1, 0, 2.5, None],
        "early_stopping": [None, "yes", 2],
        "validation_fraction": [0.0, 1.0, -0.5, np.nan],
        "n_iter_no_change": [0, 1.5],
        "device": ["x", "cuda:99", "cpu:x", None, 0],
        "precision": ["float64", None],
        "compile": ["no"],
        "callbacks": [3, [3]],
        "warm_start": ["no", None],
        "checkpoint_dir": [3, b"x"],
        "verbose": ["x", None],
        "random_state": [-1, "x", 2.5],
    }.items()
    for value in values
]
SUPERVISED = [
    *[
        with_params(name, **{name: value})
        for name, values in {
            "depth": [0, -1, 1.5, None],
            "width": [0, None],
            "n_pieces": [0, 33, None],
            "n_views": [0, 2.5, None],
            "screen_columns": [None, 2, "yes"],
            "downsampling": ["max", 2],
            "pooling": ["max", None],
            "threshold_mode": ["x", 3],
            "kernel_size": [0, -3, 2.5],
            "dropout": [1.0, -0.1, np.nan],
            "input_shape": [(0, -1), (7, 7, 7), (1, -1, -1), "x", (2.5, 1)],
            "normalize": ["x", True],
            "augment": ["x", ("noise", "x"), 3],
        }.items()
        for value in values
    ],
    with_targets(r"inconsistent|samples", lambda y: y[:-1]),
    with_targets(r"required|None|y", lambda y: None),
    with_targets(r"1d|dim|shape|label|target", lambda y: np.zeros((len(y), 2, 2))),
    with_options(r"[Nn]egative", lambda n: {"sample_weight": -np.ones(n)}),
    with_options(r"NaN", lambda n: {"sample_weight": np.full(n, np.nan)}),
    with_options(r"weight|sample", lambda n: {"sample_weight": np.zeros(n)}),
    with_options(r"shape|sample_weight", lambda n: {"sample_weight": np.ones(n + 1)}),
    with_options(r"sample_weight|1D|dim", lambda n: {"sample_weight": np.ones((n, 2, 2))}),
    with_options(r"inconsistent|groups", lambda n: {"groups": np.ones(n + 1)}),
    with_options(r"X_val", lambda n: {"y_val": np.ones(n)}),
    with_options(r"y_val", lambda n: {"X_val": np.ones((n, 1))}),
    with_options(r"sample_weight_val", lambda n: {"sample_weight_val": np.ones(n)}),
]
BREAKAGES = {
    "classifier": [
        *DATA,
        *LEARNED,
        *SUPERVISED,
        with_targets(r"continuous|label", lambda y: np.linspace(0, 1.5, len(y))),
        with_targets(r"NaN", lambda y: np.full(len(y), np.nan)),
        with_params("class_weight|label|class", class_weight={"nowhere": 1}),
        with_params("class_weight", class_weight="x"),
    ],
    "regressor": [
        *DATA,
        *LEARNED,
        *SUPERVISED,
        with_params("loss", loss="x"),
        with_targets(r"NaN", lambda y: np.full(len(y), np.nan)),
        with_targets(r"infinity", lambda y: np.full(len(y), np.inf)),
        with_targets(r"string|convert|number", lambda y: np.full(len(y), "word")),
        with_targets(r"large", lambda y: 1e200 * np.arange(len(y))),
    ],
    "denoiser": [
        *DATA,
        *LEARNED,
        with_params("depth", depth=0),
        with_params("width", width=1.5),
        with_params("supervision", supervision="x"),
        with_params("self_loss", self_loss=None),
        with_params("noise", noise="x"),
        with_params("noise", noise=("gaussian", "x")),
        with_params("noise", noise=()),
        with_params("snr_db", snr_db=(3, 1)),
        with_params("snr_db", snr_db=(1,)),
        with_params("snr_db", snr_db=(0, np.inf)),
        with_params("window_length", window_length=1),
        with_params("tile_length", tile_length=1),
    ],
    "transformer": [
        *DATA,
        with_params("rule", rule="x"),
        with_params("rule", rule=-1.0),
        with_params("shrinkage", shrinkage=None),
        with_params("domain", domain="x"),
        with_params("wavelet", wavelet="x"),
        with_params("level", level=-1),
        with_params("boundary", boundary="x"),
        with_params("n_shifts", n_shifts=0),
        with_params("noise_level", noise_level=-0.1),
        with_params("q", q=1.0),
    ],
    "restorer": [
        *DATA,
        *LEARNED,
        with_params("patch_size|large", patch_size=1000),
        with_params("patch_size", patch_size=0),
        with_params("tile_size", tile_size=7),
        with_params("channel_axis", channel_axis=0.5),
        with_params("self_ensemble", self_ensemble="x"),
        with_data(r"\[0.*1\]|\[-2", lambda X: X + 5),
        with_data(r"channel|dim", lambda X: np.repeat(X[..., None], 3, axis=-1)),
    ],
}


@st.composite
def cases(draw, kind):
    case = draw(CASES[kind])
    if draw(st.booleans()):
        return case
    return BREAKAGES[kind][draw(st.integers(0, len(BREAKAGES[kind]) - 1))](case)


# --- what is expected ----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Few patches, in a folder where every file would be seen."""
    for module in (_denoiser, _restoration):
        monkeypatch.setattr(module, "_FEWEST_PATCHES", 8)
    monkeypatch.chdir(tmp_path)


def fit(case):
    if case.y is None:
        return case.estimator.fit(case.X, **case.options)
    return case.estimator.fit(case.X, case.y, **case.options)


def attributes(estimator):
    return {name for name in vars(estimator) if name.endswith("_") or name.startswith("_")}


def check_valid(case):
    fit(case)
    for method, shape in case.shapes.items():
        result = np.asarray(getattr(case.estimator, method)(case.X))
        assert result.shape == shape
        assert result.dtype.kind != "f" or np.isfinite(result).all()
    if not hasattr(case.X, "columns"):  # whose names would be missed first
        spoilt_X = spoilt(np.nan)(np.array(case.X, dtype=float))
        for method in case.shapes:
            with pytest.raises(ValueError, match=r"NaN|finite|in \[.*, .*\]"):
                getattr(case.estimator, method)(spoilt_X)


def check_refused(case):
    before = attributes(case.estimator)
    with pytest.raises((ValueError, TypeError), match=case.problem) as caught:
        fit(case)
    assert len(str(caught.value)) > 15
    assert attributes(case.estimator) == before


def check(case):
    threads = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A signal may be noisier than the few that were looked at.
        warnings.filterwarnings("ignore", message="the estimated noise level")
        (check_refused if case.problem else check_valid)(case)
    assert os.listdir() == []
    assert threading.active_count() == threads


def profile(max_examples):
    return settings(
        max_examples=int(os.environ.get("FUZZ_EXAMPLES", max_examples)),
        derandomize=os.environ.get("FUZZ") != "random",
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("n_examples", [10, pytest.param(400, marks=pytest.mark.slow)])
def test_every_case_works_or_is_refused(kind, n_examples, quick):
    profile(n_examples)(given(case=cases(kind))(check))()
