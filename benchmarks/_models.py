"""Contestants of the sweeping benchmarks, each as its authors advise."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from torch import nn

from _cells import fingerprint, version
from sklearn_drsn import DRSNClassifier, DRSNRegressor
from sklearn_drsn.estimators._training import Settings, make_network
from sklearn_drsn.layers._dimensions import (
    Linear,
    batch_norm,
    channels_last,
    convolution,
    pool,
    reset_parameters,
)

# --- the architecture of InceptionTime, in our engine ---------------------------------------------


class InceptionModule(nn.Module):
    """Three widths of convolution behind a bottleneck, and one behind a maximum, side by side."""

    def __init__(self, n_channels, width, kernel_sizes):
        super().__init__()
        has_bottleneck = n_channels > 1
        self.bottleneck = nn.Identity()
        if has_bottleneck:
            self.bottleneck = convolution(n_channels, width, kernel_size=1, dim=1)
        narrow = width if has_bottleneck else n_channels
        self.wide = nn.ModuleList(
            convolution(narrow, width, kernel_size=size, dim=1) for size in kernel_sizes
        )
        self.largest = nn.Sequential(
            nn.MaxPool2d((1, 3), 1, (0, 1)), convolution(n_channels, width, kernel_size=1, dim=1)
        )
        self.norm = batch_norm(4 * width, dim=1)

    def forward(self, x):
        narrow = self.bottleneck(x)
        branches = [wide(narrow) for wide in self.wide]
        return torch.relu(self.norm(torch.cat([*branches, self.largest(x)], dim=1)))


class Inception(nn.Module):
    """One network of Fawaz et al., InceptionTime, DMKD 2020, doi:10.1007/s10618-020-00710-y.

    The published ensemble has five of them. Widths of 39, 19 and 9 in place of 40, 20 and 10: ours
    are odd.
    """

    def __init__(self, n_channels, n_outputs, *, depth=6, width=32, kernel_sizes=(39, 19, 9)):
        super().__init__()
        channels = [n_channels, *[4 * width] * depth]
        self.modules_ = nn.ModuleList(
            InceptionModule(n, width, kernel_sizes) for n in channels[:-1]
        )
        self.shortcuts = nn.ModuleList(
            nn.Sequential(
                convolution(n, 4 * width, kernel_size=1, dim=1), batch_norm(4 * width, dim=1)
            )
            for n in channels[:-1:3]
        )
        self.head = Linear(4 * width, n_outputs)
        self.reset_parameters()

    def reset_parameters(self, generator=None):
        reset_parameters(self, generator)

    def forward(self, x):
        x = identity = channels_last(x).unsqueeze(2)
        for i, module in enumerate(self.modules_):
            x = module(x)
            if i % 3 == 2:
                x = identity = torch.relu(x + self.shortcuts[i // 3](identity))
        return self.head(pool(x))


class OtherNetworkClassifier(DRSNClassifier):
    """The training of :class:`DRSNClassifier`, its parameters and all, with another network."""

    def _make_net(self, weights=None):
        return make_network(
            Settings(**self._settings),
            self._make_module,
            self._criterion(),
            self._score,
            weights=weights,
        )


class InceptionClassifier(OtherNetworkClassifier):
    def _make_module(self):
        return Inception(self._architecture["n_channels"], self._architecture["n_outputs"])


# --- contestants ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A contestant: what it can be given and how it is made for a task.

    ``make(task, shape, seed, device)`` gives an estimator of rows; ``shape`` is that of a sample.
    """

    name: str
    make: Callable
    shapes: tuple = ("series", "image", "table")
    targets: tuple = ("class", "value")
    packages: tuple = ("scikit-learn",)
    is_ours: bool = False

    def takes(self, task):
        return task.shape in self.shapes and task.target in self.targets

    def key(self, task, device="cpu"):
        """What a result depends on besides task, noise and seed."""
        estimator = self.make(task, (1, 1), 0, device)
        key = {"model": self.name, "parameters": _parameters_hash(estimator)}
        if self.is_ours:
            code = f"{fingerprint(inspect.getfile(type(estimator)))} torch {version('torch')}"
            return {**key, "code": code, "device": device}
        packages = [f"{name} {version(name)}" for name in self.packages]
        return {**key, "code": " ".join([*packages, *_own_functions(estimator)])}


def _parameters_hash(estimator):
    """Short hash of all parameters, defaults too, those of nested estimators included."""
    # The list of steps holds functions, with their addresses; every step has a name of its own too.
    items = estimator.get_params(deep=True).items()
    parameters = sorted((name, _name(value)) for name, value in items if name != "steps")
    return hashlib.sha1(repr((type(estimator).__name__, parameters)).encode()).hexdigest()[:10]


def _own_functions(estimator):
    """Short hash of the source of the functions among the parameters, if there are any."""
    functions = {
        getattr(value, "func", value)
        for name, value in estimator.get_params(deep=True).items()
        if callable(value)
    }
    sources = sorted(map(inspect.getsource, functions))
    return [hashlib.sha1("".join(sources).encode()).hexdigest()[:10]] * bool(sources)


def _name(value):
    """A value without the address that the repr of a function has."""
    if hasattr(value, "get_params"):
        return type(value).__name__
    return getattr(value, "func", value).__qualname__ if callable(value) else repr(value)


def minirocket(task, shape, seed, device):
    from aeon.transformations.collection.convolution_based import MiniRocket

    return make_pipeline(
        FunctionTransformer(partial(_reshape, shape=shape)),
        MiniRocket(random_state=seed, n_jobs=1),
        StandardScaler(with_mean=False),
        RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)),
    )


def multirocket_hydra(task, shape, seed, device):
    from aeon.classification.convolution_based import MultiRocketHydraClassifier

    return make_pipeline(
        FunctionTransformer(partial(_reshape, shape=shape)),
        MultiRocketHydraClassifier(random_state=seed, n_jobs=1),
    )


def log_spectrum(task, shape, seed, device):
    return make_pipeline(
        FunctionTransformer(partial(_log_magnitude, shape=shape)),
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-3, 1, 5),
            cv=3,
            max_iter=1000,
            l1_ratios=(0.0,),
            scoring="accuracy",
            use_legacy_attributes=False,
        ),
    )


def _reshape(X, shape):
    return X.reshape(len(X), *shape)


def _log_magnitude(X, shape):
    """Of every frequency but zero; the one added is 30 dB below a scaled sample of 1024 values."""
    spectrum = np.fft.rfftn(_reshape(X, shape), axes=tuple(range(2, 1 + len(shape))))
    return np.log1p(np.abs(spectrum.reshape(len(X), -1)[:, 1:]))


def linear(task, shape, seed, device):
    return make_pipeline(
        StandardScaler(), RidgeCV() if task.target == "value" else LogisticRegression(max_iter=1000)
    )


def mlp(task, shape, seed, device):
    return _scaled(MLPClassifier(random_state=seed), MLPRegressor(random_state=seed), task)


def support_vectors(task, shape, seed, device):
    return _scaled(SVC(), SVR(), task)


def boosting(task, shape, seed, device):
    is_value = task.target == "value"
    kind = HistGradientBoostingRegressor if is_value else HistGradientBoostingClassifier
    return kind(random_state=seed)


def forest(task, shape, seed, device):
    is_value = task.target == "value"
    kind = RandomForestRegressor if is_value else RandomForestClassifier
    return make_pipeline(StandardScaler(), kind(random_state=seed))


def _scaled(classifier, regressor, task):
    """Behind scaled columns; a regressor's target is scaled too."""
    if task.target == "class":
        return make_pipeline(StandardScaler(), classifier)
    scaled = TransformedTargetRegressor(regressor, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), scaled)


def drsn(task, shape, seed, device, kind=DRSNClassifier, **parameters):
    if task.target == "value":
        kind = DRSNRegressor
    if task.shape == "series":
        parameters["input_shape"] = (shape[0], -1)
    elif task.shape == "image":
        parameters["input_shape"] = shape
    return kind(device=device, random_state=seed, **parameters)


def ours(name, **parameters):
    """Ours with other than the default parameters."""
    return Model(name, partial(drsn, **parameters), packages=(), is_ours=True)


_CLASSES_OF_SERIES = {"shapes": ("series",), "targets": ("class",)}
_AEON = ("aeon", "scikit-learn")
_ALL = [
    Model("MiniRocket", minirocket, **_CLASSES_OF_SERIES, packages=_AEON),
    Model("MultiRocketHydra", multirocket_hydra, **_CLASSES_OF_SERIES, packages=_AEON),
    Model("log-spectrum", log_spectrum, ("series", "image"), ("class",)),
    Model("linear", linear, ("table",)),
    Model("MLP", mlp),
    Model("SVC", support_vectors),
    Model("HistGB", boosting),
    Model("RandomForest", forest),
    Model(
        "Inception",
        partial(drsn, kind=InceptionClassifier),
        **_CLASSES_OF_SERIES,
        packages=(),
        is_ours=True,
    ),
    ours("DRSN plain", threshold_mode=None),
    ours("DRSN"),
]
MODELS = {model.name: model for model in _ALL}
